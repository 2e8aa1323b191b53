/**
 * What the protocol core may ask of this dispatcher: services, servers and their choice, over the generation in force.
 */
import { PROTOCOL_UDP, type ServiceSpec } from '../../balance/generation.ts';
import { NO_SERVER as NO_INDEX } from '../../balance/scheduler.ts';
import type { Environment, Packet, ServicePolicy } from '../../cluster/context.ts';
import { NO_SERVER } from '../../cluster/entry.ts';
import { KIND_FLOW, KIND_SESSION, type ReplyKey, SessionKey } from '../../cluster/session-key.ts';
import type { PathState } from '../../forward/path-state.ts';
import { packPorts } from '../../table/flow-row.ts';
import { type Ids, UNKNOWN } from './ids.ts';
import type { RowStore } from './row-store.ts';

/** Servers that are tried for one that is not to be avoided. */
const SELECTIONS = 8;

export class MemberEnvironment implements Environment {
  readonly #state: PathState;
  readonly #ids: Ids;
  readonly #store: RowStore;
  #policies = new Map<number, ServicePolicy>();

  constructor(state: PathState, ids: Ids, store: RowStore) {
    this.#state = state;
    this.#ids = ids;
    this.#store = store;
  }

  /** Services or servers have changed; `ids` knows already. */
  generationChanged(): void {
    this.#policies = new Map([...this.#ids.services].map(([id, service]) => [id, policyOf(service)]));
  }

  service(id: number): ServicePolicy | undefined {
    return this.#policies.get(id);
  }

  select(key: SessionKey, _packet: Packet | undefined, avoid: (server: number) => boolean): number {
    const service = this.#ids.serviceIndex(key.service);
    if (service === UNKNOWN) return NO_SERVER;
    const { balancer, excluded } = this.#state;
    const hash = this.#hash(service, key);
    excluded.clear();
    for (let tries = 0; tries < SELECTIONS; tries++) {
      const server = balancer.select(service, hash, excluded);
      if (server === NO_INDEX) break;
      const id = this.#ids.serverId(server);
      if (!avoid(id)) return id;
      excluded.add(server);
    }
    return NO_SERVER;
  }

  hashSelect(key: SessionKey): number {
    const service = this.#ids.services.get(key.service);
    if (service === undefined || key.kind !== decidingKind(service)) return NO_SERVER;
    const { balancer, excluded } = this.#state;
    excluded.clear();
    const server = balancer.selectByHash(service.index, this.#hash(service.index, key), excluded);
    return server === NO_INDEX ? NO_SERVER : this.#ids.serverId(server);
  }

  accepts(service: number, server: number): boolean {
    const index = this.#ids.serviceIndex(service);
    return index !== UNKNOWN && this.#state.services.isCandidate(index, this.#ids.serverIndex(server));
  }

  /** A server that this configuration does not name is not down: another dispatcher may be ahead of us. */
  isDown(_service: number, server: number): boolean {
    const index = this.#ids.serverIndex(server);
    return index !== UNKNOWN && !this.#state.services.isServerUp(index);
  }

  replyKey(key: SessionKey, server: number): ReplyKey | undefined {
    return this.#store.keys.replyOf(key, server);
  }

  guessReply(reply: ReplyKey): { readonly key: SessionKey; readonly server: number } | undefined {
    let found: { readonly key: SessionKey; readonly server: number } | undefined;
    for (const [id, service] of this.#ids.services) {
      if (service.mode !== 'nat' || service.protocol !== reply.protocol) continue;
      const vipPort = vipPortOf(service, reply);
      if (vipPort === 0) continue;
      const key = new SessionKey(id, KIND_FLOW, reply.client, reply.clientPort, vipPort);
      const server = this.hashSelect(
        decidingKind(service) === KIND_SESSION ? this.#store.keys.sessionOf(service.index, key) : key,
      );
      if (server === NO_SERVER || this.replyKey(key, server)?.text !== reply.text) continue;
      // Two services may share a server, and its port.
      if (found !== undefined) return undefined;
      found = { key, server };
    }
    return found;
  }

  #hash(service: number, key: SessionKey): number {
    const [a0, a1, a2, a3] = key.client;
    const ports = packPorts(key.clientPort, key.vipPort);
    return this.#state.balancer.keyHash(service, a0 | 0, a1 | 0, a2 | 0, a3 | 0, ports);
  }
}

/** The kind of key that a server is chosen for. */
function decidingKind(service: ServiceSpec): number {
  return service.affinity.kind === 'client' ? KIND_SESSION : KIND_FLOW;
}

function policyOf(service: ServiceSpec): ServicePolicy {
  const udp = service.protocol === PROTOCOL_UDP;
  return {
    udp,
    lock: service.lock,
    unknown: service.unknown,
    // A datagram cannot be answered by a reset: its flow moves instead.
    rebind: service.onServerDown === 'rebind' || (udp && service.onServerDown === 'reset'),
    timeouts: service.timeoutsMs,
  };
}

/** The VIP's port that a reply of this server port answers, if there can be only one; else 0. */
function vipPortOf(service: ServiceSpec, reply: ReplyKey): number {
  for (const server of service.servers) {
    if (server.address.words.some((word, at) => word !== reply.server[at])) continue;
    if (server.port === 0) return reply.serverPort;
    const [only] = service.ports;
    if (server.port === reply.serverPort && service.ports.length === 1 && only![0] === only![1])
      return only![0];
  }
  return 0;
}
