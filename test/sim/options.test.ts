/** Each option of a simulated run changes what happens, and as its name says. */

import { describe, expect, it } from 'vitest';
import type { SimulationOptions } from '../../src/sim/options.ts';
import { runSimulation, type SimulationSummary } from '../../src/sim/simulate.ts';

const QUIET: Partial<SimulationOptions> = {
  seed: 5,
  cipher: false,
  loss: 0,
  duplication: 0,
  crashes: 0,
  serverChanges: 0,
  drift: 0,
  delayMs: [1, 1],
};

function run(options: Partial<SimulationOptions>): SimulationSummary {
  return runSimulation({ ...QUIET, ...options });
}

describe('options of the simulation', () => {
  const quiet = run({});

  it('nothing goes wrong where nothing is to', () => {
    expect(quiet.violations).toEqual([]);
    expect([quiet.lost, quiet.duplicated, quiet.assumptionBroken]).toEqual([0, 0, false]);
    expect(quiet.finished).toBe(quiet.connections);
  });

  it.each<[string, Partial<SimulationOptions>, (one: SimulationSummary) => boolean]>([
    ['loss', { loss: 0.2 }, (one) => one.lost > one.datagrams / 10],
    ['duplication', { duplication: 0.2 }, (one) => one.duplicated > one.datagrams / 10],
    ['dispatchers', { dispatchers: 6 }, (one) => one.datagrams > 3 * quiet.datagrams],
    ['sessions', { tcpFlows: 30 }, (one) => one.connections === quiet.connections + 22],
    ['datagrams', { udpFlows: 30 }, (one) => one.connections === quiet.connections + 26],
    ['confirm', { lock: 'confirm' }, (one) => one.tunnelled > 0],
    ['partitions', { partitions: 2 }, (one) => one.assumptionBroken && one.lost > 0],
    ['slow dispatchers', { slowdowns: 3 }, (one) => one.transcript !== quiet.transcript],
    ['drift', { drift: 0.05 }, (one) => one.transcript !== quiet.transcript],
    ['delay', { delayMs: [20, 40], lock: 'confirm' }, (one) => one.counters['locksLearnt']! > 0],
    ['crashes', { crashes: 2 }, (one) => one.transcript !== quiet.transcript],
    ['floods', { floods: 1 }, (one) => one.counters['stateless']! > 0],
    ['rebinding', { serverDeaths: 2, onServerDown: 'rebind' }, (one) => one.counters['rebound']! > 0],
  ])('%s', (_name, options, holds) => {
    const one = run(options);
    expect(one.violations).toEqual([]);
    expect(holds(one)).toBe(true);
  });
});
