/**
 * A set of server indexes to leave out of one selection (their reply tuple is taken, or they were tried).
 *
 * Shape: a stamp per server; a server is in the set when its stamp is the current one, so that `clear` is one addition.
 */

import { SERVER_SLOTS } from '../table/shared-table.ts';

export class ServerMask {
  readonly #stamps = new Uint32Array(SERVER_SLOTS);
  #current = 1;
  #size = 0;

  /** Servers in the set. */
  get size(): number {
    return this.#size;
  }

  /** Empties the set. Allocates nothing, never throws. */
  clear(): void {
    if (this.#size === 0) return;
    this.#size = 0;
    this.#current++;
    if (this.#current <= 0xffffffff) return;
    this.#stamps.fill(0);
    this.#current = 1;
  }

  /** @param server index. Allocates nothing, never throws. */
  add(server: number): void {
    if (this.#stamps[server] === this.#current) return;
    this.#stamps[server] = this.#current;
    this.#size++;
  }

  has(server: number): boolean {
    return this.#size > 0 && this.#stamps[server] === this.#current;
  }
}
