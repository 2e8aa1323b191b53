/**
 * One dispatcher as a member of its cluster: joins the protocol, the dispatch table and the packet path, on the dispatcher thread.
 *
 * The packet path hands over what the table alone does not decide (`ClusterGate`); the protocol answers with effects. Those about the packet at
 * hand happen in place. Others wait in `#released` until the loop puts them into a batch (`release`). Datagrams leave by `flush`, once a turn, and
 * always before the packets of that turn: an update is under way before the first packet is.
 */

import type { Generation } from '../../balance/generation.ts';
import { COUNTER } from '../../base/counters.ts';
import type { Packet } from '../../cluster/context.ts';
import { NO_SERVER } from '../../cluster/entry.ts';
import { EVERYBODY } from '../../cluster/link.ts';
import { ClusterNode } from '../../cluster/node.ts';
import type { NodeEffect, NodeEvent } from '../../cluster/node-events.ts';
import { answerReset } from '../../forward/answer.ts';
import { classifyBatch } from '../../forward/classify.ts';
import type { ClusterGate } from '../../forward/cluster-gate.ts';
import { sendToClient, sendToServer } from '../../forward/egress.ts';
import { count, KIND_DONE, KIND_REPLY, KIND_REQUEST, type PathState } from '../../forward/path-state.ts';
import { forwardReply } from '../../forward/reply.ts';
import { forwardRequest, handleRequest } from '../../forward/request.ts';
import type { DispatchTable } from '../../table/dispatch-table.ts';
import { NO_ROW } from '../../table/flow-row.ts';
import { TCP_RST } from '../../wire/tcp.ts';
import { DROPS } from './drop-counters.ts';
import { MemberEnvironment } from './environment.ts';
import { Ids, UNKNOWN } from './ids.ts';
import { LateNotes } from './late-notes.ts';
import { MemberCounters } from './member-counters.ts';
import { type PacketFacts, replyFacts, requestFacts } from './packet-facts.ts';
import { ParkedPackets, unpark } from './parked-packets.ts';
import { endBits } from './row-bits.ts';
import { RowStore } from './row-store.ts';
import type { MemberSetup } from './setup.ts';
import { nodeOptions } from './setup.ts';
import { openTunnelledBatch, type TunnelEnd, tunnelPacket } from './tunnel.ts';

const DROP_UNKNOWN = COUNTER['drop-unknown'];
const DROP_NO_SERVER = COUNTER['drop-no-server'];
const DROP_TUNNEL_BAD = COUNTER['drop-tunnel-bad'];
const PACKET_WAITED = COUNTER['waited'];

/** An effect that decides about a packet. */
type Decision = Extract<NodeEffect, { readonly packet: Packet }>;

/** What of the protocol concerns others than the packet path. */
export type MemberEvent = Extract<NodeEffect, { readonly kind: 'copy-request' | 'ready' | 'peer' | 'alone' }>;

export class Member implements ClusterGate {
  readonly node: ClusterNode;
  readonly store: RowStore;
  readonly ids = new Ids();
  /** Called with what the main thread must know. */
  onEvent: (event: MemberEvent) => void = () => {};
  /** Sends a sealed datagram. @param peer its number in the setup; the number after the last is the multicast group */
  onDatagram: (peer: number, bytes: Uint8Array) => void = () => {};
  readonly #environment: MemberEnvironment;
  readonly #counters: MemberCounters;
  readonly #state: PathState;
  readonly #table: DispatchTable;
  readonly #parked = new ParkedPackets();
  readonly #notes: LateNotes;
  readonly #self: TunnelEnd;
  readonly #peers: readonly TunnelEnd[];
  readonly #peerIndex: ReadonlyMap<number, number>;
  #released: Decision[] = [];
  #handles = 0;
  #now: number;

