/**
 * Source hash: the keyed hash of a session points at a share of the sum of all weights. No state but the running sums.
 *
 * Down and leaving servers keep their share; a hash that points at one is mixed again (as IPVS sh-fallback does),
 * so that only their own clients move, and move back. A change of weights or of the list moves many: maglev does not.
 * Servers are ordered by id, so that dispatchers agree. The same selection serves `unknown: hash` for other schedulers.
 */

import { isCandidate, type ServiceSpec } from './generation.ts';
import { NO_SERVER, runningSums, type Scheduler, weightedPosition } from './scheduler.ts';
import type { ServerMask } from './server-mask.ts';

/** Draws before the next server in line that may is taken. */
const DRAWS = 16;

/** A permutation of the 32-bit numbers (murmur3's finalizer): the next draw from a draw. */
function mixAgain(hash: number): number {
  let h = (hash + 0x9e3779b9) | 0;
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
  return h ^ (h >>> 16);
}

export class SourceHash implements Scheduler {
  readonly #servers: Uint16Array;
  readonly #candidate: Uint8Array;
  readonly #sums: Float64Array;

  constructor(service: Pick<ServiceSpec, 'servers'>) {
    const weighted = service.servers
      .filter((server) => server.weight > 0)
      .sort((a, b) => (a.id < b.id ? -1 : a.id > b.id ? 1 : 0));
    this.#servers = Uint16Array.from(weighted, (server) => server.index);
    this.#candidate = Uint8Array.from(weighted, (server) => (isCandidate(server) ? 1 : 0));
    this.#sums = runningSums(weighted.map((server) => server.weight));
  }

  select(keyHash: number, excluded: ServerMask): number {
    const { length } = this.#servers;
    if (length === 0) return NO_SERVER;
    let draw = keyHash;
    let at = 0;
    for (let left = DRAWS; left > 0; left--) {
      at = weightedPosition(this.#sums, draw);
      if (this.#candidate[at] === 1 && !excluded.has(this.#servers[at]!)) return this.#servers[at]!;
      draw = mixAgain(draw);
    }
    for (let left = length; left > 0; left--) {
      if (this.#candidate[at] === 1 && !excluded.has(this.#servers[at]!)) return this.#servers[at]!;
      at = at + 1 === length ? 0 : at + 1;
    }
    return NO_SERVER;
  }
}
