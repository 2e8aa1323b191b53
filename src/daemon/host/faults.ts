/**
 * What makes a start impossible on this host, found out before anything is opened or changed.
 */

import { readFileSync, statSync } from 'node:fs';
import { type Fault, LatchwayError } from '../../base/fault.ts';
import { type Address, type Family, formatAddress, parseAddress, sameAddress } from '../../wire/address.ts';
import { ipQuery } from './command.ts';
import { type HostLink, readLinks } from './links.ts';
import { bestMetric, type HostInput, RULE_PRIORITY } from './plan.ts';
import { hasIpv6, readOwnState } from './read.ts';
import { type HostState, isOurs, type RouteJson, type RuleJson } from './state.ts';
import { readSysctl } from './sysctl.ts';

/** Capability bits (linux/capability.h). */
const CAP_NET_ADMIN = 12n;
const CAP_NET_RAW = 13n;

/**
 * Every fault in one go; to be called before the device is opened.
 * @returns nothing when a start can go on.
 */
export async function hostFaults(input: HostInput): Promise<Fault[]> {
  const faults: Fault[] = [];
  if (!isPrivileged()) faults.push({ code: 'not-root' });
  if (!hasTunDevice()) faults.push({ code: 'no-tun-device' });
  try {
    const links = await readLinks();
    const own = await readOwnState();
    if (links.some((link) => link.name === input.device))
      faults.push({ code: 'device-taken', device: input.device });
    faults.push(...otherDispatcher(input, links, own), ...selfFaults(input, links));
    faults.push(...(await inputFaults(input, links)));
  } catch (error) {
    if (!(error instanceof LatchwayError)) throw error;
    faults.push(error.fault);
  }
  return faults;
}

/**
 * What makes a configuration impossible on this host while the dispatcher runs, for a reload: a VIP that is an address of an
 * interface or has somebody's better route, a server without a route, priorities and tables that others use.
 * What is ours is no fault.
 * @returns nothing when the configuration can be applied.
 */
export async function configFaults(input: HostInput): Promise<Fault[]> {
  try {
    return await inputFaults(input, await readLinks());
  } catch (error) {
    if (!(error instanceof LatchwayError)) throw error;
    return [error.fault];
  }
}

async function inputFaults(input: HostInput, links: readonly HostLink[]): Promise<Fault[]> {
  const faults: Fault[] = [];
  for (const family of hasIpv6() ? ([4, 6] as const) : ([4] as const)) {
    faults.push(...(await vipFaults(input, family, links)));
    faults.push(...(await serverFaults(input, family)));
    faults.push(...(await numberFaults(input, family)));
  }
  return faults;
}

/** Throws the first of `hostFaults`. */
export async function preflight(input: HostInput): Promise<void> {
  const [first] = await hostFaults(input);
  if (first !== undefined) throw new LatchwayError(first);
}

/** Capabilities in force, since root in a container may lack them and others may have them. */
export function isPrivileged(): boolean {
  const status = readFileSync('/proc/self/status', 'utf8');
  const effective = BigInt(`0x${/^CapEff:\s*([0-9a-f]+)$/m.exec(status)?.[1] ?? '0'}`);
  return [CAP_NET_ADMIN, CAP_NET_RAW].every((bit) => ((effective >> bit) & 1n) === 1n);
}

function hasTunDevice(): boolean {
  try {
    return statSync('/dev/net/tun').isCharacterDevice();
  } catch {
    return false;
  }
}

/** One dispatcher per network namespace: another's routes are told from ours by their device only. */
function otherDispatcher(input: HostInput, links: readonly HostLink[], own: HostState): Fault[] {
  const other = own.routes.find(
    (route) => route.device !== undefined && links.some((link) => link.name === route.device),
  )?.device;
  if (other === undefined || other === input.device) return [];
  const what = `a dispatcher runs in this network namespace already (device ${other})`;
  return [{ code: 'host-conflict', what, remedy: 'stop it first, or run this one in another namespace' }];
}

