/**
 * What a simulated run is made of. A seed and these reproduce it to the byte.
 */

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
  readonly serverChanges: number;
  /** Clocks run faster or slower by up to this part (0.01 = 1 %). */
  readonly drift: number;
  readonly confirmTimeoutMs: number;
  /** How long clients are active, ms; a quiet time follows, without faults. */
  readonly activeMs: number;
  readonly quietMs: number;
}

export const DEFAULT_OPTIONS: SimulationOptions = {
  seed: 1,
  dispatchers: 3,
  servers: 4,
  tcpFlows: 12,
  udpFlows: 6,
  reusedPorts: 2,
  lock: 'auto',
  affinity: 'flow',
  loss: 0.05,
  duplication: 0.02,
  delayMs: [0.1, 2],
  crashes: 1,
  restarts: true,
  partitions: 0,
  serverChanges: 1,
  drift: 0.005,
  confirmTimeoutMs: 120,
  activeMs: 2_500,
  quietMs: 3_500,
};
