/**
 * The simulated world: dispatchers, clients, servers and faults on one timeline, and the checkers that watch.
 *
 * Packets and datagrams go from here to there with delays; what a dispatcher decides about a packet is told to the
 * checkers and carried out.
 */

import { Prng } from '../base/prng.ts';
import type { Packet } from '../cluster/context.ts';
import { BIT_CLOSING, BIT_FIN_CLIENT, BIT_FIN_SERVER } from '../cluster/entry.ts';
import type { NodeId } from '../cluster/identity.ts';
import type { NodeEffect } from '../cluster/node-events.ts';
import type { CheckedWorld, Checker } from './checker.ts';
import { Clients, type Flying } from './clients.ts';
import { copyTable } from './copies.ts';
import { BEHIND_MS, FLOOD_RATE, SimulatedDispatcher } from './dispatcher.ts';
import { Faults } from './faults.ts';
import { Network } from './network.ts';
import type { SimulationOptions } from './options.ts';
import { Servers } from './servers.ts';
import { Timeline } from './timeline.ts';

/** By then all dispatchers are ready: they agree on one and copy from it. */
const START_MS = 1_500;
/** So long after a restart what others say of a dispatcher may still be about its earlier life. */
const RESTART_MS = 1_500;
/** Without packets for so long and everybody ready, a run is over. */
const SETTLED_MS = 1_600;
/** Two digest periods, their repair, and losses. */
const EVENED_OUT_MS = 2_000;
/** Seconds for which a dispatcher admits new sessions at its rate around one flood: its burst, and the flood itself. */
const FLOOD_ADMITS_SECONDS = 0.2 + 0.15;
/** And so much longer where it is slow: it gets to the last of the flood that much later. */
const SLOW_ADMITS_SECONDS = BEHIND_MS / 1_000;

export class SimulatedWorld {
  readonly options: SimulationOptions;
  readonly timeline = new Timeline();
  readonly prng: Prng;
  readonly network: Network;
  readonly servers: Servers;
  readonly clients: Clients;
  readonly faults: Faults;
  readonly checkers: readonly Checker[];
  readonly dispatchers: SimulatedDispatcher[] = [];
  readonly packets = new Map<number, Flying>();
  handles = 0;
  assumptionBroken = false;
  /** When a dispatcher last became ready or forwarded something. */
  busyAt = 0;
  tunnels = 0;
  stateless = 0;
  drops: Record<string, number> = {};
  totals: Record<string, number> = {};

  constructor(options: SimulationOptions, checkers: readonly Checker[]) {
    this.options = options;
    this.checkers = checkers;
    this.prng = new Prng(options.seed * 2_654_435_761);
    for (let warm = 0; warm < 8; warm++) this.prng.next();
    this.network = new Network(options, this.timeline, this.prng);
    this.servers = new Servers(options, this.timeline);
    this.clients = new Clients(this);
    this.faults = new Faults(this);
    for (let id = 1; id <= options.dispatchers; id++) this.dispatchers.push(this.start(id));
  }

  start(id: NodeId): SimulatedDispatcher {
    const peers: NodeId[] = [];
    for (let other = 1; other <= this.options.dispatchers; other++) if (other !== id) peers.push(other);
    return new SimulatedDispatcher(id, peers, this.options, this.timeline, this.prng, {
      environment: (self) => this.servers.environment(self),
      transmit: (from, to, bytes) => {
        this.network.send(from, to, bytes.length + 28, bytes, () =>
          this.at(to).step({ kind: 'datagram', bytes }),
        );
      },
      effect: (dispatcher, effect) => this.effect(dispatcher, effect),
      silence: (nodes) => this.silence(nodes),
    });
  }

  at(id: NodeId): SimulatedDispatcher {
    return this.dispatchers[id - 1]!;
  }

  effect(dispatcher: SimulatedDispatcher, effect: NodeEffect): void {
    switch (effect.kind) {
      case 'alone':
        // It heard of nobody who is ready for so long that it takes the table for empty (rule 17).
        if (this.dispatchers.some((one) => one.alive && one.node.core.context.ready))
          this.assumptionBroken = true;
        dispatcher.step({ kind: 'alone-done' });
        break;
      case 'copy-request':
        copyTable(this.timeline, this.network, this.at(effect.from), dispatcher);
        break;
      case 'ready':
        this.becameReady(dispatcher);
        break;
      case 'peer': {
        const other = this.at(effect.change.node);
        if (effect.change.kind === 'peer-down' && other.alive && other.node.membership.beatAt > 0) {
          this.suspected(dispatcher, other);
        }
        break;
      }
      case 'tunnel':
        this.ended(effect.packet, 'tunnel');
        this.tunnel(dispatcher, effect.packet, effect.to, effect.hops);
        break;
      case 'forward':
        this.ended(effect.packet, 'forward');
        this.forward(dispatcher, effect.packet, effect.server, effect.stateless);
        break;
      case 'drop':
        this.drops[effect.reason] = (this.drops[effect.reason] ?? 0) + 1;
        this.ended(effect.packet, effect.reason);
        break;
      case 'reset': {
        this.ended(effect.packet, 'reset');
        const { connection } = this.packets.get(effect.packet.handle)!;
        if (!connection.finished) connection.broken = true;
        break;
      }
    }
  }