/** The others know a dispatcher by its address, so it has to be this host's. */
function selfFaults({ self }: HostInput, links: readonly HostLink[]): Fault[] {
  if (self === undefined) return [];
  const { name, address } = self;
  if (links.some((link) => link.addresses.some((own) => sameAddress(own.address, address)))) return [];
  if (readSysctl(`net/ipv${address.family}/ip_nonlocal_bind`) === '1') return [];
  const what = `cluster.dispatchers.${name}: ${formatAddress(address)} is no address of this host`;
  const remedy = 'give this host the address, or correct the file; --node says which dispatcher this is';
  return [{ code: 'host-conflict', what, remedy }];
}

async function vipFaults(input: HostInput, family: Family, links: readonly HostLink[]): Promise<Fault[]> {
  const vips = input.vips.filter((vip) => vip.address.family === family);
  const found = await ipQuery<RouteJson>(
    family,
    vips.map((vip) => `route get fibmatch ${formatAddress(vip.address)}`),
  );
  const faults: Fault[] = [];
  for (const [index, { address, service }] of vips.entries()) {
    const vip = formatAddress(address);
    const route = found[index]?.[0];
    const owner = links.find((link) => link.addresses.some((one) => sameAddress(one.address, address)));
    // RTN_LOCAL is 2: an address of this host, or a `local` route to it.
    const device = owner?.name ?? (route?.type === '2' || route?.type === 'local' ? route.dev : undefined);
    if (device !== undefined) faults.push({ code: 'vip-on-interface', vip, device, service });
    else if (route !== undefined && hidesVip(route, address)) faults.push(foreignRoute(vip, route));
  }
  return faults;
}

/** A host route to the VIP that is not ours and at least as good as ours. */
function hidesVip(route: RouteJson, vip: Address): boolean {
  const destination = parseAddress(route.dst);
  if (destination === undefined || !sameAddress(destination, vip) || isOurs(route)) return false;
  return (route.metric ?? 0) <= bestMetric(vip.family);
}

function foreignRoute(vip: string, route: RouteJson): Fault {
  const via = route.gateway ?? route.dev ?? 'nowhere';
  const what = `there is a route to ${vip} already (by ${via}), and it would win`;
  return { code: 'host-conflict', what, remedy: `remove it (ip route del ${vip})` };
}

async function serverFaults(input: HostInput, family: Family): Promise<Fault[]> {
  const byAddress = new Map(
    input.servers
      .filter((server) => server.address.family === family)
      .map((server) => [formatAddress(server.address), server.name]),
  );
  const addresses = [...byAddress.keys()];
  const found = await ipQuery(
    family,
    addresses.map((address) => `route get ${address}`),
  );
  return addresses
    .filter((_, index) => found[index] === undefined)
    .map((address) => ({ code: 'server-not-routable', server: byAddress.get(address)!, address }));
}

/** Rule priorities and table numbers that somebody else uses. */
async function numberFaults(input: HostInput, family: Family): Promise<Fault[]> {
  const first = input.rulePriority ?? RULE_PRIORITY;
  const [rules, replies, open] = await ipQuery<unknown>(family, [
    'rule show',
    `route show table ${input.table}`,
    `route show table ${input.table + 1}`,
  ]);
  const faults: Fault[] = [];
  const rule = ((rules ?? []) as RuleJson[]).find(
    (one) => one.priority >= first && one.priority < first + 100 && !isOurs(one),
  );
  if (rule !== undefined) {
    const what = `policy rule ${rule.priority} is not ours, and ${first} to ${first + 99} are needed`;
    faults.push({ code: 'host-conflict', what, remedy: `move it (see ip -${family} rule)` });
  }
  for (const [table, routes] of [
    [input.table, replies],
    [input.table + 1, open],
  ] as const) {
    const foreign = ((routes ?? []) as RouteJson[]).find((route) => !isOurs(route));
    if (foreign === undefined) continue;
    const what = `routing table ${table} has a route that is not ours (${foreign.dst})`;
    const remedy = `remove it (see ip -${family} route show table ${table})`;
    faults.push({ code: 'host-conflict', what, remedy });
  }
  return faults;
}
