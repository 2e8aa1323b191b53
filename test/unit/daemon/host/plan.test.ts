import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { type HostServer, mergeRanges, replyClaims } from '../../../../src/daemon/host/claims.ts';
import { diffHost } from '../../../../src/daemon/host/diff.ts';
import {
  type HostInput,
  nftTableName,
  planHost,
  REPLY_RULE_LIMIT,
} from '../../../../src/daemon/host/plan.ts';
import {
  type HostState,
  type RouteJson,
  type RuleJson,
  routeFromJson,
  routeWords,
  ruleFromJson,
  ruleWords,
} from '../../../../src/daemon/host/state.ts';
import { parseAddress } from '../../../../src/wire/address.ts';

const address = (text: string) => parseAddress(text)!;
const BARE = { nft: false, conntrack: false };
const FULL = { nft: true, conntrack: true };

function server(text: string, ports: HostServer['ports'] = [[80, 80]], protocol: 6 | 17 = 6): HostServer {
  return { address: address(text), name: `web/${text}`, mode: 'nat', protocol, ports };
}

function input(servers: readonly HostServer[], vips: readonly string[] = ['192.0.2.1']): HostInput {
  const named = vips.map((text) => ({ address: address(text), service: 'web' }));
  return { device: 'lw0', table: 7373, vips: named, servers };
}

const words = (state: HostState) => ({
  routes: state.routes.map((route) => `-${route.family} ${routeWords(route)}`),
  rules: state.rules.map((rule) => `-${rule.family} ${ruleWords(rule)}`),
});

const NOTHING: HostState = { routes: [], rules: [] };

test('one server and one VIP: the whole plan', () => {
  expect(words(planHost(input([server('10.0.0.1', [[80, 80]], 17)]), BARE).state)).toEqual({
    routes: [
      '-4 blackhole 192.0.2.1 table 254 metric 4294967295 proto 173',
      '-4 192.0.2.1 dev lw0 table 254 metric 0 proto 173',
      '-4 blackhole default table 7373 metric 4294967295 proto 173',
      '-4 default dev lw0 table 7373 metric 0 proto 173',
      '-4 default dev lw0 table 7374 metric 0 proto 173',
    ],
    rules: [
      '-4 pref 7399 nop protocol 173',
      '-4 pref 7300 iif lw0 goto 7399 protocol 173',
      '-4 pref 7301 iif lo goto 7399 protocol 173',
      '-4 pref 7310 from 10.0.0.1 ipproto 17 sport 80 lookup 7373 protocol 173',
      '-4 pref 7330 ipproto 17 sport 1-65534 goto 7399 protocol 173',
      '-4 pref 7331 from 10.0.0.1 ipproto 17 lookup 7373 protocol 173',
      '-4 pref 7340 ipproto 1 lookup 7374 protocol 173',
      '-4 pref 7341 from 10.0.0.1 ipproto 1 lookup 7373 protocol 173',
    ],
  });
});

test('a service of mode ipip needs VIP routes and no rules', () => {
  const { state } = planHost(input([{ ...server('10.0.0.1'), mode: 'ipip' }], ['2001:db8::1']), FULL);
  expect(words(state)).toEqual({
    routes: [
      '-6 blackhole 2001:db8::1 table 254 metric 4294967295 proto 173',
      '-6 2001:db8::1 dev lw0 table 254 metric 1 proto 173',
    ],
    rules: [],
  });
});

test('services that share a server or a VIP share rules and routes', () => {
  const shared = [
    server('10.0.0.1', [[80, 89]]),
    server('10.0.0.1', [
      [90, 99],
      [85, 86],
    ]),
    server('10.0.0.1', [[80, 99]]),
  ];
  const one = planHost(input([server('10.0.0.1', [[80, 99]])]), FULL);
  const many = planHost(input(shared, ['192.0.2.1', '192.0.2.1']), FULL);
  expect(words(many.state)).toEqual(words(one.state));
  expect(many.nft).toBe(one.nft);
});

test("port 65,535, which no rule can name, is left to the fragments' rule; any is one rule without ports", () => {
  const rules = (ports: HostServer['ports']) =>
    words(planHost(input([server('10.0.0.1', ports)]), BARE).state).rules.filter((one) =>
      /pref 73[12]/.test(one),
    );
  expect(rules([[65_535, 65_535]])).toEqual([]);
  expect(rules([[65_000, 65_535]])[0]).toContain('sport 65000-65534 ');
  for (const any of [
    [1, 65_535],
    [0, 65_535],
  ] as const)
    expect(rules([any])).toEqual(['-4 pref 7320 from 10.0.0.1 ipproto 6 lookup 7373 protocol 173']);
});

