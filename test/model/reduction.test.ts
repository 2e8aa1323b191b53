/**
 * What the search leaves out (reduction.ts) loses nothing: with and without it the dispatchers of small cases come to the same states, and to the same
 * ends, and with it the search meets fewer.
 */

import { describe, expect, it } from 'vitest';
import { type ModelCase, udp } from './case.ts';
import { digestCore } from './copy-core.ts';
import { Digest } from './digest.ts';
import { explore } from './explore.ts';
import { BOTH, FLOW, OTHER, UDP } from './first-states.ts';
import { NO_REDUCTION, type Reduction, reductionOf } from './reduction.ts';
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
