/**
 * Smooth weighted round robin, as nginx does it: a server of weight 5 gets its turns spread, not in a row.
 *
 * Each turn every server's credit grows by its weight, the richest is chosen (the first of equals) and pays the sum of all
 * weights. Weights 5, 1, 1 give a a b a c a a, then again. Invariant: between turns the credits sum to 0 while the pool stays.
 * Credits survive a new generation, as far as its weights go. Source: nginx, ngx_http_upstream_round_robin.c (get_peer).
 */

import { NO_SERVER, type Pool, type Scheduler } from './scheduler.ts';
import type { ServerMask } from './server-mask.ts';

export class WeightedRoundRobin implements Scheduler {
  readonly #servers: Uint16Array;
  readonly #weights: Uint32Array;
  readonly #credits: Float64Array;

  constructor(pool: Pool, previous?: WeightedRoundRobin) {
    this.#servers = pool.servers;
    this.#weights = pool.weights;
    // A debt of larger weights would keep a server out for many turns.
    const most = pool.weights.reduce((sum, weight) => sum + weight, 0);
    const kept = (server: number): number => previous?.credit(server) ?? 0;
    this.#credits = Float64Array.from(pool.servers, (server) =>
      Math.max(-most, Math.min(most, kept(server))),
    );
  }

  /** A server's credit; 0 when it is not of this pool. */
  credit(server: number): number {
    const position = this.#servers.indexOf(server);
    return position < 0 ? 0 : this.#credits[position]!;
  }

  select(_keyHash: number, excluded: ServerMask): number {
    let richest = -1;
    let sum = 0;
    for (let at = 0; at < this.#servers.length; at++) {
      if (excluded.has(this.#servers[at]!)) continue;
      const weight = this.#weights[at]!;
      sum += weight;
      this.#credits[at] = this.#credits[at]! + weight;
      if (richest < 0 || this.#credits[at]! > this.#credits[richest]!) richest = at;
    }
    if (richest < 0) return NO_SERVER;
    this.#credits[richest] = this.#credits[richest]! - sum;
    return this.#servers[richest]!;
  }
}
