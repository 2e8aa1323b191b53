/**
 * What a simulated run is made of. A seed and these reproduce it to the byte.
 *
 * `variedOptions` lets the seed choose the kind of cluster and of trouble too; what is given by hand stands.
 */

import { Prng } from '../base/prng.ts';

export interface SimulationOptions {
  readonly seed: number;
  readonly dispatchers: number;
  readonly servers: number;
  readonly tcpFlows: number;
  readonly udpFlows: number;
  /** Flows that come once more from the same client port after their end. */
  readonly reusedPorts: number;
  readonly lock: 'auto' | 'announce' | 'confirm';
  readonly affinity: 'flow' | 'client';
  readonly onServerDown: 'keep' | 'rebind';
  /** Probabilities on the cluster network, 0 to 1. */
  readonly loss: number;
  readonly duplication: number;
  /** Delay between dispatchers, ms, uniform from the first to the second: what is not constant reorders. */
  readonly delayMs: readonly [number, number];
  readonly crashes: number;
  /** Crashed dispatchers come back. */
  readonly restarts: boolean;
  /** One-way or two-way cuts between two dispatchers, each for half a second to a second and a half. */
  readonly partitions: number;
  /** Times for which a dispatcher does everything late. */
  readonly slowdowns: number;
  /** Servers that are drained, or taken back. */
  readonly serverChanges: number;
  readonly serverDeaths: number;
  /** Bursts of SYNs from addresses that nobody has. */
  readonly floods: number;
  /** Clocks run faster or slower by up to this part (0.01 = 1 %). */
  readonly drift: number;
  readonly confirmTimeoutMs: number;
  /** Datagrams are sealed as in life; else with the layout alone, which is faster. */
  readonly cipher: boolean;
  /** How long clients are active, ms; a quiet time follows, without faults. */
  readonly activeMs: number;
  readonly quietMs: number;
}

export const DEFAULT_OPTIONS: SimulationOptions = {
  seed: 1,
  dispatchers: 3,
  servers: 4,
  tcpFlows: 8,
  udpFlows: 4,
  reusedPorts: 2,
  lock: 'auto',
  affinity: 'flow',
  onServerDown: 'keep',
  loss: 0.05,
  duplication: 0.02,
  delayMs: [0.1, 2],
  crashes: 1,
  restarts: true,
  partitions: 0,
  slowdowns: 0,
  serverChanges: 1,
  serverDeaths: 0,
  floods: 0,
  drift: 0.005,
  confirmTimeoutMs: 120,
  cipher: true,
  activeMs: 1_000,
  quietMs: 2_400,
};

/** The kinds of trouble; a seed has the one at seed modulo their number. */
export const TROUBLES: readonly (Partial<SimulationOptions> & { readonly name: string })[] = [
  { name: 'a crash and a restart, some loss' },
  { name: '30 % loss, duplication', loss: 0.3, duplication: 0.1, crashes: 0, confirmTimeoutMs: 200 },
  { name: 'partitions', partitions: 2, crashes: 0 },
  { name: 'two crashes', crashes: 2 },
  { name: 'reordering', delayMs: [0.1, 25], crashes: 0, loss: 0, confirmTimeoutMs: 200 },
  { name: 'joiners under load', loss: 0.2, crashes: 3, delayMs: [1, 30] },
  { name: 'servers die', serverDeaths: 2, serverChanges: 0, crashes: 0 },
  { name: 'slow dispatchers, clocks that drift', slowdowns: 2, drift: 0.03, crashes: 0, loss: 0.02 },
  { name: 'a flood', floods: 1, crashes: 0, loss: 0.02 },
  { name: 'some of all', loss: 0.1, partitions: 1, slowdowns: 1, serverDeaths: 1, drift: 0.02, floods: 1 },
];

const CIPHER_EVERY = 16;

/** What the seed chooses, under what was `given`. */
export function variedOptions(seed: number, given: Partial<SimulationOptions>): SimulationOptions {
  const prng = new Prng(seed * 2_246_822_519);
  for (let warm = 0; warm < 8; warm++) prng.next();
  const { name: _name, ...trouble } = TROUBLES[seed % TROUBLES.length]!;
  return {
    ...DEFAULT_OPTIONS,
    dispatchers: 2 + prng.below(3),
    lock: (['auto', 'announce', 'confirm'] as const)[prng.below(3)]!,
    affinity: prng.below(4) === 0 ? 'client' : 'flow',
    onServerDown: prng.below(2) === 0 ? 'rebind' : 'keep',
    cipher: seed % CIPHER_EVERY === 0,
    ...trouble,
    ...given,
    seed,
  };
}
