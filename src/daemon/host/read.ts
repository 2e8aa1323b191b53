/**
 * Reads what is ours in the kernel now (routes and rules of our protocol, nftables tables of our name prefix), and
 * what the kernel can do. Changes nothing.
 */

import { existsSync } from 'node:fs';
import type { Family } from '../../wire/address.ts';
import { ipQuery, runTool } from './command.ts';
import type { HostAbilities } from './plan.ts';
import {
  type HostState,
  isOurs,
  ROUTE_PROTOCOL,
  type RouteJson,
  type RuleJson,
  routeFromJson,
  ruleFromJson,
} from './state.ts';

/** Whether the kernel has IPv6 at all (it may be switched off on the command line). */
export function hasIpv6(): boolean {
  return existsSync('/proc/sys/net/ipv6');
}

/**
 * Routes and rules of ours. The kernel filters routes by protocol itself, so a full Internet table costs nothing.
 * @throws host-command
 */
export async function readOwnState(): Promise<HostState> {
  const families: readonly Family[] = hasIpv6() ? [4, 6] : [4];
  const states = await Promise.all(families.map(readFamily));
  return { routes: states.flatMap((one) => one.routes), rules: states.flatMap((one) => one.rules) };
}

async function readFamily(family: Family): Promise<HostState> {
  const [routes, rules] = await ipQuery<unknown>(family, [
    `route show table all proto ${ROUTE_PROTOCOL}`,
    'rule show',
  ]);
  return {
    routes: ((routes ?? []) as RouteJson[]).map((json) => routeFromJson(family, json)),
    rules: ((rules ?? []) as RuleJson[]).filter(isOurs).map((json) => ruleFromJson(family, json)),
  };
}

/** Interfaces with routes learnt from router advertisements (protocol 9, RTPROT_RA). */
export async function advertisedInterfaces(): Promise<string[]> {
  if (!hasIpv6()) return [];
  const [routes] = await ipQuery<RouteJson>(6, ['route show table all proto 9']);
  return [...new Set((routes ?? []).flatMap((route) => route.dev ?? []))];
}

/** Names of nftables tables that a run of ours made in this network namespace, whatever its device was called. */
export async function readOwnTables(): Promise<string[]> {
  const listed = await runTool('nft', ['list', 'tables', 'inet']);
  if (listed.status !== 0) return [];
  return [...listed.stdout.matchAll(/^table inet (latchway_\w+)$/gm)].map((match) => match[1]!);
}

/** What the host can do. */
interface FoundAbilities extends HostAbilities {
  /** nftables is installed, but this process may not ask it (CAP_NET_ADMIN): what it holds is not known. */
  readonly nftDenied: boolean;
}

/**
 * `nft` that is installed but refused by the kernel counts as not there.
 * @throws host-command when `nft` hangs.
 */
export async function readAbilities(): Promise<FoundAbilities> {
  const nft = await runTool('nft', ['list', 'tables']);
  return {
    nft: nft.status === 0,
    nftDenied: nft.status > 0 && /operation not permitted|permission denied/i.test(nft.stderr),
    conntrack: existsSync('/proc/sys/net/netfilter/nf_conntrack_count'),
  };
}