describe('many servers', () => {
  const addresses = Array.from({ length: REPLY_RULE_LIMIT + 1 }, (_, index) => server(`10.0.1.${index}`));

  test('one mark rule per family with nftables, up to the limit rules', () => {
    const plan = planHost(input(addresses), { nft: true, conntrack: false });
    expect(plan.aggregated).toBe(true);
    expect(words(plan.state).rules).toEqual([
      '-4 pref 7399 nop protocol 173',
      '-4 pref 7300 iif lw0 goto 7399 protocol 173',
      '-4 pref 7301 iif lo goto 7399 protocol 173',
      '-4 pref 7302 fwmark 0x10000000/0x10000000 lookup 7373 protocol 173',
    ]);
    expect(plan.nft).toContain('meta mark set meta mark | 0x10000000');
    expect(plan.nft).not.toContain('notrack');
    expect(planHost(input(addresses.slice(1)), FULL).aggregated).toBe(false);
  });

  test('without nftables rules, and a warning', () => {
    const plan = planHost(input(addresses), BARE);
    expect(plan.aggregated).toBe(false);
    expect(plan.warnings).toHaveLength(1);
    expect(plan.nft).toBeUndefined();
  });
});

test('few servers: a table only where connections are tracked, and it marks nothing', () => {
  expect(planHost(input([server('10.0.0.1')]), { nft: true, conntrack: false }).nft).toBeUndefined();
  const { nft } = planHost(input([server('10.0.0.1')]), FULL);
  expect(nft).toContain('iifname "lw0" notrack return');
  expect(nft).not.toContain('meta mark');
  expect(planHost(input([server('10.0.0.1')]), { nft: false, conntrack: true }).warnings).toHaveLength(1);
});

test('quoted addresses are integers of the whole width', () => {
  const both = input([server('10.0.0.1'), server('2001:db8::1')], ['192.0.2.1', '2001:db8::2']);
  const { nft } = planHost(both, FULL);
  expect(nft).toContain('set quoted4 { typeof @th,192,32; elements = { 0x0a000001 }; }');
  expect(nft).toContain('typeof @th,256,128; elements = { 0x20010db8000000000000000000000001 }');
});

test('device names that nftables would not take', () => {
  expect(nftTableName('lw0')).toBe('latchway_lw0');
  expect(nftTableName('lw-0.5')).toBe('latchway_lw_2d_0_2e_5');
});

test('JSON of iproute2 6.1 reads as what was written', () => {
  const rule = (json: RuleJson) => ruleWords(ruleFromJson(4, json));
  expect(
    rule({
      priority: 7310,
      src: '10.0.0.1',
      ipproto: 'ipproto-6',
      sport_start: 80,
      sport_end: 90,
      table: '7373',
    }),
  ).toBe('pref 7310 from 10.0.0.1 ipproto 6 sport 80-90 lookup 7373 protocol 173');
  expect(rule({ priority: 7300, src: 'all', iif: 'lw0', goto: 7399 })).toBe(
    'pref 7300 iif lw0 goto 7399 protocol 173',
  );
  expect(rule({ priority: 7302, src: 'all', fwmark: '0x10000000', table: '7373' })).toBe(
    'pref 7302 fwmark 0x10000000/0x10000000 lookup 7373 protocol 173',
  );
  expect(rule({ priority: 7399, src: 'all', nop: null })).toBe('pref 7399 nop protocol 173');
  const route = (json: RouteJson) => routeWords(routeFromJson(6, json));
  expect(route({ type: '6', dst: '64:ff9b::1.2.3.4', dev: 'lo', metric: 4_294_967_295 })).toBe(
    'blackhole 64:ff9b::102:304 table 254 metric 4294967295 proto 173',
  );
  expect(route({ dst: 'default', dev: 'lw0', table: '7373', metric: 1 })).toBe(
    'default dev lw0 table 7373 metric 1 proto 173',
  );
});

const range = fc
  .tuple(fc.integer({ min: 1, max: 300 }), fc.nat({ max: 40 }))
  .map(([low, more]) => [low, low + more] as const);

test('merged ranges cover the same ports, sorted and apart', () => {
  fc.assert(
    fc.property(fc.array(range), (ranges) => {
      const merged = mergeRanges(ranges);
      const covered = (list: readonly (readonly [number, number])[], port: number) =>
        list.some(([low, high]) => low <= port && port <= high);
      for (let port = 0; port <= 345; port++) expect(covered(merged, port)).toBe(covered(ranges, port));
      for (let index = 1; index < merged.length; index++)
        expect(merged[index]![0]).toBeGreaterThan(merged[index - 1]![1] + 1);
    }),
  );
});

