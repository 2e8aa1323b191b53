/**
 * What the host must look like while the dispatcher runs: VIP routes, the reply table, policy rules. Pure.
 *
 * Rules live in one block of a hundred priorities, the same in both families:
 *
 *     +0   iif DEVICE goto +99          what the dispatcher wrote back goes the host's own way, never in a circle
 *     +1   iif lo goto +99              locally generated traffic (health checks) is never taken
 *     +2   fwmark M/M lookup T          replies marked by the nftables set, where there are many servers
 *     +10  from S ipproto P sport N lookup T      replies, one rule each, where there are few
 *     +20  from S ipproto P lookup T    servers of services with `ports: any`
 *     +30  ipproto P sport 1-65534 goto +99       all that is no fragment is done
 *     +31  from S ipproto P lookup T    fragments: the kernel sees port 0 in them, even in the first
 *     +40  ipproto ICMP lookup T+1      errors of servers and of routers before them, addressed to the client
 *     +41  from S ipproto ICMP lookup T
 *     +99  nop
 *
 * Twins: each VIP route and the default of table T has a blackhole of worst metric, placed first and removed last.
 * When the process is killed its device goes, and with it the routes over it; twins and rules stay, so that nothing
 * leaves with a server's address. Table T+1 has none on purpose: foreign ICMP goes on as before.
 * `goto +99` instead of `lookup main` for +0: a packet that `main` cannot route would fall through to the reply rules.
 */

import { type Address, type Family, formatAddress } from '../../wire/address.ts';
import { type HostServer, type ReplyClaim, replyClaims } from './claims.ts';
import { nftText } from './nft.ts';
import { type HostRoute, type HostRule, type HostState, MAIN_TABLE, TWIN_METRIC } from './state.ts';

/** First of the hundred rule priorities. */
export const RULE_PRIORITY = 7300;
/** The one mark bit that stands for "a reply of ours"; the other 31 are left alone. */
const REPLY_MARK = 0x1000_0000;
/** More reply rules than this in a family and the nftables set takes over: each rule is looked at for every packet. */
export const REPLY_RULE_LIMIT = 32;

/** Rules refuse port 65,535 (fib_rule_port_range_valid in net/fib_rules.h): the rules for fragments take it along. */
const LAST_RULE_PORT = 65_534;

export interface HostVip {
  readonly address: Address;
  /** Name of a service with this VIP, for messages. */
  readonly service: string;
}

/** A dispatcher and the address that the others know it by. */
export interface HostDispatcher {
  readonly name: string;
  readonly address: Address;
}

/** A multicast group, and the dispatchers that are to hear it, this one perhaps among them. */
export interface HostGroup {
  readonly group: Address;
  readonly dispatchers: readonly HostDispatcher[];
}

/** What the set-up needs to know of the configuration. */
export interface HostInput {
  readonly device: string;
  /** Number of the reply table, 1 to 2^32 - 2; the next number is used too. */
  readonly table: number;
  readonly vips: readonly HostVip[];
  readonly servers: readonly HostServer[];
  /** This dispatcher, by its name in the cluster. */
  readonly self?: HostDispatcher | undefined;
  /** Of a cluster that uses multicast. */
  readonly multicast?: HostGroup | undefined;
  /** First rule priority; default 7300. */
  readonly rulePriority?: number;
  /** The mark bit; default 0x10000000. */
  readonly mark?: number;
}

/** What the host can do, found out before planning. */
export interface HostAbilities {
  readonly nft: boolean;
  /** The kernel has connection tracking. */
  readonly conntrack: boolean;
}

export interface HostPlan {
  readonly input: HostInput;
  readonly state: HostState;
  readonly nftTable: string;
  /** Text for `nft -f -` that replaces the whole table at once; undefined: no table. */
  readonly nft: string | undefined;
  /** Replies are found by the nftables set instead of by rules. */
  readonly aggregated: boolean;
  /** Families that packets of ours are forwarded in. */
  readonly families: readonly Family[];
  readonly warnings: readonly string[];
}

export function planHost(input: HostInput, abilities: HostAbilities): HostPlan {
  const claims = replyClaims(input.servers);
  const many = ([4, 6] as const).some((family) => replyRuleCount(claims, family) > REPLY_RULE_LIMIT);
  const aggregated = many && abilities.nft;
  const warnings: string[] = [];
  if (many && !abilities.nft) warnings.push(TOO_MANY_RULES);
  if (abilities.conntrack && !abilities.nft) warnings.push(NO_EXEMPTION);
  const families = ([4, 6] as const).filter((family) =>
    input.vips.some((vip) => vip.address.family === family),
  );
  const replyFamilies = families.filter((family) => claims.some((claim) => claim.address.family === family));
  const routes = [
    ...vipRoutes(input),
    ...replyFamilies.flatMap((one) => tableRoutes(input, one, aggregated)),
  ];
  const rules = replyFamilies.flatMap((family) => familyRules(input, claims, family, aggregated));
  const wantsTable = aggregated || (abilities.nft && abilities.conntrack);
  return {
    input,
    state: { routes, rules },
    nftTable: nftTableName(input.device),
    nft: wantsTable
      ? nftText({
          table: nftTableName(input.device),
          device: input.device,
          vips: input.vips.map((vip) => vip.address),
          claims,
          mark: aggregated ? (input.mark ?? REPLY_MARK) : undefined,
          notrack: abilities.conntrack,
        })
      : undefined,
    aggregated,
    families,
    warnings,
  };
}

