/**
 * Random of two choices: two servers drawn by weight, the one with less overhead / weight gets the session.
 *
 * Much better than one draw: the fullest of n servers is off by about log log n instead of log n / log log n.
 * Source: Mitzenmacher, "The power of two choices in randomized load balancing", IEEE TPDS 12(10), 2001.
 */

import type { Prng } from '../base/prng.ts';
import { overhead } from './least-connections.ts';
import {
  NO_SERVER,
  type Pool,
  runningSums,
  type Scheduler,
  type ServerLoads,
  weightedPosition,
} from './scheduler.ts';
import type { ServerMask } from './server-mask.ts';

/** Draws for one choice before the next server in line that may is taken. */
const DRAWS = 16;

export class RandomChoice implements Scheduler {
  readonly #servers: Uint16Array;
  readonly #weights: Uint32Array;
  readonly #sums: Float64Array;
  readonly #loads: ServerLoads;
  readonly #random: Prng;

  constructor(pool: Pool, loads: ServerLoads, random: Prng) {
    this.#servers = pool.servers;
    this.#weights = pool.weights;
    this.#sums = runningSums(pool.weights);
    this.#loads = loads;
    this.#random = random;
  }

  select(_keyHash: number, excluded: ServerMask): number {
    const first = this.#draw(-1, excluded);
    if (first < 0) return NO_SERVER;
    const second = this.#draw(first, excluded);
    if (second < 0) return this.#servers[first]!;
    const firstLoad = overhead(this.#loads, this.#servers[first]!) * this.#weights[second]!;
    const secondLoad = overhead(this.#loads, this.#servers[second]!) * this.#weights[first]!;
    return this.#servers[secondLoad < firstLoad ? second : first]!;
  }

  /** A position other than `not`, by weight, or -1. */
  #draw(not: number, excluded: ServerMask): number {
    const { length } = this.#servers;
    if (length === 0) return -1;
    let at = 0;
    for (let left = DRAWS; left > 0; left--) {
      at = weightedPosition(this.#sums, this.#random.next());
      if (at !== not && !excluded.has(this.#servers[at]!)) return at;
    }
    for (let left = length; left > 0; left--) {
      if (at !== not && !excluded.has(this.#servers[at]!)) return at;
      at = at + 1 === length ? 0 : at + 1;
    }
    return -1;
  }
}
