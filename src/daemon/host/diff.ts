/**
 * From what is there to what is wanted, as `ip` commands in an order that leaks nothing. Pure.
 *
 * Two rounds, between which the nftables table is replaced and forwarding is switched on:
 *   prepare: add twins, then the device routes of the reply tables, then rules (each goto after its target);
 *   finish:  add VIP routes over the device, then delete what is no longer wanted, in reverse order, twins last.
 * Whatever is in both states is not touched, so a killed run's twins never go away while a new run takes over.
 */

import type { Family } from '../../wire/address.ts';
import { type HostRoute, type HostRule, type HostState, MAIN_TABLE, routeWords, ruleWords } from './state.ts';

/** Lines for `ip -4 -batch -` and `ip -6 -batch -`. */
export interface FamilyLines {
  readonly 4: readonly string[];
  readonly 6: readonly string[];
}

export interface HostSteps {
  readonly prepare: FamilyLines;
  readonly finish: FamilyLines;
  readonly added: number;
  readonly removed: number;
}

export function diffHost(current: HostState, wanted: HostState): HostSteps {
  const routes = difference(current.routes, wanted.routes, (one) => `${one.family} ${routeWords(one)}`);
  const rules = difference(current.rules, wanted.rules, (one) => `${one.family} ${ruleWords(one)}`);
  const prepare = (family: Family): string[] => [
    ...routeLines('add', routes.added, family, isTwin),
    ...routeLines('add', routes.added, family, isTableRoute),
    ...ruleLines('add', rules.added, family),
  ];
  const finish = (family: Family): string[] => [
    ...routeLines('add', routes.added, family, isVipRoute),
    ...routeLines('del', routes.removed, family, isVipRoute),
    ...ruleLines('del', [...rules.removed].sort(removalOrder), family),
    ...routeLines('del', routes.removed, family, isTableRoute),
    ...routeLines('del', routes.removed, family, isTwin),
  ];
  return {
    prepare: { 4: prepare(4), 6: prepare(6) },
    finish: { 4: finish(4), 6: finish(6) },
    added: routes.added.length + rules.added.length,
    removed: routes.removed.length + rules.removed.length,
  };
}

/** Rules that take go first, the `iif` rules that protect from them next, the target of the gotos last. */
function removalOrder(a: HostRule, b: HostRule): number {
  const rank = (rule: HostRule): number => (rule.action.kind === 'nop' ? 2 : rule.iif !== undefined ? 1 : 0);
  return rank(a) - rank(b) || a.priority - b.priority;
}

function isTwin(route: HostRoute): boolean {
  return route.device === undefined;
}

function isVipRoute(route: HostRoute): boolean {
  return route.device !== undefined && route.table === MAIN_TABLE;
}

function isTableRoute(route: HostRoute): boolean {
  return route.device !== undefined && route.table !== MAIN_TABLE;
}

function routeLines(
  verb: 'add' | 'del',
  routes: readonly HostRoute[],
  family: Family,
  kind: (route: HostRoute) => boolean,
): string[] {
  return routes
    .filter((route) => route.family === family && kind(route))
    .map((route) => `route ${verb} ${routeWords(route)}`);
}

function ruleLines(verb: 'add' | 'del', rules: readonly HostRule[], family: Family): string[] {
  return rules.filter((rule) => rule.family === family).map((rule) => `rule ${verb} ${ruleWords(rule)}`);
}

/** What to add and what to remove, by text. A text twice in `current` is removed once too often to be kept. */
function difference<Item>(
  current: readonly Item[],
  wanted: readonly Item[],
  text: (item: Item) => string,
): { added: Item[]; removed: Item[] } {
  const wantedTexts = new Set(wanted.map(text));
  const kept = new Set<string>();
  const removed: Item[] = [];
  for (const item of current) {
    const key = text(item);
    if (wantedTexts.has(key) && !kept.has(key)) kept.add(key);
    else removed.push(item);
  }
  return { added: wanted.filter((item) => !kept.has(text(item))), removed };
}
