/**
 * What the search leaves out (reduction.ts) loses nothing: with and without it the dispatchers of small cases come to the same states, and to the same
 * ends, and with it the search meets fewer.
 */

import { describe, expect, it } from 'vitest';
import type { EntryRecord, UnlockRecord } from '../../src/cluster/records.ts';
import { ack, type ModelCase, sessionKey, syn, udp } from './case.ts';
import { digestCore } from './copy-core.ts';
import { Digest } from './digest.ts';
import { explore } from './explore.ts';
import { BOTH, drains, FLOW, OTHER, POLICY, UDP } from './first-states.ts';
import { mayLoseAll, NO_REDUCTION, type Reduction, reductionOf, withoutAges } from './reduction.ts';
import type { World } from './world.ts';

const BASE = { rule: '', nodes: 2, policy: UDP } as const;
const RACE = [
  { packet: udp(1, FLOW), at: BOTH },
  { packet: udp(2, FLOW), at: BOTH, after: 0 },
];

const CASES: readonly ModelCase[] = [
  { ...BASE, name: 'a race, a loss', packets: RACE, losses: 1 },
  { ...BASE, name: 'a race, a crash', packets: RACE, crashes: 1 },
  { ...BASE, name: 'a race, duplicated', packets: RACE, duplicates: 1 },
  {
    ...BASE,
    name: 'two at their dispatchers, all faults',
    packets: [
      { packet: udp(1, FLOW), at: [0] },
      { packet: udp(2, FLOW), at: [1] },
    ],
    losses: 1,
    crashes: 1,
    suspicions: 1,
  },
  {
    ...BASE,
    name: 'two sessions, a loss',
    packets: [
      { packet: udp(1, FLOW), at: [0] },
      { packet: udp(2, OTHER), at: [1] },
    ],
    losses: 1,
  },
  {
    ...BASE,
    name: 'three dispatchers, a loss',
    nodes: 3,
    packets: [{ packet: udp(1, FLOW), at: [0] }],
    losses: 1,
    crashes: 1,
  },
];

/** A state as far as it can be seen: of what is under way, and of losses that are left, both searches know in their own way. */
function seenOf(world: World): string {
  const cores = world.cores.map((core, index) => {
    if (!world.isAlive(index)) return 'dead';
    const digest = new Digest();
    digestCore(core, world.now, digest, false);
    return `${digest.a} ${digest.b}`;
  });
  const saw = [...world.saw].map(([text, servers]) => `${text} ${[...servers].join(' ')}`).sort();
  const faults = [world.crashes, world.suspicions, world.suspected, world.unnoticed, world.duplicates];
  const packets = [...world.came].sort();
  return [...cores, ...(world.excuse === undefined ? saw : ['excused']), faults, packets].join('|');
}

interface Seen {
  readonly searched: number;
  readonly states: ReadonlySet<string>;
  readonly ends: ReadonlySet<string>;
}

function search(model: ModelCase, reduction: Reduction): Seen {
  const states = new Set<string>();
  const ends = new Set<string>();
  const visit = (world: World, isEnd: boolean): void => {
    const text = seenOf(world);
    states.add(text);
    if (isEnd) ends.add(text);
  };
  const result = explore(model, { reduction, visit });
  expect(result.fault, result.trace.join('\n')).toBeUndefined();
  expect(result.exhausted).toBe(true);
  return { searched: result.states, states, ends };
}

function missing(from: ReadonlySet<string>, all: ReadonlySet<string>): string[] {
  return [...all].filter((one) => !from.has(one));
}

describe('reduction', () => {
  it.each(CASES)('$name', { timeout: 300_000 }, (model) => {
    const all = search(model, NO_REDUCTION);
    const reduced = search(model, reductionOf(model));
    const figures = `${reduced.searched} of ${all.searched} states, that seem ${all.states.size}, and ${all.ends.size} ends`;
    process.stdout.write(`${model.name}: ${figures}\n`);
    expect(missing(reduced.states, all.states)).toEqual([]);
    expect(missing(all.states, reduced.states)).toEqual([]);
    expect(missing(reduced.ends, all.ends)).toEqual([]);
    expect(missing(all.ends, reduced.ends)).toEqual([]);
    expect(reduced.searched).toBeLessThan(all.searched);
  });
});

