/**
 * The pool: what the main thread knows of services and servers (configuration, health, what an operator changed at run
 * time), and the one place that turns it into generations for the threads of the packet path.
 *
 * State: one record per service and server, with an index that stays the same for as long as the record lives. A server that
 * left the configuration stays as `leaving` until its last flow has ended, so that a reload breaks nobody; a service that left is
 * gone at once, with its flows.
 */
import type { ClusterKey } from '../../balance/cluster-key.ts';
import { type Generation, MAX_INDEX } from '../../balance/generation.ts';
import { LatchwayError } from '../../base/fault.ts';
import { type Address, formatAddress } from '../../wire/address.ts';
import type { ServerConfig, ServiceConfig } from '../config/services.ts';
import { serviceSpec } from './generation.ts';
import { serverId, serviceId } from './ids.ts';
import { IndexPool } from './index-pool.ts';
import type { ServerRecord, ServiceRecord } from './records.ts';

/** Until the route toward a server has been looked up. */
const MTU_DEFAULT = 1500;

/** A pool that is not in force yet; `taken` are the indexes that it took for what is new. */
export interface PoolDraft {
  readonly services: Map<string, ServiceRecord>;
  readonly taken: { readonly services: number[]; readonly servers: number[] };
}

/** What an operator may do to a server at run time. */
export type ServerChange = { readonly weight: number } | { readonly drain: true } | { readonly enable: true };

export class Pool {
  /** By id and mode: entries of one mode mean nothing in another. */
  #services: Map<string, ServiceRecord> = new Map();
  readonly #serviceIndexes = new IndexPool(0, MAX_INDEX);
  readonly #serverIndexes = new IndexPool(0, MAX_INDEX);
  /** Endpoint 0 means "no reverse key". */
  readonly #endpoints = new Map<string, number>();
  readonly #endpointIndexes = new IndexPool(1, MAX_INDEX);
  readonly #key: ClusterKey;
  readonly #now: () => number;
  #number = 0;

  /**
   * @param key of the hashes that dispatchers agree on.
   * @param now wall-clock ms, for `upSince`.
   */
  constructor(key: ClusterKey, now: () => number) {
    this.#key = key;
    this.#now = now;
  }

  get services(): readonly ServiceRecord[] {
    return [...this.#services.values()];
  }

  /**
   * What the pool would be under another configuration: built aside, so that nothing has happened until `commit`. In between the
   * pool must not be changed. @throws LatchwayError daemon-refused when there are too many of something
   * @param shared other dispatchers must know servers that it adds to a service before those are used
   */
  prepare(configs: readonly ServiceConfig[], shared = false): PoolDraft {
    const draft: PoolDraft = { services: new Map(), taken: { services: [], servers: [] } };
    try {
      for (const config of configs) {
        const ofId = serviceId(config);
        const key = `${ofId}/${config.mode}`;
        const known = this.#services.get(key);
        const index = known?.index ?? this.#take(this.#serviceIndexes, draft.taken.services, 'services');
        const record = { index, id: ofId, config, maglev: known?.maglev, maglevOf: known?.maglevOf ?? '' };
        const servers = this.#prepareServers(
          record,
          known?.servers ?? [],
          draft,
          shared && known !== undefined,
        );
        draft.services.set(key, { ...record, servers });
      }
    } catch (error) {
      this.abandon(draft);
      throw error;
    }
    return draft;
  }

