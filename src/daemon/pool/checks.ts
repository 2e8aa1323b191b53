/** The health checks of all servers: one prober each, made and ended as the configuration says. A verdict goes to `onVerdict`. */
import { isDeepStrictEqual } from 'node:util';
import { formatAddress } from '../../wire/address.ts';
import { type HealthConfig, probePort } from '../config/services.ts';
import type { Log } from '../log.ts';
import { Prober, type ProbeTarget } from './health.ts';
import type { ServerRecord, ServiceRecord } from './records.ts';

interface Check {
  readonly prober: Prober;
  readonly health: HealthConfig;
  readonly target: ProbeTarget;
}

/** @param index of the server */
type Verdict = (index: number, up: boolean, detail: string) => void;

export class Checks {
  readonly #log: Log;
  readonly #onVerdict: Verdict;
  /** By server index. */
  readonly #checks = new Map<number, Check>();

  constructor(log: Log, onVerdict: Verdict) {
    this.#log = log;
    this.#onVerdict = onVerdict;
  }

  /**
   * Starts and ends probers so that they are those of the services given; one that stays as it is goes on undisturbed. A server that
   * is not checked any more counts as up.
   */
  update(services: readonly ServiceRecord[]): void {
    const wanted = new Set<number>();
    for (const service of services) {
      const { health } = service.config;
      for (const [place, server] of service.servers.entries()) {
        const check = this.#checks.get(server.index);
        // What its prober found counts: the record may not have been told yet.
        const up = check?.prober.state.up ?? server.up;
        if (health.type === 'none') {
          if (!up || !server.up) this.#onVerdict(server.index, true, 'not checked');
          continue;
        }
        wanted.add(server.index);
        const target = {
          host: formatAddress(server.config.address),
          port: probePort(service.config, server.config),
        };
        if (check !== undefined && isDeepStrictEqual([check.health, check.target], [health, target]))
          continue;
        check?.prober.stop();
        // Spread over the interval, so that a hundred servers are not probed in one instant.
        const phaseMs = (health.intervalMs * place) / service.servers.length;
        this.#start({ service, server, health, target, phaseMs, up });
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

  #start(given: {
    readonly service: ServiceRecord;
    readonly server: ServerRecord;
    readonly health: Exclude<HealthConfig, { readonly type: 'none' }>;
    readonly target: ProbeTarget;
    readonly phaseMs: number;
    readonly up: boolean;
  }): void {
    const { service, server, health, target, phaseMs, up } = given;
    const names = { service: service.config.name, server: server.config.name };
    const onChange = (isUp: boolean, detail: string): void => {
      if (isUp) this.#log.info({ ...names, detail }, 'server is up');
      else this.#log.warn({ ...names, detail }, 'server is down');
      this.#onVerdict(server.index, isUp, detail);
    };
    const prober = new Prober(target, health, phaseMs, onChange, { up, streak: 0 });
    this.#checks.set(server.index, { prober, health, target });
  }
}