/** Each is the race with one thing that a part of the reduction cannot stand, and the parts that must be off for it. */
const TIMEOUTS = { ...UDP.timeouts, udp: 100 };
const REFUSALS: readonly [string, Partial<ModelCase>, readonly (keyof Reduction)[]][] = [
  ['nothing else', {}, []],
  ['a check looks at anything', { check: () => undefined }, ['delays', 'saw', 'ages']],
  ['a packet waits for a state', { packets: [{ ...RACE[0]!, when: () => true }] }, ['delays', 'saw', 'ages']],
  ['an event changes the environment', { events: [drains(1)] }, ['delays', 'saw', 'ages', 'reuse']],
  ['connections have incarnations', { policy: POLICY }, ['ages']],
  ['a packet opens nothing', { packets: [{ packet: ack(1, FLOW, 0), at: BOTH }] }, ['ages']],
  ['a packet has an ISN', { packets: [{ packet: syn(1, FLOW, 1), at: BOTH }] }, ['ages']],
  ['flows of a client', { packets: [{ packet: udp(1, FLOW, sessionKey(1)), at: BOTH }] }, ['ages']],
  ['entries are held', { prepare: () => undefined }, ['ages']],
  ['replies', { nat: true }, ['ages']],
  ['entries end', { policy: { ...UDP, timeouts: TIMEOUTS } }, ['ages']],
];

describe('what may be left out', () => {
  it.each(REFUSALS)('%s', (_name, part, off) => {
    const model: ModelCase = { ...BASE, name: 'race', packets: RACE, ...part };
    const parts = Object.entries(reductionOf(model));
    expect(parts.filter(([, on]) => !on).map(([name]) => name)).toEqual(off);
  });

  it('all that is in flight, as far as the budget goes, and nothing that its sender repairs', () => {
    const worldOf = (losses: number, messages: readonly (readonly [number, boolean])[]): World =>
      ({
        losses,
        messages: messages.map(([from, durable]) => ({ from, durable })),
        isAlive: (index: number) => index < 2,
      }) as unknown as World;
    expect(mayLoseAll(worldOf(1, [[0, false]]))).toBe(true);
    expect(
      mayLoseAll(
        worldOf(1, [
          [0, false],
          [1, false],
        ]),
      ),
    ).toBe(false);
    expect(mayLoseAll(worldOf(1, [[0, true]]))).toBe(false);
    // What the dead have sent is lost at no cost, repairs among it.
    expect(
      mayLoseAll(
        worldOf(1, [
          [0, false],
          [2, false],
          [2, true],
        ]),
      ),
    ).toBe(true);
  });

  it('of an entry its ages, and the attempt where it answers none; nothing of other records', () => {
    const entry: EntryRecord = {
      ...{ type: 'entry', cause: 'selected', attempt: 3, key: FLOW, isn: 0, previousIsn: 0, generation: 1 },
      ...{ server: 2, origin: 1, bits: 4, ageMs: 50, idleMs: 60 },
    };
    expect(withoutAges(entry)).toEqual({ ...entry, attempt: 0, ageMs: 0, idleMs: 0 });
    const answer: EntryRecord = { ...entry, cause: 'answer' };
    expect(withoutAges(answer)).toEqual({ ...answer, ageMs: 0, idleMs: 0 });
    const unlock: UnlockRecord = { type: 'unlock', key: FLOW, attempt: 3 };
    expect(withoutAges(unlock)).toEqual(unlock);
    expect(withoutAges(RACE[0]!.packet)).toEqual(RACE[0]!.packet);
  });
});