  #prepareServers(
    service: Omit<ServiceRecord, 'servers'>,
    before: readonly ServerRecord[],
    draft: PoolDraft,
    fresh: boolean,
  ): ServerRecord[] {
    const left = new Map(before.map((server) => [server.id, server]));
    const servers: ServerRecord[] = [];
    for (const config of service.config.servers) {
      const ofId = serverId(service.id, config);
      const known = left.get(ofId);
      left.delete(ofId);
      servers.push(
        known === undefined ? this.#newServer(ofId, config, service, draft, fresh) : renewed(known, config),
      );
    }
    for (const one of left.values()) servers.push({ ...one, leaving: true });
    return servers;
  }

  /** Makes a draft the pool. @returns indexes of services that are gone. */
  commit(draft: PoolDraft): readonly number[] {
    const gone: number[] = [];
    for (const [key, record] of this.#services) {
      if (draft.services.has(key)) continue;
      gone.push(record.index);
      this.#serviceIndexes.giveBack(record.index);
      for (const server of record.servers) this.#serverIndexes.giveBack(server.index);
    }
    this.#services = draft.services;
    return gone;
  }

  /** Gives back what a draft took. */
  abandon(draft: PoolDraft): void {
    for (const index of draft.taken.services) this.#serviceIndexes.giveBack(index);
    for (const index of draft.taken.servers) this.#serverIndexes.giveBack(index);
  }

  #take(indexes: IndexPool, taken: number[], what: string): number {
    const index = takeIndex(indexes, what);
    taken.push(index);
    return index;
  }

  #newServer(
    ofId: string,
    config: ServerConfig,
    service: Omit<ServiceRecord, 'servers'>,
    draft: PoolDraft,
    fresh: boolean,
  ): ServerRecord {
    return {
      index: this.#take(this.#serverIndexes, draft.taken.servers, 'servers'),
      id: ofId,
      config,
      endpoint: this.#endpoint(config.address, service.config.protocol),
      weight: config.weight,
      drained: false,
      leaving: false,
      fresh,
      up: true,
      upSince: this.#now(),
      detail: 'not checked yet',
      mtuBytes: MTU_DEFAULT,
      subnet: undefined,
    };
  }

  #endpoint(address: Address, protocol: number): number {
    const key = `${formatAddress(address)}/${protocol}`;
    let endpoint = this.#endpoints.get(key);
    if (endpoint === undefined) {
      endpoint = takeIndex(this.#endpointIndexes, 'server addresses');
      this.#endpoints.set(key, endpoint);
    }
    return endpoint;
  }

  /**
   * Applies an operator's change.
   * @throws LatchwayError `daemon-refused` when there is no such service or server.
   */
  change(serviceName: string, serverName: string, change: ServerChange): void {
    const service = this.services.find(({ config }) => config.name === serviceName);
    if (service === undefined)
      throw new LatchwayError({ code: 'daemon-refused', detail: `no service is named '${serviceName}'` });
    const server = service.servers.find(({ config, leaving }) => config.name === serverName && !leaving);
    if (server === undefined) {
      const detail = `service '${serviceName}' has no server named '${serverName}'`;
      throw new LatchwayError({ code: 'daemon-refused', detail });
    }
    if ('weight' in change) server.weight = change.weight;
    else server.drained = 'drain' in change;
  }

  /** @returns the record of a server index, if it still lives. */
  server(index: number): ServerRecord | undefined {
    for (const service of this.#services.values()) {
      const found = service.servers.find((server) => server.index === index);
      if (found !== undefined) return found;
    }
    return undefined;
  }

  /** Health's verdict. @returns false when the server is gone. */
  setUp(index: number, up: boolean, detail: string): boolean {
    const server = this.server(index);
    if (server === undefined) return false;
    server.up = up;
    server.upSince = this.#now();
    server.detail = detail;
    return true;
  }

  /** Indexes of servers that wait until all dispatchers know them. */
  get fresh(): readonly number[] {
    return this.services
      .flatMap(({ servers }) => servers.filter(({ fresh }) => fresh))
      .map(({ index }) => index);
  }

  /** All dispatchers know these. @param indexes of servers that may have gone since */
  settle(indexes: readonly number[]): void {
    for (const { servers } of this.#services.values())
      for (const server of servers) if (indexes.includes(server.index)) server.fresh = false;
  }

  /** Whether `forgetLeft` would give up any. */
  hasLeft(flowsOf: (index: number) => number): boolean {
    for (const { servers } of this.#services.values())
      if (servers.some((server) => server.leaving && flowsOf(server.index) === 0)) return true;
    return false;
  }

  /** Gives up leaving servers without flows. @param flowsOf flows by server index. @returns true when any went. */
  forgetLeft(flowsOf: (index: number) => number): boolean {
    let any = false;
    for (const service of this.#services.values()) {
      const stay = service.servers.filter((server) => !server.leaving || flowsOf(server.index) > 0);
      if (stay.length === service.servers.length) continue;
      for (const server of service.servers)
        if (!stay.includes(server)) this.#serverIndexes.giveBack(server.index);
      service.servers = stay;
      any = true;
    }
    return any;
  }

  /** The next generation, with Maglev tables rebuilt where their servers changed. */
  generation(): Generation {
    this.#number++;
    return { number: this.#number, services: this.services.map((record) => serviceSpec(record, this.#key)) };
  }
}

function takeIndex(indexes: IndexPool, what: string): number {
  const index = indexes.take();
  if (index === undefined)
    throw new LatchwayError({ code: 'daemon-refused', detail: `more than ${MAX_INDEX} ${what} at one time` });
  return index;
}

/** A known server under a new configuration: a changed weight in the file overrules what an operator set. */
function renewed(server: ServerRecord, config: ServerConfig): ServerRecord {
  const changed = config.weight !== server.config.weight;
  return { ...server, config, weight: changed ? config.weight : server.weight, leaving: false };
}
