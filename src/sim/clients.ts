/**
 * The clients: who connects when, what each sends next, and what an answer does to it.
 *
 * Routers spray every packet, requests and replies, over all dispatchers whose route is announced.
 */

import type { Packet } from '../cluster/context.ts';
import { KIND_FLOW, KIND_SESSION, ReplyKey, SessionKey } from '../cluster/session-key.ts';
import { awaits, type Connection, type Kind, kindOf, type ReplyKind, repeatAfter } from './connection.ts';
import type { SimulatedDispatcher } from './dispatcher.ts';
import { SERVICE_TCP, SERVICE_UDP } from './servers.ts';
import type { SimulatedWorld } from './world.ts';

/** A packet between clients and servers. */
export interface Flying {
  readonly connection: Connection;
  readonly kind: Kind | ReplyKind;
  readonly step: number;
  /** The server that sent it, 0 a client. */
  readonly server: number;
}

interface NewConnection {
  readonly name: string;
  readonly udp: boolean;
  readonly client: number;
  readonly port: number;
  readonly isn: number;
  readonly spoofed?: boolean;
  readonly previous?: boolean;
}

/** Datagrams that come at once, and those that follow later. */
const BURST = 5;
const STRAGGLERS = 3;
const HOP_MS = 0.05;

export class Clients {
  readonly world: SimulatedWorld;
  readonly connections = new Map<string, Connection>();
  spoofed = 0;

  constructor(world: SimulatedWorld) {
    this.world = world;
  }

  make(one: NewConnection): Connection {
    const { options, prng } = this.world;
    const words = [0, 0, 0xffff, 0x0a000000 + one.client] as const;
    const service = one.udp ? SERVICE_UDP : SERVICE_TCP;
    return {
      name: one.name,
      udp: one.udp,
      flow: new SessionKey(service, KIND_FLOW, words, one.port, 80),
      session: options.affinity === 'client' ? new SessionKey(service, KIND_SESSION, words, 0, 0) : undefined,
      isn: one.isn,
      exchanges: 2 + prng.below(4),
      spoofed: one.spoofed === true,
      previous: one.previous === true,
      step: -1,
      tries: 0,
      synAt: 0,
      broken: false,
      finished: one.udp,
      byHash: false,
      excused: false,
      doomed: false,
      servers: new Set(),
    };
  }

  connect(one: NewConnection, at: number): void {
    const { timeline, prng, options } = this.world;
    const connection = this.make(one);
    this.connections.set(one.name, connection);
    timeline.at(at, () => {
      if (!one.udp) {
        this.sends(connection);
        return;
      }
      for (let count = 0; count < BURST + STRAGGLERS; count++) {
        const after = prng.below(count < BURST ? 3 : options.activeMs >> 1);
        timeline.after(after, () => this.emit(connection, 'datagram', 0));
      }
    });
  }

  /** One SYN from an address that nobody has. */
  spoof(): void {
    const client = 0x10000 + ++this.spoofed;
    const name = `spoofed${client}`;
    this.emit(this.make({ name, udp: false, client, port: 3_000, isn: client, spoofed: true }), 'syn', -1);
  }

  /** A dispatcher that the routers know, at random. */
  anyRouted(): SimulatedDispatcher | undefined {
    const routed = this.world.dispatchers.filter((one) => one.routed);
    return routed.length === 0 ? undefined : routed[this.world.prng.below(routed.length)];
  }

  /** What a client sends now, and again until it is answered. */
  sends(connection: Connection): void {
    if (connection.broken || connection.finished) return;
    const { step } = connection;
    this.emit(connection, kindOf(connection), step);
    this.world.timeline.after(repeatAfter(connection), () => {
      if (connection.step !== step) return;
      connection.tries++;
      this.sends(connection);
    });
  }

  emit(connection: Connection, kind: Kind, step: number): void {
    const { world } = this;
    let dispatcher = this.anyRouted();
    if (dispatcher === undefined) return;
    if (kind === 'syn') {
      const first = connection.synAt === 0 ? dispatcher : world.at(connection.synAt);
      if (connection.synAt !== 0 && !first.routed) connection.excused = true;
      else dispatcher = first;
      connection.synAt = dispatcher.id;
    }
    const opens = kind === 'syn' || kind === 'datagram';
    const packet: Packet = {
      handle: world.handle({ connection, kind, step, server: 0 }),
      bytes: 100,
      flow: connection.flow,
      session: connection.session,
      reply: undefined,
      opens,
      isn: kind === 'syn' ? connection.isn : 0,
      life: !opens,
      hops: 0,
      from: 0,
    };
    const target = dispatcher;
    world.timeline.after(HOP_MS, () => world.arrive(target, packet));
  }

  /** A client's packet reaches its server. */
  reaches(server: number, { connection, kind, step }: Flying): void {
    const { world } = this;
    const reply = world.servers.serve(server, connection, kind as Kind);
    const dispatcher = reply === undefined ? undefined : this.anyRouted();
    if (reply === undefined || dispatcher === undefined) return;
    const { flow } = connection;
    const packet: Packet = {
      handle: world.handle({ connection, kind: reply, step, server }),
      bytes: 100,
      flow: undefined,
      session: undefined,
      reply: new ReplyKey(6, [0, 0, 0xffff, server], 80, flow.client, flow.clientPort),
      opens: false,
      isn: 0,
      life: reply !== 'rst',
      hops: 0,
      from: 0,
    };
    world.timeline.after(HOP_MS, () => world.arrive(dispatcher, packet));
  }

  /** A reply reaches its client. */
  answered({ connection, kind, step }: Flying): void {
    if (connection.finished || connection.broken || connection.spoofed) return;
    if (kind === 'rst') {
      connection.broken = true;
      return;
    }
    if (step !== connection.step || kind !== awaits(connection)) return;
    connection.step++;
    connection.tries = 0;
    if (kind === 'fin-ack') connection.finished = true;
    else this.world.timeline.after(5 + this.world.prng.below(120), () => this.sends(connection));
  }

  /** All that will connect in this run. */
  schedule(sometime: () => number): void {
    const { options, timeline } = this.world;
    for (let index = 0; index < options.tcpFlows; index++) {
      const port = 1_000 + index;
      const at = sometime();
      const client = 1 + (index % Math.max(1, options.tcpFlows >> 2));
      const name = `tcp${index}`;
      this.connect({ name, udp: false, client, port, isn: 100 + index }, at);
      if (index >= options.reusedPorts) continue;
      const again = { name: `${name}#2`, udp: false, client, port, isn: 5_000 + index, previous: true };
      const look = (left: number): void => {
        if (this.connections.get(name)!.finished) this.connect(again, timeline.now);
        else if (left > 0) timeline.after(200, () => look(left - 1));
      };
      timeline.at(at + 200, () => look(4));
    }
    for (let index = 0; index < options.udpFlows; index++) {
      this.connect(
        { name: `udp${index}`, udp: true, client: 1 + index, port: 2_000 + index, isn: 0 },
        sometime(),
      );
    }
  }
}
