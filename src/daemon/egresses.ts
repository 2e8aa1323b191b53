/** The ways out to the servers: MTU and on-link subnet of each, looked up at start and whenever routes change. */
import { isDeepStrictEqual } from 'node:util';
import { formatAddress } from '../wire/address.ts';
import { type EgressWatch, lookupEgress, watchEgress } from './host-routes.ts';
import type { Log } from './log.ts';
import type { Pool } from './pool.ts';

export class Egresses {
  readonly #pool: Pool;
  readonly #log: Log;
  readonly #onChange: () => void;
  #watch: EgressWatch | undefined;

  /** @param onChange called when routes may have changed. */
  constructor(pool: Pool, log: Log, onChange: () => void) {
    this.#pool = pool;
    this.#log = log;
    this.#onChange = onChange;
  }

  /**
   * Looks up all servers and tells the pool.
   * @returns whether anything changed.
   * @throws LatchwayError host-command
   */
  async update(): Promise<boolean> {
    const servers = this.#pool.services.flatMap((service) => service.servers);
    const found = await lookupEgress(servers.map((server) => server.config.address));
    let changed = false;
    for (const server of servers) {
      const egress = found.get(formatAddress(server.config.address));
      if (egress === undefined) {
        this.#log.warn(
          { server: server.config.name, address: formatAddress(server.config.address) },
          'no route to server',
        );
        continue;
      }
      const { mtuBytes, onLinkPrefix } = egress;
      if (server.mtuBytes === mtuBytes && isDeepStrictEqual(server.subnet, onLinkPrefix)) continue;
      server.mtuBytes = mtuBytes;
      server.subnet = onLinkPrefix;
      changed = true;
    }
    return changed;
  }

  watch(): void {
    this.#watch = watchEgress(this.#onChange);
  }

  async stop(): Promise<void> {
    await this.#watch?.stop();
  }
}
