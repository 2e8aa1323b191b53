/**
 * Maglev: consistent hashing by a table of 65,537 slots.
 *
 * Each server walks the slots in an order of its own (offset and skip from two keyed hashes of its id) and the servers
 * take turns to claim the next free one, more turns for more weight. When a server goes, mostly its own slots change.
 * Every dispatcher that knows the same servers and the same cluster key builds the same table.
 * Source: Eisenbud et al., "Maglev: a fast and reliable software network load balancer", NSDI 2016, section 3.4.
 */

import { hashBytes } from '../table/hash.ts';
import type { ClusterKey } from './cluster-key.ts';
import { NO_SERVER, type Pool, type Scheduler } from './scheduler.ts';
import type { ServerMask } from './server-mask.ts';

/** Slots: a prime, so that every skip reaches every slot. */
export const MAGLEV_SLOTS = 65_537;

/** Content of a slot in a table without servers. */
export const NO_SLOT = 0xffff;

/** Slots that a look-up tries after its own before it takes the first server that it may. */
const FORWARD_STEPS = 256;

export interface MaglevServer {
  readonly index: number;
  readonly id: string;
  readonly weight: number;
}

/**
 * The table for servers of weight 1 to 65,535; slow (tens of milliseconds), for the main thread.
 * @returns server index by slot, all NO_SLOT when there is no server.
 */
export function buildMaglev(servers: readonly MaglevServer[], key: ClusterKey): Uint16Array {
  const slots = new Uint16Array(MAGLEV_SLOTS).fill(NO_SLOT);
  if (servers.length === 0) return slots;
  const ordered = [...servers].sort((a, b) => (a.id < b.id ? -1 : a.id > b.id ? 1 : 0));
  const ids = ordered.map((server) => new TextEncoder().encode(server.id));
  const next = Uint32Array.from(ids, (id) => hashBytes(id, key[0], key[1]) % MAGLEV_SLOTS);
  const skip = Uint32Array.from(ids, (id) => (hashBytes(id, ~key[0], ~key[1]) % (MAGLEV_SLOTS - 1)) + 1);
  const taken = new Uint8Array(MAGLEV_SLOTS);
  const most = Math.max(...ordered.map((server) => server.weight));
  // A server's turn comes when its weight times the round has caught up with what its turns so far cost; the heaviest
  // has one each round (the paper: "altering the relative frequency of the backends' turns").
  const spent = new Float64Array(ordered.length);
  let left = MAGLEV_SLOTS;
  for (let round = 1; left > 0; round++) {
    for (let at = 0; at < ordered.length && left > 0; at++) {
      const server = ordered[at]!;
      if (round * server.weight < spent[at]!) continue;
      spent[at] = spent[at]! + most;
      let slot = next[at]!;
      while (taken[slot] === 1) slot = (slot + skip[at]!) % MAGLEV_SLOTS;
      taken[slot] = 1;
      slots[slot] = server.index;
      next[at] = (slot + skip[at]!) % MAGLEV_SLOTS;
      left--;
    }
  }
  return slots;
}

/** Selection by a table of `buildMaglev`; a server that is excluded or no candidate any more gives way to the next slot's. */
export class Maglev implements Scheduler {
  readonly #slots: Uint16Array;
  readonly #servers: Uint16Array;
  readonly #candidate = new Uint8Array(NO_SLOT + 1);

  constructor(slots: Uint16Array, pool: Pool) {
    this.#slots = slots;
    this.#servers = pool.servers;
    for (const server of pool.servers) this.#candidate[server] = 1;
  }

  select(keyHash: number, excluded: ServerMask): number {
    let slot = (keyHash >>> 0) % MAGLEV_SLOTS;
    for (let left = FORWARD_STEPS; left > 0; left--) {
      const server = this.#slots[slot]!;
      if (this.#candidate[server] === 1 && !excluded.has(server)) return server;
      slot = slot + 1 === MAGLEV_SLOTS ? 0 : slot + 1;
    }
    const { length } = this.#servers;
    const start = length === 0 ? 0 : (keyHash >>> 0) % length;
    for (let step = 0; step < length; step++) {
      const server = this.#servers[(start + step) % length]!;
      if (!excluded.has(server)) return server;
    }
    return NO_SERVER;
  }
}