  /** @param now protocol time, ms: monotonic, never wraps */
  constructor(setup: MemberSetup, state: PathState, table: DispatchTable, now: number) {
    this.#state = state;
    this.#table = table;
    this.#now = now;
    this.store = new RowStore(table, state, this.ids, setup.self.node);
    this.store.now = now;
    this.#notes = new LateNotes(table, this.store);
    this.#environment = new MemberEnvironment(state, this.ids, this.store);
    this.#self = { node: setup.self.node, words: setup.self.address.words };
    this.#peers = setup.peers.map(({ node, address }) => ({ node, words: address.words }));
    this.#peerIndex = new Map(setup.peers.map(({ node }, index) => [node, index]));
    this.node = new ClusterNode(nodeOptions(setup, this.#environment, this.store, now));
    this.#counters = new MemberCounters(state.counters);
    state.ready = false;
    state.cluster = this;
  }

  /** `state` has a new generation. */
  generationChanged(generation: Generation): void {
    this.ids.apply(generation);
    this.#environment.generationChanged();
    this.store.generationChanged();
  }

  /** A turn of the loop begins. @param now protocol time; `state.now` is the same moment in the table's */
  turn(now: number): void {
    this.#now = now;
    this.store.now = now;
  }

  get deadline(): number {
    return Math.min(this.node.deadline, this.#notes.deadline);
  }

  /** Whether packets that waited can go on: call `release` with an empty batch. */
  get hasReleased(): boolean {
    return this.#released.length > 0;
  }

  datagram(bytes: Buffer): void {
    this.step({ kind: 'datagram', bytes });
  }

  /** Lets what is due happen. */
  tick(): void {
    if (this.#now >= this.#notes.deadline) this.#tell(this.#now);
    if (this.#now >= this.node.deadline) this.step({ kind: 'deadline' });
  }

  /** An event that is not about a packet at hand. */
  step(event: NodeEvent): void {
    // Others must not be given, nor left with, less than is known here.
    if (event.kind === 'copy' || event.kind === 'leave') this.#tell(Number.POSITIVE_INFINITY);
    this.#run(this.node.step(this.#now, event), 0, 0);
  }

  /** Sends what the steps of this turn have to say. Before any packet of the turn leaves. */
  flush(): void {
    for (const { to, bytes } of this.node.flush(this.#now)) this.#transmit(to, bytes);
    this.#counters.update(this.node);
  }

  request(index: number): void {
    const { parsed } = this.#state;
    if (this.#notes.concern(parsed.source3[index]!, parsed.sourcePort[index]!)) this.#tell();
    this.#packet(index, requestFacts(this.#state, index, this.ids, this.store));
  }

  reply(index: number): void {
    const { parsed } = this.#state;
    if (this.#notes.concern(parsed.destination3[index]!, parsed.destinationPort[index]!)) this.#tell();
    this.#packet(index, replyFacts(this.#state, index));
  }

  changed(row: number): void {
    if (this.#notes.changed(row, this.#now)) this.#tell();
  }

  /** Tells the protocol what packets have shown. @param until of resets, those that are due by then */
  #tell(until = 0): void {
    for (const { key, bits } of this.#notes.take(until))
      this.#run(this.node.step(this.#now, { kind: 'note', key, bits }), 0, 0);
  }

  /** Runs packets that other dispatchers tunnelled here. @param sources four words a packet: who sent it */
  tunnelled(sources: Uint32Array): void {
    const state = this.#state;
    const slots = state.batch.rxOffset.slice();
    openTunnelledBatch(state, sources, this.#peers);
    classifyBatch(state);
    for (let index = 0; index < state.batch.rxCount; index++) {
      const kind = state.kind[index];
      if (kind === KIND_REQUEST && state.ready) handleRequest(state, this.#table, index);
      else if (kind === KIND_REQUEST) count(state, DROPS['not-ready']);
      else if (kind !== KIND_DONE) count(state, DROP_TUNNEL_BAD);
    }
    // Slots are where they were: the next batch comes from elsewhere.
    state.batch.rxOffset.set(slots);
    state.from.fill(0);
    state.hops.fill(0);
  }

  /** Puts packets that waited into the batch, which must be empty, and lets them go. @returns whether more are left */
  release(): boolean {
    const state = this.#state;
    const { batch } = state;
    const placed: Decision[] = [];
    const released = this.#released.slice(0, batch.capacity);
    this.#released = this.#released.slice(batch.capacity);
    for (const decision of released) {
      const parked = this.#parked.take(decision.packet.handle);
      if (parked === undefined) continue;
      const index = unpark(parked, batch);
      state.from[index] = parked.from;
      state.hops[index] = parked.hops;
      placed.push(decision);
    }
    classifyBatch(state);
    for (const [index, decision] of placed.entries()) {
      if (state.kind[index] === KIND_REQUEST || state.kind[index] === KIND_REPLY)
        this.#decide(decision, index);
      else if (state.kind[index] !== KIND_DONE) count(state, DROPS['no-service']);
    }
    state.from.fill(0);
    state.hops.fill(0);
    return this.#released.length > 0;
  }

  #packet(index: number, facts: PacketFacts): void {
    const state = this.#state;
    const packet: Packet = {
      handle: ++this.#handles,
      bytes: state.batch.rxLength[index]!,
      ...facts,
      hops: state.hops[index]!,
      from: state.from[index]!,
    };
    this.#run(this.node.step(this.#now, { kind: 'packet', packet }), packet.handle, index);
  }

  /** @param handle of the packet at `index` that this step is about, or 0 */
  #run(effects: readonly NodeEffect[], handle: number, index: number): void {
    let waits = false;
    let decision: Decision | undefined;
    for (const effect of effects) {
      switch (effect.kind) {
        case 'copy-request':
        case 'peer':
        case 'alone':
          this.onEvent(effect);
          break;
        case 'ready':
          this.#state.ready = true;
          this.onEvent(effect);
          break;
        case 'wait':
          // A packet that waits already stays where it is.
          if (effect.packet.handle === handle) waits = true;
          break;
        default:
          if (effect.packet.handle === handle) {
            waits = false;
            decision = effect;
          } else this.#released.push(effect);
      }
    }
    if (decision !== undefined) this.#decide(decision, index);
    else if (waits) {
      const { batch, from, hops } = this.#state;
      count(this.#state, PACKET_WAITED);
      this.#parked.park(handle, batch, index, from[index]!, hops[index]!);
    }
  }

  #transmit(to: number, bytes: Uint8Array): void {
    const peer = to === EVERYBODY ? this.#peers.length : this.#peerIndex.get(to);
    if (peer !== undefined) this.onDatagram(peer, bytes);
  }

  /** Does to the packet at `index` what the protocol decided. */
  #decide(decision: Decision, index: number): void {
    const state = this.#state;
    switch (decision.kind) {
      case 'forward':
        this.#forward(decision, index);
        break;
      case 'tunnel': {
        const target = this.#peerIndex.get(decision.to);
        const through = this.#peers.find(({ node }) => node === state.from[index]);
        if (target === undefined) count(state, DROPS['hop-limit']);
        else tunnelPacket(state, index, target, this.#self, through);
        break;
      }
      case 'drop':
        count(state, DROPS[decision.reason]);
        break;
      case 'reset':
        // A reset is never answered.
        if ((state.parsed.tcpFlags[index]! & TCP_RST) !== 0) count(state, DROP_UNKNOWN);
        else answerReset(state, index);
        break;
    }
  }

  #forward(decision: Extract<Decision, { readonly kind: 'forward' }>, index: number): void {
    const state = this.#state;
    const { key } = decision;
    const service = this.ids.serviceIndex(key.service);
    const server = this.ids.serverIndex(decision.server);
    if (service === UNKNOWN || server === UNKNOWN || decision.server === NO_SERVER)
      return count(state, DROP_NO_SERVER);
    const isReply = state.kind[index] === KIND_REPLY;
    const row = decision.stateless ? NO_ROW : this.store.keys.rowOf(key);
    // The entry of a flow that went by hash may be under way.
    const ends = row === NO_ROW ? endBits(state.parsed.tcpFlags[index]!, isReply) : 0;
    if (ends !== 0) this.node.step(this.#now, { kind: 'note', key, bits: ends });
    if (row === NO_ROW && isReply) sendToClient(state, index, service, key.vipPort);
    else if (row === NO_ROW) sendToServer(state, index, service, server, key.vipPort);
    else if (isReply) forwardReply(state, this.#table, row, index);
    else forwardRequest(state, this.#table, row, index);
  }
}
