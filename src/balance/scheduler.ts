/**
 * What all schedulers have in common: they choose a server of one service for a new session.
 *
 * A scheduler is built for one service of one generation (`balancer.ts`), may allocate then, and takes over what it
 * must remember from its predecessor. Selecting allocates nothing and looks at each server a bounded number of times.
 * Invariant: what is selected is up, has weight, stays, and is not excluded.
 */

import { isCandidate, type ServiceSpec } from './generation.ts';
import type { ServerMask } from './server-mask.ts';

/** No server can take the session. */
export const NO_SERVER = -1;

export interface Scheduler {
  /**
   * @param keyHash the session's hash, any 32-bit pattern (`Balancer.keyHash`); only maglev and sh look at it.
   * @returns server index or NO_SERVER. Allocates nothing, never throws.
   */
  select(keyHash: number, excluded: ServerMask): number;
}

/** Flows by server index, as the dispatch table counts them. */
export interface ServerLoads {
  readonly active: Uint32Array;
  readonly inactive: Uint32Array;
}

/** The servers of a service that may be given new flows, in the order of the configuration; two columns of one length. */
export interface Pool {
  readonly servers: Uint16Array;
  readonly weights: Uint32Array;
}

/** The candidates of a service. */
export function poolOf(service: Pick<ServiceSpec, 'servers'>): Pool {
  const candidates = service.servers.filter(isCandidate);
  return {
    servers: Uint16Array.from(candidates, (server) => server.index),
    weights: Uint32Array.from(candidates, (server) => server.weight),
  };
}

/** Running sums of weights: entry i is the sum of weights 0 to i. A double counts them exactly. */
export function runningSums(weights: Iterable<number>): Float64Array {
  const sums: number[] = [];
  let sum = 0;
  for (const weight of weights) {
    sum += weight;
    sums.push(sum);
  }
  return Float64Array.from(sums);
}

/**
 * The position whose share of the weights holds a 32-bit draw.
 * @param draw any 32-bit pattern, evenly distributed. @param sums of `runningSums`, not empty, the last above 0.
 * Allocates nothing, never throws.
 */
export function weightedPosition(sums: Float64Array, draw: number): number {
  const target = ((draw >>> 0) / 0x1_0000_0000) * sums[sums.length - 1]!;
  let low = 0;
  let high = sums.length - 1;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (sums[middle]! > target) high = middle;
    else low = middle + 1;
  }
  return low;
}