const anyServer = fc
  .record({
    host: fc.integer({ min: 1, max: 60 }),
    family: fc.constantFrom(4, 6),
    protocol: fc.constantFrom(6 as const, 17 as const),
    ports: fc.oneof(fc.array(range, { minLength: 1, maxLength: 2 }), fc.constant([[1, 65_535] as const])),
    mode: fc.constantFrom('nat' as const, 'ipip' as const),
  })
  .map(({ host, family, ...rest }) => ({
    ...server(family === 4 ? `10.0.0.${host}` : `2001:db8::${host}`),
    ...rest,
  }));
const anyInput = fc
  .tuple(fc.array(anyServer, { maxLength: 80 }), fc.array(fc.integer({ min: 1, max: 5 }), { minLength: 1 }))
  .map(([servers, vips]) =>
    input(
      servers,
      vips.flatMap((one) => [`192.0.2.${one}`, `2001:db8:f::${one}`]),
    ),
  );
const anyAbilities = fc.record({ nft: fc.boolean(), conntrack: fc.boolean() });
const anyPlan = fc.tuple(anyInput, anyAbilities).map(([one, abilities]) => planHost(one, abilities));

/** Carries the lines out on a state, as the kernel would: what is there is not added, what is not is not removed. */
function carryOut(
  state: HostState,
  steps: ReturnType<typeof diffHost>,
): { at: Set<string>; trace: string[] } {
  const at = new Set([
    ...words(state).routes.map((one) => `route ${one}`),
    ...words(state).rules.map((one) => `rule ${one}`),
  ]);
  const trace: string[] = [];
  for (const round of [steps.prepare, steps.finish]) {
    for (const family of [4, 6] as const) {
      for (const line of round[family]) {
        const [, kind, verb, rest] = /^(route|rule) (add|del) (.*)$/.exec(line)!;
        const item = `${kind} -${family} ${rest}`;
        expect(at.has(item)).toBe(verb === 'del');
        if (verb === 'add') at.add(item);
        else at.delete(item);
        trace.push(`${verb} ${item}`);
      }
    }
  }
  return { at, trace };
}

test('the difference of any two plans leads from one to the other and never touches what both have', () => {
  fc.assert(
    fc.property(anyPlan, anyPlan, (from, to) => {
      const { at, trace } = carryOut(from.state, diffHost(from.state, to.state));
      const wanted = words(to.state);
      expect([...at].sort()).toEqual(
        [...wanted.routes.map((one) => `route ${one}`), ...wanted.rules.map((one) => `rule ${one}`)].sort(),
      );
      const same = trace.map((line) => line.slice(4));
      expect(new Set(same).size).toBe(same.length);
    }),
  );
});

test('set-up places twins first and opens VIPs last; removal is the other way round', () => {
  fc.assert(
    fc.property(anyPlan, (plan) => {
      for (const family of [4, 6] as const) {
        const up = diffHost(NOTHING, plan.state);
        const lines = [...up.prepare[family], ...up.finish[family]];
        const isVip = (line: string) => line.includes('dev lw0 table 254');
        const first = (test: (line: string) => boolean) => lines.findIndex(test);
        const lastTwin = lines.findLastIndex((line) => line.includes('blackhole'));
        const firstOther = first((line) => !line.includes('blackhole'));
        expect(lastTwin).toBeLessThan(firstOther < 0 ? Number.POSITIVE_INFINITY : firstOther);
        expect(up.finish[family].every(isVip)).toBe(true);
        expect(up.prepare[family].some(isVip)).toBe(false);
        const down = diffHost(plan.state, NOTHING).finish[family];
        const firstTwin = down.findIndex((line) => line.includes('blackhole'));
        expect(
          down.slice(firstTwin < 0 ? down.length : firstTwin).every((line) => line.includes('blackhole')),
        ).toBe(true);
        // No reply rule is there without the rules that keep it off what is written back and what is local.
        const loop = lines.findIndex((line) => line.includes(' iif '));
        const taking = lines.findIndex((line) => line.startsWith('rule') && line.includes('lookup'));
        if (taking >= 0) expect(loop).toBeLessThan(taking);
      }
    }),
  );
});

test('no plan has a text twice, and every claim is in the rules or in the set', () => {
  fc.assert(
    fc.property(anyInput, anyAbilities, (one, abilities) => {
      const plan = planHost(one, abilities);
      const { routes, rules } = words(plan.state);
      expect(new Set([...routes, ...rules]).size).toBe(routes.length + rules.length);
      const where = plan.aggregated ? plan.nft! : rules.join('\n');
      for (const claim of replyClaims(one.servers))
        for (const [low, high] of claim.ports)
          expect(where).toContain(low === high ? `${low}` : `${low}-${high}`);
    }),
  );
});
