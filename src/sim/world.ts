/**
 * The simulated world: dispatchers, clients, servers, routers, and the faults that a seed brings.
 *
 * Routers spray every packet, requests and replies, over all dispatchers whose route is announced. Servers answer what
 * they know of and reset what they do not, so a packet at the wrong server breaks its connection as in life.
 */

import { Prng } from '../base/prng.ts';
import type { Environment, Packet } from '../cluster/context.ts';
import { BIT_CLOSING, BIT_FIN_CLIENT, BIT_FIN_SERVER, type Entry } from '../cluster/entry.ts';
import type { NodeId } from '../cluster/identity.ts';
import type { NodeEffect } from '../cluster/node.ts';
import { KIND_FLOW, KIND_SESSION, ReplyKey, SessionKey } from '../cluster/session-key.ts';
import type { CheckedWorld, Checker } from './checker.ts';
import { awaits, type Connection, type Kind, kindOf, type ReplyKind, repeatAfter } from './connection.ts';
import { SimulatedDispatcher } from './dispatcher.ts';
import { Network } from './network.ts';
import type { SimulationOptions } from './options.ts';
import { Timeline } from './timeline.ts';

const SERVICE_TCP = 1;
const SERVICE_UDP = 2;
const LONG = 600_000;
const START_MS = 1_200;
/** So long after a restart what others say of a dispatcher may still be about its earlier life. */
const RESTART_MS = 1_500;
/** Two digest periods and their repair. */
const EVENED_OUT_MS = 1_000;

interface Flying {
  readonly connection: Connection;
  readonly kind: Kind | ReplyKind;
  readonly step: number;
  /** The server that sent it, 0 a client. */
  readonly server: number;
}

export class SimulatedWorld {
  readonly options: SimulationOptions;
  readonly timeline = new Timeline();
  readonly prng: Prng;
  readonly network: Network;
  readonly checkers: readonly Checker[];
  readonly dispatchers: SimulatedDispatcher[] = [];
  readonly connections = new Map<string, Connection>();
  readonly packets = new Map<number, Flying>();
  readonly drained = new Set<number>();
  readonly turns = new Map<NodeId, number>();
  handles = 0;
  readyCount = 0;
  assumptionBroken = false;
  crashedAt = 0;
  tunnels = 0;
  drops: Record<string, number> = {};
  totals: Record<string, number> = {};

  constructor(options: SimulationOptions, checkers: readonly Checker[]) {
    this.options = options;
    this.checkers = checkers;
    this.prng = new Prng(options.seed * 2_654_435_761);
    for (let warm = 0; warm < 8; warm++) this.prng.next();
    this.network = new Network(options, this.timeline, this.prng);
    for (let id = 1; id <= options.dispatchers; id++) this.dispatchers.push(this.start(id));
  }

  start(id: NodeId): SimulatedDispatcher {
    const peers: NodeId[] = [];
    for (let other = 1; other <= this.options.dispatchers; other++) if (other !== id) peers.push(other);
    return new SimulatedDispatcher(id, peers, this.options, this.timeline, this.prng, {
      environment: (self) => this.environment(self),
      effect: (dispatcher, effect) => this.effect(dispatcher, effect),
      silence: (nodes) => this.silence(nodes),
    });
  }

  at(id: NodeId): SimulatedDispatcher {
    return this.dispatchers[id - 1]!;
  }

  environment(self: NodeId): Environment {
    const policy = (udp: boolean) => ({
      udp,
      lock: this.options.lock,
      unknown: 'reset' as const,
      rebind: false,
      timeouts: { tcpEstablished: LONG, tcpOpening: LONG, tcpClosing: 1_500, udp: LONG, client: LONG },
    });
    const tcp = policy(false);
    const udp = policy(true);
    const { servers } = this.options;
    return {
      service: (id) => (id === SERVICE_TCP ? tcp : id === SERVICE_UDP ? udp : undefined),
      select: (_key, _packet, avoid) => {
        for (let turn = 0; turn < servers; turn++) {
          const next = ((this.turns.get(self) ?? self) % servers) + 1;
          this.turns.set(self, next);
          if (!this.drained.has(next) && !avoid(next)) return next;
        }
        return 0;
      },
      hashSelect: (key) => (key.hash({ low: 1, high: 2 }) % servers) + 1,
      accepts: (_service, server) => !this.drained.has(server),
      isDown: () => false,
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
      guessReply: () => undefined,
    };
  }

