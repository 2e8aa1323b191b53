/**
 * Selection of servers for new sessions, for all services of a generation.
 *
 * One balancer for each thread that selects. `apply` builds a scheduler for every service and hands it the state of
 * its predecessor (rr, wrr); `select` and `keyHash` are for the packet path.
 * What a session is (its key) follows from the service: flow or masked client, and under sh the client address
 * alone. The hash of the key is keyed by the cluster and holds the service's id, not its index: dispatchers agree on it.
 */

import { Prng } from '../base/prng.ts';
import { hashBytes, KeyedHash } from '../table/hash.ts';
import type { ClusterKey } from './cluster-key.ts';
import type { Generation, ServiceSpec } from './generation.ts';
import { LeastConnections } from './least-connections.ts';
import { buildMaglev, Maglev } from './maglev.ts';
import { RandomChoice } from './random-choice.ts';
import { RoundRobin } from './round-robin.ts';
import { NO_SERVER, poolOf, type Scheduler, type ServerLoads } from './scheduler.ts';
import type { ServerMask } from './server-mask.ts';
import { affinityMask } from './service-table.ts';
import { SourceHash } from './source-hash.ts';
import { WeightedRoundRobin } from './weighted-round-robin.ts';

export { NO_SERVER };

/** One service as the balancer keeps it. */
interface Balanced {
  readonly scheduler: Scheduler;
  /** Stateless selection, for `unknown: hash` and floods. */
  readonly byHash: Scheduler;
  readonly idWord: number;
  readonly mask: Int32Array;
  /** All ones where the ports are part of the key, else 0. */
  readonly portsMask: number;
}

export class Balancer {
  readonly #loads: ServerLoads;
  readonly #key: ClusterKey;
  readonly #hash: KeyedHash;
  readonly #random: Prng;
  #services: (Balanced | undefined)[] = [];

  /**
   * @param loads the dispatch table. @param key shared by the dispatchers of a cluster.
   * @param seed for the random scheduler, different in every thread.
   */
  constructor(loads: ServerLoads, key: ClusterKey, seed: number) {
    this.#loads = loads;
    this.#key = key;
    this.#hash = new KeyedHash(key[0], key[1]);
    this.#random = new Prng(seed);
  }

  /** Swaps in a generation. Allocates; slow when a maglev service comes without its table. */
  apply(generation: Generation): void {
    const services: (Balanced | undefined)[] = [];
    for (const service of generation.services) {
      services[service.index] = this.#balance(service, this.#services[service.index]);
    }
    // Holes would make V8 look for elements up the prototype chain.
    this.#services = Array.from(services);
  }

  /**
   * The hash of a packet's session key.
   * @param ports `packPorts`. @returns 32 bits, signed; 0 for an unknown service. Allocates nothing, never throws.
   */
  keyHash(service: number, a0: number, a1: number, a2: number, a3: number, ports: number): number {
    const one = this.#services[service];
    if (one === undefined) return 0;
    const { mask } = one;
    return this.#hash.words6(
      a0 & mask[0]!,
      a1 & mask[1]!,
      a2 & mask[2]!,
      a3 & mask[3]!,
      ports & one.portsMask,
      one.idWord,
    );
  }

  /**
   * The server for a new session, by the service's scheduler, among those that are not excluded.
   * @returns server index or NO_SERVER. Allocates nothing, never throws.
   */
  select(service: number, keyHash: number, excluded: ServerMask): number {
    const one = this.#services[service];
    return one === undefined ? NO_SERVER : one.scheduler.select(keyHash, excluded);
  }

  /**
   * The server that the session's hash alone gives, whatever the scheduler: maglev's own, for all others source hash.
   * @returns server index or NO_SERVER. Allocates nothing, never throws.
   */
  selectByHash(service: number, keyHash: number, excluded: ServerMask): number {
    const one = this.#services[service];
    return one === undefined ? NO_SERVER : one.byHash.select(keyHash, excluded);
  }

  #balance(service: ServiceSpec, previous: Balanced | undefined): Balanced {
    const scheduler = this.#schedule(service, previous?.scheduler);
    const client = service.affinity.kind === 'client';
    return {
      scheduler,
      byHash: scheduler instanceof Maglev ? scheduler : new SourceHash(service),
      idWord: hashBytes(new TextEncoder().encode(service.id), 0, 0) | 0,
      mask: affinityMask(service),
      portsMask: client || service.scheduler === 'sh' ? 0 : -1,
    };
  }

  #schedule(service: ServiceSpec, previous: Scheduler | undefined): Scheduler {
    const pool = poolOf(service);
    switch (service.scheduler) {
      case 'maglev': {
        const candidates = service.servers.filter((server) => pool.servers.includes(server.index));
        return new Maglev(service.maglev ?? buildMaglev(candidates, this.#key), pool);
      }
      case 'rr':
        return new RoundRobin(pool, previous instanceof RoundRobin ? previous : undefined);
      case 'wrr':
        return new WeightedRoundRobin(pool, previous instanceof WeightedRoundRobin ? previous : undefined);
      case 'lc':
        return new LeastConnections(pool, this.#loads, false);
      case 'wlc':
        return new LeastConnections(pool, this.#loads, true);
      case 'sh':
        return new SourceHash(service);
      case 'random':
        return new RandomChoice(pool, this.#loads, this.#random);
    }
  }
}
