/**
 * The servers, and what dispatchers know of them: the environment of each core.
 *
 * A server answers what it knows of and resets what it does not, so a packet at the wrong server breaks its connection as
 * in life. One that died says nothing; each dispatcher's health check finds that out in its own time.
 */

import type { Environment, ServicePolicy } from '../cluster/context.ts';
import type { NodeId } from '../cluster/identity.ts';
import { KIND_FLOW, KIND_SESSION, ReplyKey, SessionKey } from '../cluster/session-key.ts';
import type { Connection, Kind, ReplyKind } from './connection.ts';
import type { SimulationOptions } from './options.ts';
import type { Timeline } from './timeline.ts';

export const SERVICE_TCP = 1;
export const SERVICE_UDP = 2;
const LONG = 600_000;
const HASH_SEED = { low: 1, high: 2 };

export class Servers {
  readonly options: SimulationOptions;
  readonly timeline: Timeline;
  readonly drained = new Set<number>();
  /** Drained now or earlier. */
  readonly everDrained = new Set<number>();
  readonly dead = new Set<number>();
  /** By server and dispatcher: when its health check finds the server dead. */
  readonly noticedAt = new Map<string, number>();
  readonly turns = new Map<NodeId, number>();

  constructor(options: SimulationOptions, timeline: Timeline) {
    this.options = options;
    this.timeline = timeline;
  }

  /** The server dies now; `delay` says how long a dispatcher takes to notice, ms. */
  die(server: number, delay: () => number): void {
    this.dead.add(server);
    for (let node = 1; node <= this.options.dispatchers; node++) {
      this.noticedAt.set(`${server} ${node}`, this.timeline.now + delay());
    }
  }

  isDown(self: NodeId, server: number): boolean {
    return this.dead.has(server) && this.timeline.now >= this.noticedAt.get(`${server} ${self}`)!;
  }

  policy(udp: boolean): ServicePolicy {
    return {
      udp,
      lock: this.options.lock,
      unknown: 'reset',
      rebind: this.options.onServerDown === 'rebind',
      timeouts: { tcpEstablished: LONG, tcpOpening: LONG, tcpClosing: 1_500, udp: LONG, client: LONG },
    };
  }

  environment(self: NodeId): Environment {
    const tcp = this.policy(false);
    const udp = this.policy(true);
    const { servers } = this.options;
    return {
      service: (id) => (id === SERVICE_TCP ? tcp : id === SERVICE_UDP ? udp : undefined),
      select: (_key, _packet, avoid) => {
        for (let turn = 0; turn < servers; turn++) {
          const next = ((this.turns.get(self) ?? self) % servers) + 1;
          this.turns.set(self, next);
          if (this.accepts(self, next) && !avoid(next)) return next;
        }
        return 0;
      },
      hashSelect: (key) => (key.kind === this.decides ? this.byHash(self, key) : 0),
      accepts: (_service, server) => this.accepts(self, server),
      isDown: (_service, server) => this.isDown(self, server),
      replyKey: (key, server) =>
        key.kind === KIND_FLOW
          ? new ReplyKey(
              key.service === SERVICE_UDP ? 17 : 6,
              [0, 0, 0xffff, server],
              80,
              key.client,
              key.clientPort,
            )
          : undefined,
      guessReply: (reply) => this.guess(self, reply),
    };
  }

  /** The hash's choice among the servers that this dispatcher would give new flows. */
  byHash(self: NodeId, key: SessionKey): number {
    const { servers } = this.options;
    const first = key.hash(HASH_SEED) % servers;
    for (let turn = 0; turn < servers; turn++) {
      const server = ((first + turn) % servers) + 1;
      if (this.accepts(self, server)) return server;
    }
    return 0;
  }

  accepts(self: NodeId, server: number): boolean {
    return !this.drained.has(server) && !this.isDown(self, server);
  }

  /** The kind of key that a server is chosen for. */
  get decides(): number {
    return this.options.affinity === 'client' ? KIND_SESSION : KIND_FLOW;
  }

  /** The flow of a reply whose server the hash chose. */
  guess(self: NodeId, reply: ReplyKey): { readonly key: SessionKey; readonly server: number } | undefined {
    const service = reply.protocol === 17 ? SERVICE_UDP : SERVICE_TCP;
    const key = new SessionKey(service, KIND_FLOW, reply.client, reply.clientPort, 80);
    const whole =
      this.options.affinity === 'client'
        ? new SessionKey(service, KIND_SESSION, reply.client, 0, 0)
        : undefined;
    const server = this.byHash(self, whole ?? key);
    return server === reply.server[3] ? { key, server } : undefined;
  }

  /** What the server says to a client's packet; undefined for nothing. */
  serve(server: number, connection: Connection, kind: Kind): ReplyKind | undefined {
    if (this.dead.has(server)) {
      connection.doomed = true;
      return undefined;
    }
    if (connection.udp) return undefined;
    if (kind === 'syn') {
      connection.servers.add(server);
      return 'syn-ack';
    }
    if (!connection.servers.has(server)) return 'rst';
    return kind === 'fin' ? 'fin-ack' : 'ack';
  }
}
