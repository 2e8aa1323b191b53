/**
 * Seeds of the simulation: 5,000 in the suite, each with its own kind of cluster and of trouble; LATCHWAY_SEEDS sets
 * another number. Seeds that found something are named.
 */

import { describe, expect, it } from 'vitest';
import { type SimulationOptions, TROUBLES } from '../../src/sim/options.ts';
import { runSeed } from '../../src/sim/simulate.ts';

const SEEDS = Number(process.env['LATCHWAY_SEEDS'] ?? 5_000);

const LOSING: Partial<SimulationOptions> = { loss: 0.3, crashes: 2, restarts: false };
const DYING: Partial<SimulationOptions> = { crashes: 1, serverDeaths: 2, loss: 0.3, delayMs: [1, 30] };
const FLOODED: Partial<SimulationOptions> = { floods: 2, crashes: 0, affinity: 'client' };
const LATE: Partial<SimulationOptions> = {
  lock: 'auto',
  delayMs: [1, 60],
  confirmTimeoutMs: 200,
  loss: 0.3,
};
const SLOW: Partial<SimulationOptions> = {
  slowdowns: 16,
  crashes: 3,
  dispatchers: 4,
  tcpFlows: 24,
  delayMs: [1, 40],
  loss: 0.2,
};

/** Seeds that found a hole in the protocol, or a checker that asked for more than the rules promise. */
const FOUND: readonly (readonly [string, number, Partial<SimulationOptions>])[] = [
  ['a port is used again in a flood: its old entry would catch the ACK', 28, {}],
  ['one that joined after a flood resets what was forwarded by hash', 1_339, {}],
  ['one that does not know of a flood yet resets what was forwarded by hash', 4_268, {}],
  ['what went by hash in a flood follows a session that came later', 8_778, {}],
  ['the flows of one client are rebound to different servers', 836, {}],
  ['a joiner is ready before it has met a slow one that others hear', 23_199, {}],
  ['datagrams are announced twice after a death', 26_960, {}],
  ['a flow of a session that moved goes by its own hash in a flood', 30_158, {}],
  ['clients still repeat and ask when a run ends', 34, LOSING],
  ['what went by hash in a flood waits while a dead one may know it', 58, LOSING],
  ['and goes on when that one counts as stopped', 58, { ...LOSING, quietMs: 66_000 }],
  ['sessions are announced twice after a death', 202, { ...DYING, restarts: false }],
  ['a SYN that went by hash is repeated when its session is known', 100, { ...FLOODED, slowdowns: 6 }],
  ['a FIN goes by hash past who has no entry yet', 204, { ...FLOODED, ...LATE }],
  ['a slow dispatcher admits what is new for longer than a flood lasts', 188, SLOW],
];

describe('simulation', () => {
  it.each(TROUBLES.map((trouble, index) => [trouble.name, index] as const))(
    '%s',
    { timeout: 3_600_000 },
    (_name, index) => {
      const faults: string[] = [];
      let runs = 0;
      for (let seed = index === 0 ? TROUBLES.length : index; seed <= SEEDS; seed += TROUBLES.length) {
        runs++;
        for (const fault of runSeed(seed).violations) faults.push(`seed ${seed}: ${fault}`);
      }
      expect(runs).toBeGreaterThan(0);
      expect(faults).toEqual([]);
    },
  );

  it.each(FOUND)('%s (seed %i)', (_name, seed, options) => {
    expect(runSeed(seed, options).violations).toEqual([]);
  });

  it('a seed reproduces its run to the byte, with the cipher and without', () => {
    for (const cipher of [true, false]) {
      const run = (seed: number): string => runSeed(seed, { crashes: 2, partitions: 1, cipher }).transcript;
      expect(run(3)).toBe(run(3));
      expect(run(3)).not.toBe(run(4));
    }
  });
});