  effect(dispatcher: SimulatedDispatcher, effect: NodeEffect): void {
    const { now } = this.timeline;
    switch (effect.kind) {
      case 'transmit': {
        const { to, bytes } = effect;
        this.network.send(dispatcher.id, to, bytes.length + 28, bytes, () =>
          this.at(to).step({ kind: 'datagram', bytes }),
        );
        break;
      }
      case 'copy-request':
        this.copy(effect.from, dispatcher);
        break;
      case 'ready':
        dispatcher.routed = true;
        // What only a dispatcher that has just died had sent, nobody can repair but digests.
        if (now - this.crashedAt > EVENED_OUT_MS) {
          for (const checker of this.checkers) checker.ready?.(dispatcher, this.dispatchers, now);
        }
        break;
      case 'peer': {
        const other = this.at(effect.change.node);
        if (effect.change.kind === 'peer-down' && other.alive && other.node.membership.beatAt > 0) {
          this.suspected(dispatcher, other);
        }
        break;
      }
      case 'wait':
        break;
      case 'tunnel':
        this.ended(effect.packet, 'tunnel', now);
        this.tunnel(dispatcher, effect.packet, effect.to, effect.hops);
        break;
      case 'forward':
        this.ended(effect.packet, 'forward', now);
        this.forward(dispatcher, effect.packet, effect.server);
        break;
      case 'drop':
        this.drops[effect.reason] = (this.drops[effect.reason] ?? 0) + 1;
        this.ended(effect.packet, effect.reason, now);
        break;
      case 'reset':
        this.ended(effect.packet, 'reset', now);
        this.breaks(this.packets.get(effect.packet.handle)!.connection);
        break;
    }
  }

  /** The silence of the dead is no danger; that of the living breaks the assumption. */
  silence(nodes: readonly NodeId[]): void {
    for (const node of nodes) {
      const { alive, startedAt } = this.at(node);
      if (alive && (startedAt === 0 || this.timeline.now - startedAt > RESTART_MS))
        this.assumptionBroken = true;
    }
  }

  /** Someone alive was taken for dead: one server is not promised in this run, unless it just started anew. */
  suspected(by: SimulatedDispatcher, other: SimulatedDispatcher): void {
    const { startedAt } = other;
    if (by.node.membership.members.get(other.id)?.incarnation !== other.node.options.life.incarnation) return;
    if (this.timeline.now > START_MS && (startedAt === 0 || this.timeline.now - startedAt > RESTART_MS)) {
      this.assumptionBroken = true;
    }
  }

  ended(packet: Packet, how: Parameters<NonNullable<Checker['packetEnded']>>[1], at: number): void {
    for (const checker of this.checkers) checker.packetEnded?.(packet, how, at);
  }

  breaks(connection: Connection): void {
    if (!connection.finished) connection.broken = true;
  }

  /** A copy of the table over a stream of its own: vector first, then entries while life goes on. */
  copy(from: NodeId, to: SimulatedDispatcher): void {
    const source = this.at(from);
    const vector = source.node.vector();
    const next = (cursor: number): void => {
      if (!source.alive || !to.alive) {
        to.step({ kind: 'copy-failed' });
        return;
      }
      const entries: Entry[] = [];
      const end = cursor + 8;
      const all = [...source.store.entries.values()];
      entries.push(...all.slice(cursor, end));
      source.node.core.context.now = source.local(this.timeline.now);
      const records = entries.map((entry) => source.node.core.entries.record(entry, 'copy', 0));
      this.timeline.after(this.network.delay() + 1, () => {
        to.step({ kind: 'copy', records });
        if (end >= all.length) to.step({ kind: 'copy-end', vector });
        else next(end);
      });
    };
    this.timeline.after(this.network.delay() + 1, () => next(0));
  }

  tunnel(dispatcher: SimulatedDispatcher, packet: Packet, to: NodeId, hops: number): void {
    this.tunnels++;
    for (const checker of this.checkers) checker.tunnelled?.(hops);
    const flying = this.packets.get(packet.handle)!;
    this.network.send(dispatcher.id, to, packet.bytes + 20, undefined, () => {
      if (!this.at(to).alive) return;
      this.arrive(this.at(to), { ...packet, handle: this.handle(flying), hops, from: dispatcher.id });
    });
  }

  handle(flying: Flying): number {
    this.packets.set(++this.handles, flying);
    return this.handles;
  }

  arrive(dispatcher: SimulatedDispatcher, packet: Packet): void {
    if (!dispatcher.alive) return;
    for (const checker of this.checkers) checker.packetCame?.(packet, this.timeline.now);
    dispatcher.step({ kind: 'packet', packet });
  }

