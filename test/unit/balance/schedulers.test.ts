import { describe, expect, it } from 'vitest';
import { LeastConnections } from '../../../src/balance/least-connections.ts';
import { RandomChoice } from '../../../src/balance/random-choice.ts';
import { RoundRobin } from '../../../src/balance/round-robin.ts';
import {
  NO_SERVER,
  poolOf,
  runningSums,
  type Scheduler,
  weightedPosition,
} from '../../../src/balance/scheduler.ts';
import { ServerMask } from '../../../src/balance/server-mask.ts';
import { SourceHash } from '../../../src/balance/source-hash.ts';
import { WeightedRoundRobin } from '../../../src/balance/weighted-round-robin.ts';
import { Prng } from '../../../src/base/prng.ts';
import { makeServer, makeServers } from '../../support/services.ts';

const NONE = new ServerMask();

function loadsFor(count: number): { active: Uint32Array; inactive: Uint32Array } {
  return { active: new Uint32Array(count), inactive: new Uint32Array(count) };
}

function pick(scheduler: Scheduler, count: number, excluded: ServerMask = NONE): number[] {
  const random = new Prng(7);
  return Array.from({ length: count }, () => scheduler.select(random.next(), excluded));
}

function tally(servers: readonly number[]): Map<number, number> {
  const counts = new Map<number, number>();
  for (const server of servers) counts.set(server, (counts.get(server) ?? 0) + 1);
  return counts;
}

const weighted = (...weights: number[]) => weights.map((weight, index) => makeServer(index, { weight }));

/** Every scheduler over the same servers; all loads are 0. */
function everyScheduler(servers: ReturnType<typeof makeServers>): { name: string; scheduler: Scheduler }[] {
  const pool = poolOf({ servers });
  const loads = loadsFor(100);
  return [
    { name: 'rr', scheduler: new RoundRobin(pool) },
    { name: 'wrr', scheduler: new WeightedRoundRobin(pool) },
    { name: 'lc', scheduler: new LeastConnections(pool, loads, false) },
    { name: 'wlc', scheduler: new LeastConnections(pool, loads, true) },
    { name: 'sh', scheduler: new SourceHash({ servers }) },
    { name: 'random', scheduler: new RandomChoice(pool, loads, new Prng(3)) },
  ];
}

const USABLE = [
  makeServer(0, { up: false }),
  makeServer(1),
  makeServer(2, { weight: 0 }),
  makeServer(3, { weight: 3 }),
  makeServer(4, { leaving: true }),
  makeServer(5),
];

describe('all schedulers', () => {
  it.each(everyScheduler(USABLE))(
    '$name selects only servers that are up, stay and have weight',
    ({ scheduler }) => {
      expect(new Set(pick(scheduler, 1000))).toEqual(new Set([1, 3, 5]));
    },
  );

  it.each(everyScheduler(USABLE))('$name leaves out the excluded ones', ({ scheduler }) => {
    const excluded = new ServerMask();
    excluded.add(1);
    expect(new Set(pick(scheduler, 1000, excluded))).toEqual(new Set([3, 5]));
    excluded.add(3);
    expect(new Set(pick(scheduler, 1000, excluded))).toEqual(new Set([5]));
    excluded.add(5);
    expect(scheduler.select(1, excluded)).toBe(NO_SERVER);
    excluded.clear();
    expect(new Set(pick(scheduler, 1000, excluded))).toEqual(new Set([1, 3, 5]));
  });

  it.each(everyScheduler([]))('$name has none of an empty pool', ({ scheduler }) => {
    expect(scheduler.select(1, NONE)).toBe(NO_SERVER);
  });

  it.each(everyScheduler([makeServer(9)]))('$name has the only one', ({ scheduler }) => {
    expect(new Set(pick(scheduler, 100))).toEqual(new Set([9]));
  });
});

describe('round robin', () => {
  it('takes turns, whatever the weights', () => {
    const scheduler = new RoundRobin(poolOf({ servers: weighted(1, 9, 1) }));
    expect(pick(scheduler, 7)).toEqual([0, 1, 2, 0, 1, 2, 0]);
    expect([...tally(pick(scheduler, 3000)).values()]).toEqual([1000, 1000, 1000]);
  });

  it('goes on with the next server that stays', () => {
    const before = new RoundRobin(poolOf({ servers: makeServers(4) }));
    expect(pick(before, 2)).toEqual([0, 1]);
    const after = new RoundRobin(
      poolOf({ servers: [makeServer(0), makeServer(8), makeServer(3), makeServer(1)] }),
      before,
    );
    expect(pick(after, 4)).toEqual([3, 1, 0, 8]);
  });
});

