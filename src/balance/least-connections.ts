/**
 * Least connections (lc) and weighted least connections (wlc), by the counts of the dispatch table.
 *
 * A server's overhead is 256 x active + inactive flows, as IPVS has it (ip_vs_dest_conn_overhead); lc takes the least
 * overhead, wlc the least overhead / weight, compared by cross multiplication (below 2^53: 2^24 flows x 256 x 2^16).
 * Equals take turns, where IPVS would give all to the first: with short connections that makes a difference.
 */

import { NO_SERVER, type Pool, type Scheduler, type ServerLoads } from './scheduler.ts';
import type { ServerMask } from './server-mask.ts';

/** What an active flow weighs against an inactive one. */
const ACTIVE_OVERHEAD = 256;

/** 256 x active + inactive. */
export function overhead(loads: ServerLoads, server: number): number {
  return loads.active[server]! * ACTIVE_OVERHEAD + loads.inactive[server]!;
}

export class LeastConnections implements Scheduler {
  readonly #servers: Uint16Array;
  readonly #weights: Uint32Array;
  readonly #loads: ServerLoads;
  #start = 0;

  /** @param weighted false: every weight counts as 1. */
  constructor(pool: Pool, loads: ServerLoads, weighted: boolean) {
    this.#servers = pool.servers;
    this.#weights = weighted ? pool.weights : new Uint32Array(pool.servers.length).fill(1);
    this.#loads = loads;
  }

  select(_keyHash: number, excluded: ServerMask): number {
    const { length } = this.#servers;
    let best = -1;
    let bestOverhead = 0;
    let bestWeight = 1;
    let at = this.#start;
    for (let left = length; left > 0; left--) {
      const server = this.#servers[at]!;
      if (!excluded.has(server)) {
        const load = overhead(this.#loads, server);
        const weight = this.#weights[at]!;
        if (best < 0 || load * bestWeight < bestOverhead * weight) {
          best = at;
          bestOverhead = load;
          bestWeight = weight;
        }
      }
      at = at + 1 === length ? 0 : at + 1;
    }
    if (best < 0) return NO_SERVER;
    this.#start = best + 1 === length ? 0 : best + 1;
    return this.#servers[best]!;
  }
}