  becameReady(dispatcher: SimulatedDispatcher): void {
    const { now } = this.timeline;
    dispatcher.routed = true;
    dispatcher.readyAt = now;
    this.busyAt = now;
    // Who is cut off may be ready with what it has (rule 17).
    if (now - this.faults.cutUntil <= EVENED_OUT_MS || this.assumptionBroken) return;
    for (const checker of this.checkers) checker.ready?.(dispatcher, this.dispatchers, now);
  }

  /** Whether what others hold of this dispatcher can be about its earlier life still. */
  isNew({ startedAt }: SimulatedDispatcher): boolean {
    return startedAt > 0 && this.timeline.now - startedAt <= RESTART_MS;
  }

  /** The silence of the dead is no danger; that of the living breaks the assumption. */
  silence(nodes: readonly NodeId[]): void {
    for (const node of nodes) {
      const one = this.at(node);
      if (one.alive && !this.isNew(one)) this.assumptionBroken = true;
    }
  }

  /** Someone alive was taken for dead: one server is not promised in this run, unless it just started anew. */
  suspected(by: SimulatedDispatcher, other: SimulatedDispatcher): void {
    if (by.node.membership.members.get(other.id)?.incarnation !== other.node.options.life.incarnation) return;
    const { ready } = other.node.core.context;
    if (ready && by.node.core.context.ready && !this.isNew(other)) this.assumptionBroken = true;
  }

  ended(packet: Packet, how: Parameters<NonNullable<Checker['packetEnded']>>[1]): void {
    for (const checker of this.checkers) checker.packetEnded?.(packet, how, this.timeline.now);
  }

  tunnel(dispatcher: SimulatedDispatcher, packet: Packet, to: NodeId, hops: number): void {
    this.tunnels++;
    for (const checker of this.checkers) checker.tunnelled?.(hops);
    const flying = this.packets.get(packet.handle)!;
    this.network.send(dispatcher.id, to, packet.bytes + 20, undefined, () => {
      this.arrive(this.at(to), { ...packet, handle: this.handle(flying), hops, from: dispatcher.id });
    });
  }

  handle(flying: Flying): number {
    this.packets.set(++this.handles, flying);
    return this.handles;
  }

  arrive(dispatcher: SimulatedDispatcher, packet: Packet): void {
    dispatcher.inTurn(() => {
      for (const checker of this.checkers) checker.packetCame?.(packet, this.timeline.now);
      dispatcher.act({ kind: 'packet', packet });
    });
  }

  /** A packet leaves a dispatcher, toward a server or a client. */
  forward(dispatcher: SimulatedDispatcher, packet: Packet, server: number, stateless: boolean): void {
    const flying = this.packets.get(packet.handle)!;
    const { connection, kind } = flying;
    this.busyAt = this.timeline.now;
    // Under `announce` a session may be chosen twice at once, in a flood once by hash: a SYN in between follows both.
    const follows = kind === 'syn' && connection.session !== undefined && this.options.lock === 'announce';
    if (follows && connection.byHash && !stateless) connection.excused = true;
    connection.byHash = stateless;
    if (stateless) this.stateless++;
    const note = (bits: number): void => dispatcher.act({ kind: 'note', key: connection.flow, bits });
    if (flying.server === 0) {
      if (!connection.spoofed) {
        for (const checker of this.checkers) checker.forwarded?.({ connection, server, by: dispatcher.id });
      }
      if (kind === 'fin') note(BIT_FIN_CLIENT);
      this.timeline.after(0.05, () => this.clients.reaches(server, flying));
      return;
    }
    if (kind === 'fin-ack') note(BIT_FIN_SERVER);
    if (kind === 'rst') note(BIT_CLOSING);
    this.timeline.after(0.05, () => this.clients.answered(flying));
  }

  /** Counts of a dispatcher that ends are kept; what waited in it is gone. */
  collect(dispatcher: SimulatedDispatcher): void {
    for (const [name, value] of Object.entries(dispatcher.node.core.context.counters)) {
      this.totals[name] = (this.totals[name] ?? 0) + value;
    }
  }

  run(): CheckedWorld {
    const { options, prng, timeline, servers, faults } = this;
    const sometime = (): number => START_MS + prng.below(options.activeMs);
    this.clients.schedule(sometime);
    faults.schedule(sometime);
    timeline.at(START_MS + options.activeMs + 400, () => {
      this.network.calm = true;
    });
    timeline.run(START_MS + options.activeMs + options.quietMs);
    // Whoever was late (all crashed, say) gets the quiet time too.
    for (let more = 8; more > 0 && timeline.now - this.busyAt < SETTLED_MS; more--)
      timeline.run(timeline.now + 500);
    const alive = this.dispatchers.filter((one) => one.alive);
    for (const dispatcher of alive) this.collect(dispatcher);
    const perSession = options.affinity === 'client' ? 2 : 1;
    const seconds = FLOOD_ADMITS_SECONDS + (options.slowdowns > 0 ? SLOW_ADMITS_SECONDS : 0);
    const admitted = options.dispatchers * Math.ceil(FLOOD_RATE * seconds) * options.floods * perSession;
    return {
      now: timeline.now,
      leaseMs: alive[0]!.node.options.settings.leaseMs,
      dispatchers: alive,
      assumptionBroken: this.assumptionBroken,
      crashes: options.crashes,
      connections: [...this.clients.connections.values()],
      announces: options.lock === 'announce',
      dead: servers.dead,
      drained: servers.everDrained,
      flood: faults.spoofed === 0 ? undefined : { spoofed: faults.spoofed, admitted },
      counters: this.totals,
      tunnels: this.tunnels,
      stateless: this.stateless,
    };
  }
}