  /** A dispatcher that the routers know, at random. */
  anyRouted(): SimulatedDispatcher | undefined {
    const routed = this.dispatchers.filter((one) => one.routed);
    return routed.length === 0 ? undefined : routed[this.prng.below(routed.length)];
  }

  /** What a client sends now, and again until it is answered. */
  sends(connection: Connection): void {
    if (connection.broken || connection.finished) return;
    const kind = kindOf(connection);
    const { step } = connection;
    this.emit(connection, kind, step);
    this.timeline.after(repeatAfter(connection), () => {
      if (connection.step !== step || connection.udp) return;
      connection.tries++;
      this.sends(connection);
    });
  }

  emit(connection: Connection, kind: Kind, step: number): void {
    let dispatcher = this.anyRouted();
    if (dispatcher === undefined) return;
    if (kind === 'syn') {
      const first = connection.synAt === 0 ? dispatcher : this.at(connection.synAt);
      if (connection.synAt !== 0 && !first.routed) connection.excused = true;
      else dispatcher = first;
      connection.synAt = dispatcher.id;
    }
    const opens = kind === 'syn' || kind === 'datagram';
    const packet: Packet = {
      handle: this.handle({ connection, kind, step, server: 0 }),
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
    this.timeline.after(0.05, () => this.arrive(target, packet));
  }

  /** Whether one server is promised for this connection. */
  promises(connection: Connection): boolean {
    return !connection.excused && !(connection.udp && this.options.lock === 'announce');
  }

  /** A packet leaves a dispatcher, toward a server or a client. */
  forward(dispatcher: SimulatedDispatcher, packet: Packet, server: number): void {
    const flying = this.packets.get(packet.handle)!;
    const { connection, kind } = flying;
    if (flying.server === 0) {
      for (const checker of this.checkers) {
        checker.forwarded?.({
          connection: this.promises(connection) ? connection.name : `${connection.name} ${server}`,
          server,
          by: dispatcher.id,
          at: this.timeline.now,
        });
      }
      if (kind === 'fin') dispatcher.step({ kind: 'note', key: connection.flow, bits: BIT_FIN_CLIENT });
      this.timeline.after(0.05, () => this.serve(server, flying));
      return;
    }
    if (kind === 'fin-ack') dispatcher.step({ kind: 'note', key: connection.flow, bits: BIT_FIN_SERVER });
    if (kind === 'rst') dispatcher.step({ kind: 'note', key: connection.flow, bits: BIT_CLOSING });
    this.timeline.after(0.05, () => this.answered(flying));
  }

  serve(server: number, { connection, kind, step }: Flying): void {
    if (connection.udp) return;
    let reply: ReplyKind = 'rst';
    if (kind === 'syn') {
      connection.servers.add(server);
      reply = 'syn-ack';
    } else if (connection.servers.has(server)) reply = kind === 'fin' ? 'fin-ack' : 'ack';
    const dispatcher = this.anyRouted();
    if (dispatcher === undefined) return;
    const { flow } = connection;
    const packet: Packet = {
      handle: this.handle({ connection, kind: reply, step, server }),
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
    this.timeline.after(0.05, () => this.arrive(dispatcher, packet));
  }

  /** A reply reaches its client. */
  answered({ connection, kind, step }: Flying): void {
    if (connection.finished || connection.broken) return;
    if (kind === 'rst') {
      this.breaks(connection);
      return;
    }
    if (step !== connection.step || kind !== awaits(connection)) return;
    connection.step++;
    connection.tries = 0;
    if (kind === 'fin-ack') connection.finished = true;
    else this.timeline.after(5 + this.prng.below(150), () => this.sends(connection));
  }

  connect(name: string, udp: boolean, client: number, port: number, isn: number, at: number): void {
    const words = [0, 0, 0xffff, 0x0a000000 + client] as const;
    const service = udp ? SERVICE_UDP : SERVICE_TCP;
    const byClient = this.options.affinity === 'client';
    const connection: Connection = {
      name,
      udp,
      flow: new SessionKey(service, KIND_FLOW, words, port, 80),
      session: byClient ? new SessionKey(service, KIND_SESSION, words, 0, 0) : undefined,
      isn,
      exchanges: 2 + this.prng.below(4),
      step: -1,
      tries: 0,
      synAt: 0,
      broken: false,
      finished: udp,
      excused: false,
      servers: new Set(),
    };
    this.connections.set(name, connection);
    this.timeline.at(at, () => {
      if (!udp) this.sends(connection);
      else
        for (let count = 0; count < 6; count++)
          this.timeline.after(this.prng.below(3), () => this.emit(connection, 'datagram', 0));
    });
  }

  crash(dispatcher: SimulatedDispatcher): void {
    const others = this.dispatchers.filter((one) => one !== dispatcher && one.alive);
    if (!dispatcher.alive || others.length === 0) return;
    for (const connection of this.connections.values()) {
      const { text } = connection.flow;
      const known = dispatcher.store.entries.get(text);
      const elsewhere = others.some((one) => one.store.entries.get(text)?.isn === known?.isn);
      if (known !== undefined && !elsewhere) connection.excused = true;
      if (connection.step < 0) connection.excused = true;
    }
    this.close(dispatcher);
    this.crashedAt = this.timeline.now;
    this.timeline.after(40, () => {
      dispatcher.routed = false;
    });
    if (!this.options.restarts) return;
    this.timeline.after(200 + this.prng.below(900), () => {
      dispatcher.routed = false;
      this.dispatchers[dispatcher.id - 1] = this.start(dispatcher.id);
    });
  }

  /** Counts of a dispatcher that ends are kept; what waited in it is dead. */
  close(dispatcher: SimulatedDispatcher): void {
    dispatcher.alive = false;
    const { core } = dispatcher.node;
    for (const checker of this.checkers)
      if ('died' in checker) (checker as { died: number }).died += core.room.packets;
    this.collect(dispatcher);
  }

  collect(dispatcher: SimulatedDispatcher): void {
    for (const [name, value] of Object.entries(dispatcher.node.core.context.counters)) {
      this.totals[name] = (this.totals[name] ?? 0) + value;
    }
  }

  cut(): void {
    const a = 1 + this.prng.below(this.options.dispatchers);
    const b = 1 + this.prng.below(this.options.dispatchers);
    if (a === b) return;
    this.assumptionBroken = true;
    const pairs = this.prng.below(2) === 0 ? [`${a}>${b}`] : [`${a}>${b}`, `${b}>${a}`];
    for (const pair of pairs) this.network.cuts.add(pair);
    this.timeline.after(500 + this.prng.below(1_000), () => {
      for (const pair of pairs) this.network.cuts.delete(pair);
    });
  }

  schedule(): void {
    const { options, prng, timeline } = this;
    const end = START_MS + options.activeMs;
    const sometime = (): number => START_MS + prng.below(options.activeMs);
    for (let index = 0; index < options.tcpFlows; index++) {
      const port = 1_000 + index;
      const at = sometime();
      const client = 1 + (index % Math.max(1, options.tcpFlows >> 2));
      this.connect(`tcp${index}`, false, client, port, 100 + index, at);
      if (index < options.reusedPorts) {
        const name = `tcp${index}#2`;
        this.timeline.at(at + 1_200, () => {
          if (this.connections.get(`tcp${index}`)!.finished) {
            this.connect(name, false, client, port, 5_000 + index, this.timeline.now);
          }
        });
      }
    }
    for (let index = 0; index < options.udpFlows; index++) {
      this.connect(`udp${index}`, true, 1 + index, 2_000 + index, 0, sometime());
    }
    for (let count = 0; count < options.crashes; count++) {
      timeline.at(sometime(), () => this.crash(this.dispatchers[prng.below(this.dispatchers.length)]!));
    }
    for (let count = 0; count < options.partitions; count++) timeline.at(sometime(), () => this.cut());
    for (let count = 0; count < options.serverChanges; count++) {
      timeline.at(sometime(), () => {
        const server = 1 + prng.below(options.servers);
        if (this.drained.has(server)) this.drained.delete(server);
        else if (this.drained.size < options.servers - 1) this.drained.add(server);
      });
    }
    timeline.at(end + 600, () => {
      this.network.calm = true;
    });
  }

  run(): CheckedWorld {
    this.schedule();
    this.timeline.run(START_MS + this.options.activeMs + this.options.quietMs);
    for (const dispatcher of this.dispatchers) if (dispatcher.alive) this.collect(dispatcher);
    const alive = this.dispatchers.filter((one) => one.alive);
    const connections = [...this.connections].map(
      ([name, one]) =>
        [
          name,
          { broken: one.broken && !one.excused, finished: one.finished || one.excused || one.broken },
        ] as const,
    );
    return {
      now: this.timeline.now,
      leaseMs: alive[0]!.node.options.settings.leaseMs,
      dispatchers: alive,
      assumptionBroken: this.assumptionBroken,
      crashes: this.options.crashes,
      closed: [...this.connections.values()]
        .filter((one) => one.finished && !one.udp && !one.broken)
        .map((one) => ({ flow: one.flow.text, isn: one.isn })),
      connections: new Map(connections),
    };
  }
}