describe('smooth weighted round robin', () => {
  it('spreads 5, 1, 1 as nginx does: a a b a c a a', () => {
    const scheduler = new WeightedRoundRobin(poolOf({ servers: weighted(5, 1, 1) }));
    expect(pick(scheduler, 14)).toEqual([0, 0, 1, 0, 2, 0, 0, 0, 0, 1, 0, 2, 0, 0]);
  });

  it('gives exact shares in each round of the sum of weights', () => {
    const scheduler = new WeightedRoundRobin(poolOf({ servers: weighted(7, 2, 1) }));
    for (let round = 0; round < 100; round++) {
      expect(tally(pick(scheduler, 10))).toEqual(
        new Map([
          [0, 7],
          [1, 2],
          [2, 1],
        ]),
      );
    }
  });

  it('wrr: what was owed at large weights keeps no server out when they become small', () => {
    const before = new WeightedRoundRobin(poolOf({ servers: weighted(100, 100, 100) }));
    before.select(0, new ServerMask());
    const after = new WeightedRoundRobin(poolOf({ servers: weighted(1, 1, 1) }), before);
    const turns = Array.from({ length: 30 }, () => after.select(0, new ServerMask()));
    for (const server of new Set(turns))
      expect(turns.filter((one) => one === server).length).toBeGreaterThanOrEqual(8);
    expect(new Set(turns).size).toBe(3);
  });

  it('keeps the credits of those that stay in a new generation', () => {
    const servers = weighted(5, 1, 1);
    let scheduler = new WeightedRoundRobin(poolOf({ servers }));
    const sequence: number[] = [];
    for (let turn = 0; turn < 14; turn++) {
      sequence.push(scheduler.select(0, NONE));
      scheduler = new WeightedRoundRobin(poolOf({ servers }), scheduler);
    }
    expect(sequence).toEqual([0, 0, 1, 0, 2, 0, 0, 0, 0, 1, 0, 2, 0, 0]);
  });
});

describe('least connections', () => {
  it('lc takes the least of 256 x active + inactive, whatever the weights', () => {
    const loads = loadsFor(3);
    const scheduler = new LeastConnections(poolOf({ servers: weighted(1, 100, 1) }), loads, false);
    loads.active.set([2, 2, 1]);
    loads.inactive.set([0, 0, 255]);
    expect(scheduler.select(0, NONE)).toBe(2);
    loads.inactive[2] = 257;
    expect(pick(scheduler, 100)).not.toContain(2);
  });

  it('wlc takes the least overhead / weight', () => {
    const loads = loadsFor(3);
    const scheduler = new LeastConnections(poolOf({ servers: weighted(1, 2, 4) }), loads, true);
    loads.active.set([10, 20, 39]);
    expect(scheduler.select(0, NONE)).toBe(2);
    loads.active.set([10, 19, 40]);
    expect(scheduler.select(0, NONE)).toBe(1);
    loads.active.set([9, 20, 40]);
    expect(scheduler.select(0, NONE)).toBe(0);
  });

  it('compares rightly at the largest counts and weights', () => {
    const loads = loadsFor(2);
    const scheduler = new LeastConnections(poolOf({ servers: weighted(65_535, 65_534) }), loads, true);
    loads.active.set([1 << 24, 1 << 24]);
    expect(pick(scheduler, 4)).toEqual([0, 0, 0, 0]);
  });

  it('lets equals take turns', () => {
    const scheduler = new LeastConnections(poolOf({ servers: makeServers(4) }), loadsFor(4), true);
    expect([...tally(pick(scheduler, 1000)).values()]).toEqual([250, 250, 250, 250]);
  });

  it('wlc stays within 10 % of the ideal while servers and connections come and go', () => {
    const loads = loadsFor(10);
    const random = new Prng(11);
    const live: number[] = [];
    const all = weighted(1, 2, 3, 4, 1, 2, 3, 4, 2, 2);
    const close = (at: number): void => {
      loads.active[live[at]!]! -= 1;
      live[at] = live.at(-1)!;
      live.pop();
    };
    for (let phase = 0; phase < 20; phase++) {
      const servers = all.map((server, at) => ({ ...server, up: at < 5 || random.below(3) > 0 }));
      const scheduler = new LeastConnections(poolOf({ servers }), loads, true);
      // A server that goes down takes its connections with it.
      for (let at = live.length - 1; at >= 0; at--) if (!servers[live[at]!]!.up) close(at);
      for (let step = 0; step < 4000; step++) {
        if (live.length > 1000 && random.below(2) === 0) close(random.below(live.length));
        const server = scheduler.select(0, NONE);
        loads.active[server]! += 1;
        live.push(server);
        if (live.length > 2000) close(random.below(live.length));
      }
      const up = servers.filter((server) => server.up);
      const weights = up.reduce((sum, server) => sum + server.weight, 0);
      for (const { index, weight } of up) {
        const ideal = (live.length * weight) / weights;
        expect(Math.abs(loads.active[index]! - ideal) / ideal).toBeLessThan(0.1);
      }
    }
  });
});