/** Many servers without nftables. */
const TOO_MANY_RULES = `more than ${REPLY_RULE_LIMIT} reply rules and no nftables: one policy rule per server port slows all forwarding (1,024 rules: by a quarter): install nftables`;
/** Connection tracking without nftables. */
const NO_EXEMPTION =
  'the kernel tracks connections and there is no nftables to exempt VIP traffic: masquerade or ct state rules on this gateway will break replies: install nftables';

/** nftables identifiers have letters, digits and underscores; any other character of a device name becomes _hex_. */
export function nftTableName(device: string): string {
  return `latchway_${device.replace(/[^A-Za-z0-9_]/g, (one) => `_${one.charCodeAt(0).toString(16)}_`)}`;
}

function replyRuleCount(claims: readonly ReplyClaim[], family: Family): number {
  let count = 0;
  for (const claim of claims)
    if (claim.address.family === family) count += claim.any ? 1 : claim.ports.length;
  return count;
}

/** IPv6 has no metric 0: it would become 1024, behind what an administrator may have there. */
export function bestMetric(family: Family): number {
  return family === 4 ? 0 : 1;
}

function vipRoutes(input: HostInput): HostRoute[] {
  const unique = new Map(input.vips.map((vip) => [formatAddress(vip.address), vip.address.family]));
  return [...unique].flatMap(([destination, family]) => [
    { family, destination, device: undefined, table: MAIN_TABLE, metric: TWIN_METRIC },
    { family, destination, device: input.device, table: MAIN_TABLE, metric: bestMetric(family) },
  ]);
}

function tableRoutes(input: HostInput, family: Family, aggregated: boolean): HostRoute[] {
  const route = { family, destination: 'default', device: input.device, metric: bestMetric(family) };
  const routes: HostRoute[] = [
    { ...route, device: undefined, table: input.table, metric: TWIN_METRIC },
    { ...route, table: input.table },
  ];
  if (!aggregated) routes.push({ ...route, table: input.table + 1 });
  return routes;
}

/** Rules of one family, in the order in which they may be added: each `goto` after its target. */
function familyRules(
  input: HostInput,
  claims: readonly ReplyClaim[],
  family: Family,
  aggregated: boolean,
): HostRule[] {
  const first = input.rulePriority ?? RULE_PRIORITY;
  const end = first + 99;
  const skip = { kind: 'goto', priority: end } as const;
  const take = { kind: 'lookup', table: input.table } as const;
  const rules: HostRule[] = [
    { family, priority: end, action: { kind: 'nop' } },
    { family, priority: first, iif: input.device, action: skip },
    { family, priority: first + 1, iif: 'lo', action: skip },
  ];
  if (aggregated) {
    rules.push({ family, priority: first + 2, mark: input.mark ?? REPLY_MARK, action: take });
    return rules;
  }
  const own = claims.filter((claim) => claim.address.family === family);
  for (const { protocol, ...claim } of own) {
    const from = formatAddress(claim.address);
    const reply = { family, from, protocol, action: take };
    if (claim.any) rules.push({ ...reply, priority: first + 20 });
    for (const [low, high] of claim.ports) {
      const sourcePorts = [low, Math.min(high, LAST_RULE_PORT)] as const;
      if (low <= LAST_RULE_PORT) rules.push({ ...reply, priority: first + 10, sourcePorts });
    }
  }
  const icmp = family === 4 ? 1 : 58;
  for (const protocol of new Set(own.map((claim) => claim.protocol)))
    rules.push({ family, priority: first + 30, protocol, sourcePorts: [1, LAST_RULE_PORT], action: skip });
  for (const { protocol, address } of own)
    rules.push({ family, priority: first + 31, from: formatAddress(address), protocol, action: take });
  const open = { kind: 'lookup', table: input.table + 1 } as const;
  rules.push({ family, priority: first + 40, protocol: icmp, action: open });
  for (const from of new Set(own.map((claim) => formatAddress(claim.address))))
    rules.push({ family, priority: first + 41, from, protocol: icmp, action: take });
  return rules;
}
