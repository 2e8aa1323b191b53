/**
 * What the daemon owns in the kernel's routing, as values: routes and policy rules, and their two text forms (the
 * words of `ip`, the JSON of `ip -N -j`).
 *
 * Everything of ours carries routing protocol 173; that number alone is ownership. It is how a restart knows what a
 * killed run left, how a reload finds the difference, and how a failed set-up is undone, so no file has to be
 * trusted for it. Identity of a route or a rule is its text: equal words, same thing.
 * Source: ip-rule(8), ip-route(8), linux/fib_rules.h, linux/rtnetlink.h.
 */

import { type Family, formatAddress, parseAddress } from '../../wire/address.ts';

/** Routing protocol of all routes and rules of ours; not in any distribution's rt_protos. */
export const ROUTE_PROTOCOL = 173;
/** Metric of the blackhole twins: the worst there is, so that any other route to the same place wins. */
export const TWIN_METRIC = 0xffff_ffff;
/** Table `main` (linux/rtnetlink.h). */
export const MAIN_TABLE = 254;

export interface HostRoute {
  readonly family: Family;
  /** An address (one host), a prefix, or `default`. */
  readonly destination: string;
  /** Interface name; undefined: a blackhole. */
  readonly device: string | undefined;
  readonly table: number;
  readonly metric: number;
}

export type RuleAction =
  | { readonly kind: 'lookup'; readonly table: number }
  | { readonly kind: 'goto'; readonly priority: number }
  | { readonly kind: 'nop' }
  | { readonly kind: 'other'; readonly text: string };

export interface HostRule {
  readonly family: Family;
  readonly priority: number;
  /** Address or prefix text. */
  readonly from?: string;
  readonly iif?: string;
  /** IP protocol number. */
  readonly protocol?: number;
  /** Source ports, both ends included. */
  readonly sourcePorts?: readonly [number, number];
  /** The value is the mask: all its bits must be set. */
  readonly mark?: number;
  readonly action: RuleAction;
}

/** All that is ours: in the kernel (read), or wanted (planned). */
export interface HostState {
  readonly routes: readonly HostRoute[];
  readonly rules: readonly HostRule[];
}

/** Words after `ip route add|del`. */
export function routeWords(route: HostRoute): string {
  const target =
    route.device === undefined
      ? `blackhole ${route.destination}`
      : `${route.destination} dev ${route.device}`;
  return `${target} table ${route.table} metric ${route.metric} proto ${ROUTE_PROTOCOL}`;
}

/** Words after `ip rule add|del`. */
export function ruleWords(rule: HostRule): string {
  const words = [`pref ${rule.priority}`];
  if (rule.from !== undefined) words.push(`from ${rule.from}`);
  if (rule.iif !== undefined) words.push(`iif ${rule.iif}`);
  if (rule.protocol !== undefined) words.push(`ipproto ${rule.protocol}`);
  if (rule.sourcePorts !== undefined) words.push(`sport ${portWords(rule.sourcePorts)}`);
  if (rule.mark !== undefined) words.push(`fwmark ${hex(rule.mark)}/${hex(rule.mark)}`);
  words.push(actionWords(rule.action), `protocol ${ROUTE_PROTOCOL}`);
  return words.join(' ');
}

/** `80` or `8000-8099`. */
export function portWords(ports: readonly [number, number]): string {
  return ports[0] === ports[1] ? `${ports[0]}` : `${ports[0]}-${ports[1]}`;
}

function actionWords(action: RuleAction): string {
  switch (action.kind) {
    case 'lookup':
      return `lookup ${action.table}`;
    case 'goto':
      return `goto ${action.priority}`;
    case 'nop':
      return 'nop';
    case 'other':
      return action.text;
  }
}

function hex(value: number): string {
  return `0x${value.toString(16)}`;
}

/** One object of `ip -N -j route show table all`. */
export interface RouteJson {
  readonly type?: string;
  readonly dst: string;
  readonly dev?: string;
  readonly gateway?: string;
  readonly table?: string;
  readonly metric?: number;
  readonly protocol?: string;
}

/** One object of `ip -N -j rule show`. */
export interface RuleJson {
  readonly priority: number;
  readonly src?: string;
  readonly srclen?: number;
  readonly iif?: string;
  readonly ipproto?: string | number;
  readonly sport?: number;
  readonly sport_start?: number;
  readonly sport_end?: number;
  readonly fwmark?: string;
  readonly table?: string;
  readonly goto?: number;
  readonly nop?: null;
  readonly action?: string;
  readonly protocol?: string;
}

/** A route of ours out of `ip`'s JSON. Numbers, since names of tables and types depend on files in /etc. */
export function routeFromJson(family: Family, json: RouteJson): HostRoute {
  // RTN_BLACKHOLE is 6; an IPv6 blackhole also shows `dev lo`.
  const blackhole = json.type === '6' || json.type === 'blackhole';
  return {
    family,
    destination: ownText(json.dst),
    device: blackhole ? undefined : json.dev,
    table: json.table === undefined || json.table === 'main' ? MAIN_TABLE : Number(json.table),
    metric: json.metric ?? 0,
  };
}

/** `ip` writes some IPv6 addresses with a dotted tail; identity by text needs one form. Prefixes and names stay. */
function ownText(text: string): string {
  const address = parseAddress(text);
  return address === undefined ? text : formatAddress(address);
}

/** Whether a rule in `ip`'s JSON carries our protocol. */
export function isOurs(json: { readonly protocol?: string }): boolean {
  return Number(json.protocol) === ROUTE_PROTOCOL;
}

/** A rule of ours out of `ip`'s JSON. */
export function ruleFromJson(family: Family, json: RuleJson): HostRule {
  const width = json.srclen === undefined ? '' : `/${json.srclen}`;
  const low = json.sport_start ?? json.sport;
  return {
    family,
    priority: json.priority,
    ...(json.src === undefined || json.src === 'all' ? {} : { from: `${ownText(json.src)}${width}` }),
    ...(json.iif === undefined ? {} : { iif: json.iif }),
    ...(json.ipproto === undefined ? {} : { protocol: protocolNumber(json.ipproto) }),
    ...(low === undefined ? {} : { sourcePorts: [low, json.sport_end ?? low] as const }),
    ...(json.fwmark === undefined ? {} : { mark: Number(json.fwmark) }),
    action: actionFromJson(json),
  };
}

function actionFromJson(json: RuleJson): RuleAction {
  if (json.goto !== undefined) return { kind: 'goto', priority: json.goto };
  if (json.table !== undefined) return { kind: 'lookup', table: Number(json.table) };
  if (json.nop !== undefined) return { kind: 'nop' };
  // Numeric output has RTN_ numbers; 6 is a blackhole. Only ever deleted, never planned.
  return { kind: 'other', text: json.action === '6' ? 'blackhole' : (json.action ?? 'nop') };
}

const PROTOCOL_NAMES: Readonly<Record<string, number>> = { icmp: 1, tcp: 6, udp: 17, 'ipv6-icmp': 58 };

/** iproute2 writes `ipproto-6`, `6` or `tcp`, by version. */
function protocolNumber(text: string | number): number {
  if (typeof text === 'number') return text;
  return PROTOCOL_NAMES[text] ?? Number(text.replace(/^ipproto-/, ''));
}
