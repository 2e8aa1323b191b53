/**
 * The health checks of all servers: one prober each, made and ended as the configuration says. A verdict goes to the pool and from
 * there, by `onChange`, into the next generation.
 */
import { isDeepStrictEqual } from 'node:util';
import { formatAddress } from '../wire/address.ts';
import { type HealthConfig, probePort } from './config-services.ts';
import { Prober } from './health.ts';
import type { Log } from './log.ts';
import type { Pool, ServerRecord, ServiceRecord } from './pool.ts';

interface Check {
  readonly prober: Prober;
  readonly health: HealthConfig;
}

export class Checks {
  readonly #pool: Pool;
  readonly #log: Log;
  readonly #onChange: () => void;
  /** By server index. */
  readonly #checks = new Map<number, Check>();

  /** @param onChange called after the pool was told of a server that went up or down. */
  constructor(pool: Pool, log: Log, onChange: () => void) {
    this.#pool = pool;
    this.#log = log;
    this.#onChange = onChange;
  }

  /** Starts and ends probers so that they are those of the pool's configuration; one that stays goes on undisturbed. */
  update(): void {
    const wanted = new Set<number>();
    for (const service of this.#pool.services) {
      const { health } = service.config;
      for (const [place, server] of service.servers.entries()) {
        if (health.type === 'none') {
          this.#trust(server);
          continue;
        }
        wanted.add(server.index);
        const check = this.#checks.get(server.index);
        if (check !== undefined && isDeepStrictEqual(check.health, health)) continue;
        check?.prober.stop();
        // Spread over the interval, so that a hundred servers are not probed in one instant.
        const phaseMs = (health.intervalMs * place) / service.servers.length;
        this.#start(service, server, health, phaseMs);
      }
    }
    for (const [index, check] of this.#checks) {
      if (wanted.has(index)) continue;
      check.prober.stop();
      this.#checks.delete(index);
    }
  }

  stop(): void {
    for (const { prober } of this.#checks.values()) prober.stop();
    this.#checks.clear();
  }

  /** A server that is not checked any more counts as up. */
  #trust(server: ServerRecord): void {
    if (!server.up) this.#pool.setUp(server.index, true, 'not checked');
  }

  #start(
    service: ServiceRecord,
    server: ServerRecord,
    health: Exclude<HealthConfig, { readonly type: 'none' }>,
    phaseMs: number,
  ): void {
    const target = {
      host: formatAddress(server.config.address),
      port: probePort(service.config, server.config),
    };
    const prober = new Prober(
      target,
      health,
      phaseMs,
      (up, detail) => {
        const facts = { service: service.config.name, server: server.config.name, detail };
        if (up) this.#log.info(facts, 'server is up');
        else this.#log.warn(facts, 'server is down');
        if (this.#pool.setUp(server.index, up, detail)) this.#onChange();
      },
      { up: server.up, streak: 0 },
    );
    this.#checks.set(server.index, { prober, health });
  }
}