describe('source hash', () => {
  it('gives one hash one server, in every generation and order of the list', () => {
    const servers = weighted(1, 2, 3);
    const one = new SourceHash({ servers });
    const other = new SourceHash({ servers: [servers[2]!, servers[0]!, servers[1]!] });
    expect(pick(one, 1000)).toEqual(pick(other, 1000));
    expect(pick(one, 1000)).toEqual(pick(one, 1000));
  });

  it('spreads by weight within 1 % of all', () => {
    const counts = tally(pick(new SourceHash({ servers: weighted(1, 2, 0, 5) }), 80_000));
    for (const [server, weight] of [
      [0, 1],
      [1, 2],
      [3, 5],
    ] as const) {
      expect(Math.abs(counts.get(server)! / 80_000 - weight / 8)).toBeLessThan(0.01);
    }
    expect(counts.has(2)).toBe(false);
  });

  it('moves only the clients of a server that goes down, and brings them back', () => {
    const servers = makeServers(8);
    const before = pick(new SourceHash({ servers }), 4000);
    const without = servers.map((server) => ({ ...server, up: server.index !== 3 }));
    const during = pick(new SourceHash({ servers: without }), 4000);
    expect(during).not.toContain(3);
    for (const [at, server] of before.entries()) if (server !== 3) expect(during[at]).toBe(server);
    // Those that moved went to all the others.
    expect(new Set(during.filter((_, at) => before[at] === 3)).size).toBe(7);
    expect(pick(new SourceHash({ servers }), 4000)).toEqual(before);
  });
});

describe('random of two choices', () => {
  /** The fullest of 100 servers after 10,000 connections that stay. */
  function fullest(choose: (loads: ReturnType<typeof loadsFor>, random: Prng) => () => number): number {
    const loads = loadsFor(100);
    const select = choose(loads, new Prng(5));
    for (let flow = 0; flow < 10_000; flow++) loads.active[select()]! += 1;
    return Math.max(...loads.active);
  }

  it('keeps the fullest server much nearer to the mean than one choice does', () => {
    const pool = poolOf({ servers: makeServers(100) });
    const two = fullest((loads, random) => {
      const scheduler = new RandomChoice(pool, loads, random);
      return () => scheduler.select(0, NONE);
    });
    const one = fullest((_, random) => () => random.below(100));
    expect(two).toBeLessThanOrEqual(104);
    expect(one).toBeGreaterThan(115);
  });

  it('fills servers in proportion to their weights', () => {
    const loads = loadsFor(4);
    const scheduler = new RandomChoice(poolOf({ servers: weighted(1, 2, 3, 4) }), loads, new Prng(1));
    for (let flow = 0; flow < 10_000; flow++) loads.active[scheduler.select(0, NONE)]! += 1;
    for (const [at, share] of [1000, 2000, 3000, 4000].entries()) {
      expect(Math.abs(loads.active[at]! - share)).toBeLessThan(100);
    }
  });
});

describe('draws by weight', () => {
  it.each([
    { draw: 0, position: 0 },
    { draw: 0x3fffffff, position: 0 },
    { draw: 0x40000000, position: 2 },
    { draw: -1, position: 3 },
    { draw: 0xffffffff, position: 3 },
  ])('$draw of the weights 1, 0, 2, 1 is position $position', ({ draw, position }) => {
    expect(weightedPosition(runningSums([1, 0, 2, 1]), draw)).toBe(position);
  });
});

describe('the set of excluded servers', () => {
  it('holds what was added since it was cleared', () => {
    const mask = new ServerMask();
    expect([mask.size, mask.has(0)]).toEqual([0, false]);
    mask.add(0);
    mask.add(65_534);
    mask.add(0);
    expect([mask.size, mask.has(0), mask.has(1), mask.has(65_534)]).toEqual([2, true, false, true]);
    mask.clear();
    expect([mask.size, mask.has(0), mask.has(65_534)]).toEqual([0, false, false]);
    mask.add(1);
    expect([mask.size, mask.has(0), mask.has(1)]).toEqual([1, false, true]);
  });
});
