/**
 * Round robin: the servers in turn, in the order of the configuration, whatever their weight (0 gets nothing).
 * State: the position of the next. In a new generation the turn goes on with the first upcoming server that stays.
 */

import { NO_SERVER, type Pool, type Scheduler } from './scheduler.ts';
import type { ServerMask } from './server-mask.ts';

export class RoundRobin implements Scheduler {
  readonly #servers: Uint16Array;
  #next = 0;

  constructor(pool: Pool, previous?: RoundRobin) {
    this.#servers = pool.servers;
    for (const server of previous?.upcoming() ?? []) {
      const position = this.#servers.indexOf(server);
      if (position < 0) continue;
      this.#next = position;
      break;
    }
  }

  /** The servers in the order of their turns. */
  upcoming(): number[] {
    return [...this.#servers.subarray(this.#next), ...this.#servers.subarray(0, this.#next)];
  }

  select(_keyHash: number, excluded: ServerMask): number {
    const { length } = this.#servers;
    for (let left = length; left > 0; left--) {
      const server = this.#servers[this.#next]!;
      this.#next = this.#next + 1 === length ? 0 : this.#next + 1;
      if (!excluded.has(server)) return server;
    }
    return NO_SERVER;
  }
}
