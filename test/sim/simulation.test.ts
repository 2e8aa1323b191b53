/** Seeds of the simulation: 5,000 in the suite, spread over the kinds of trouble; LATCHWAY_SEEDS sets another number. */

import { describe, expect, it } from 'vitest';
import type { SimulationOptions } from '../../src/sim/options.ts';
import { runSimulation } from '../../src/sim/simulate.ts';

const KINDS: readonly (readonly [string, Partial<SimulationOptions>])[] = [
  ['a crash and a restart, some loss', {}],
  ['30 % loss, duplication', { loss: 0.3, duplication: 0.1, crashes: 0, confirmTimeoutMs: 200 }],
  ['partitions', { partitions: 2, crashes: 0 }],
  ['confirm, four dispatchers, two crashes', { lock: 'confirm', dispatchers: 4, crashes: 2 }],
  ['announce, two dispatchers', { lock: 'announce', dispatchers: 2, loss: 0.1 }],
  ['affinity client', { affinity: 'client', lock: 'confirm' }],
  ['reordering', { delayMs: [0.1, 25], crashes: 0, loss: 0, confirmTimeoutMs: 200 }],
  ['joiners under load', { loss: 0.2, crashes: 3, delayMs: [1, 30] }],
];
const SEEDS = Math.ceil(Number(process.env['LATCHWAY_SEEDS'] ?? 5_000) / KINDS.length);

describe('simulation', () => {
  it.each(KINDS)('%s', { timeout: 600_000 }, (_name, options) => {
    const faults: string[] = [];
    for (let seed = 1; seed <= SEEDS; seed++) {
      for (const fault of runSimulation({ ...options, seed }).violations)
        faults.push(`seed ${seed}: ${fault}`);
    }
    expect(faults).toEqual([]);
  });

  it('a seed reproduces its run to the byte', () => {
    const run = (seed: number): string => runSimulation({ seed, crashes: 2, partitions: 1 }).transcript;
    expect(run(3)).toBe(run(3));
    expect(run(3)).not.toBe(run(4));
  });
});
