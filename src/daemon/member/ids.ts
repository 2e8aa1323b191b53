/**
 * Names that cross the wire: 32 bits of the ids of services and servers, and the indexes that they have in this process now.
 *
 * An id is the first 32 bits of the pool's 64-bit id; the configuration reader refuses files in which two are the same. Rebuilt with every generation.
 */
import type { Generation, ServiceSpec } from '../../balance/generation.ts';

/** No service or server has this id here. */
export const UNKNOWN = -1;

/** The 32-bit id on the wire of a pool's id (hex). 0 means none on the wire, so it is never one. */
export function wireId(id: string): number {
  return Number.parseInt(id.slice(0, 8), 16) || 1;
}

export class Ids {
  readonly services = new Map<number, ServiceSpec>();
  readonly #servers = new Map<number, number>();
  #serviceIds = new Uint32Array(0);
  #serverIds = new Uint32Array(0);

  apply(generation: Generation): void {
    this.services.clear();
    this.#servers.clear();
    const servers = generation.services.flatMap((service) => service.servers);
    this.#serviceIds = new Uint32Array(slots(generation.services));
    this.#serverIds = new Uint32Array(slots(servers));
    for (const service of generation.services) {
      const id = wireId(service.id);
      this.services.set(id, service);
      this.#serviceIds[service.index] = id;
    }
    for (const server of servers) {
      const id = wireId(server.id);
      this.#servers.set(id, server.index);
      this.#serverIds[server.index] = id;
    }
  }

  /** @returns index, or UNKNOWN. */
  serviceIndex(id: number): number {
    return this.services.get(id)?.index ?? UNKNOWN;
  }

  /** @returns index, or UNKNOWN. */
  serverIndex(id: number): number {
    return this.#servers.get(id) ?? UNKNOWN;
  }

  /** @returns 0 for an index that is not in use. */
  serviceId(index: number): number {
    return this.#serviceIds[index] ?? 0;
  }

  /** @returns 0 for an index that is not in use. */
  serverId(index: number): number {
    return this.#serverIds[index] ?? 0;
  }
}

function slots(all: readonly { readonly index: number }[]): number {
  return all.reduce((most, { index }) => Math.max(most, index + 1), 0);
}
