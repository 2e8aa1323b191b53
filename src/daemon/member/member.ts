/**
 * One dispatcher as a member of its cluster: joins the protocol, the dispatch table and the packet path, on the dispatcher thread.
 *
 * The packet path hands over what the table alone does not decide (`ClusterGate`); the protocol answers with effects. Those about the packet at
 * hand happen in place. Others wait in `#released` until the loop puts them into a batch (`release`). Datagrams leave by `flush`, once a turn, and
 * always before the packets of that turn: an update is under way before the first packet is.
 */

import type { Generation } from '../../balance/generation.ts';
import { COUNTER } from '../../base/counters.ts';
import type { DropReason, Packet } from '../../cluster/context.ts';
import { NO_SERVER } from '../../cluster/entry.ts';
import { ClusterNode, type NodeEffect, type NodeEvent } from '../../cluster/node.ts';
import { KIND_FLOW, ReplyKey, SessionKey } from '../../cluster/session-key.ts';
import { answerReset } from '../../forward/answer.ts';
import { classifyBatch } from '../../forward/classify.ts';
import type { ClusterGate } from '../../forward/cluster-gate.ts';
import { sendToClient, sendToServer } from '../../forward/egress.ts';
import { count, KIND_DONE, KIND_REPLY, KIND_REQUEST, type PathState } from '../../forward/path-state.ts';
import { forwardReply } from '../../forward/reply.ts';
import { forwardRequest, handleRequest } from '../../forward/request.ts';
import type { DispatchTable } from '../../table/dispatch-table.ts';
import { NO_ROW } from '../../table/flow-row.ts';
import type { AddressWords } from '../../wire/address.ts';
import { PROTOCOL_TCP } from '../../wire/protocol.ts';
import { TCP_ACK, TCP_RST, TCP_SYN, tcpSequence } from '../../wire/tcp.ts';
import { MemberEnvironment } from './environment.ts';
import { Ids, UNKNOWN } from './ids.ts';
import { MemberCounters } from './member-counters.ts';
import { ParkedPackets, unpark } from './parked-packets.ts';
import { bitsOfRow } from './row-bits.ts';
import { RowStore } from './row-store.ts';
import type { MemberSetup } from './setup.ts';
import { nodeOptions } from './setup.ts';
import { type Opened, openTunnelled, type TunnelEnd, tunnelPacket } from './tunnel.ts';

const DROPS: { readonly [Reason in DropReason]: number } = {
  'not-ready': COUNTER['drop-not-ready'],
  'no-service': COUNTER['drop-no-service'],
  'no-server': COUNTER['drop-no-server'],
  'queue-full': COUNTER['drop-queue-full'],
  'waited-too-long': COUNTER['drop-waited-too-long'],
  'hop-limit': COUNTER['drop-hop-limit'],
  'table-full': COUNTER['drop-table-full'],
  'question-unanswered': COUNTER['drop-question-unanswered'],
  'question-limit': COUNTER['drop-question-limit'],
  'unknown-flow': COUNTER['drop-unknown'],
  'reply-unknown': COUNTER['drop-reply-unknown'],
};
const DROP_UNKNOWN = COUNTER['drop-unknown'];
const DROP_NO_SERVER = COUNTER['drop-no-server'];
const DROP_TUNNEL_BAD = COUNTER['drop-tunnel-bad'];
const DROP_TUNNEL_STRANGER = COUNTER['drop-tunnel-stranger'];
const TUNNEL_RECEIVED = COUNTER['tunnel-received'];
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
  /** Sends a sealed datagram. @param peer its number in the setup */
  onDatagram: (peer: number, bytes: Uint8Array) => void = () => {};
  readonly #environment: MemberEnvironment;
  readonly #counters: MemberCounters;
  readonly #state: PathState;
  readonly #table: DispatchTable;
  readonly #parked = new ParkedPackets();
  readonly #self: TunnelEnd;
  readonly #peers: readonly TunnelEnd[];
  readonly #peerIndex: ReadonlyMap<number, number>;
  readonly #opened: Opened = { offset: 0, length: 0, hops: 0 };
  #released: Decision[] = [];
  #handles = 0;
  #now: number;

  /** @param now protocol time, ms: monotonic, never wraps */
  constructor(setup: MemberSetup, state: PathState, table: DispatchTable, now: number) {
    this.#state = state;
    this.#table = table;
    this.#now = now;
    this.store = new RowStore(table, state, this.ids);
    this.store.now = now;
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
    return this.node.deadline;
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
    if (this.#now >= this.node.deadline) this.step({ kind: 'deadline' });
  }

  /** An event that is not about a packet at hand. */
  step(event: NodeEvent): void {
    this.#run(this.node.step(this.#now, event), 0, 0);
  }

  /** Sends what the steps of this turn have to say. Before any packet of the turn leaves. */
  flush(): void {
    for (const { to, bytes } of this.node.flush(this.#now)) this.#transmit(to, bytes);
    this.#counters.update(this.node);
  }

  request(index: number): void {
    const state = this.#state;
    const service = state.service[index]!;
    const flow = this.#flowOf(index, service);
    const tcp = state.parsed.protocol[index] === PROTOCOL_TCP;
    const flags = state.parsed.tcpFlags[index]!;
    const opens = !tcp || (flags & (TCP_SYN | TCP_ACK | TCP_RST)) === TCP_SYN;
    this.#packet(index, {
      flow,
      session: state.services.isSession(service) ? this.store.sessionOf(service, flow) : undefined,
      reply: undefined,
      opens,
      isn: opens && tcp ? this.#sequence(index) : 0,
      life: tcp && (flags & (TCP_SYN | TCP_RST)) === 0,
    });
  }

  reply(index: number): void {
    const { parsed } = this.#state;
    const reply = new ReplyKey(
      parsed.protocol[index]!,
      words(parsed.source0, parsed.source1, parsed.source2, parsed.source3, index),
      parsed.sourcePort[index]!,
      words(parsed.destination0, parsed.destination1, parsed.destination2, parsed.destination3, index),
      parsed.destinationPort[index]!,
    );
    const life = parsed.protocol[index] !== PROTOCOL_TCP || (parsed.tcpFlags[index]! & TCP_RST) === 0;
    this.#packet(index, { flow: undefined, session: undefined, reply, opens: false, isn: 0, life });
  }

  changed(row: number): void {
    const table = this.#table;
    const bits = bitsOfRow(table.state(row), table.flags(row));
    if ((bits & ~this.store.columns.bits[row]!) === 0) return;
    this.step({ kind: 'note', key: this.store.keyOf(row), bits });
  }

  /**
   * Runs packets that other dispatchers tunnelled here.
   * @param sources four words a packet: who sent it
   */
  tunnelled(sources: Uint32Array): void {
    const state = this.#state;
    const { batch } = state;
    const slots = batch.rxOffset.slice();
    let kept = 0;
    for (let index = 0; index < batch.rxCount; index++) {
      const via = addressAt(sources, index);
      const peer = this.#peers.find((one) => sameWords(one.words, via));
      if (peer === undefined) {
        count(state, DROP_TUNNEL_STRANGER);
        continue;
      }
      openTunnelled(state.view, slots[index]!, batch.rxLength[index]!, via, this.#isPeer, this.#opened);
      if (this.#opened.offset === 0) {
        count(state, DROP_TUNNEL_BAD);
        continue;
      }
      count(state, TUNNEL_RECEIVED);
      batch.rxOffset[kept] = this.#opened.offset;
      batch.rxLength[kept] = this.#opened.length;
      state.from[kept] = peer.node;
      state.hops[kept] = this.#opened.hops;
      kept++;
    }
    batch.rxCount = kept;
    classifyBatch(state);
    for (let index = 0; index < kept; index++) {
      const kind = state.kind[index];
      if (kind === KIND_REQUEST && state.ready) handleRequest(state, this.#table, index);
      else if (kind === KIND_REQUEST) count(state, DROPS['not-ready']);
      else if (kind !== KIND_DONE) count(state, DROP_TUNNEL_BAD);
    }
    // Slots are where they were: the next batch comes from elsewhere.
    batch.rxOffset.set(slots);
    state.from.fill(0);
    state.hops.fill(0);
  }

  /** Puts packets that waited into the batch, which must be empty, and lets them go. @returns whether more are left */
  release(): boolean {
    const state = this.#state;
    const { batch } = state;
    const decisions: Decision[] = [];
    while (decisions.length < batch.capacity && this.#released.length > decisions.length) {
      const decision = this.#released[decisions.length]!;
      decisions.push(decision);
    }
    this.#released = this.#released.slice(decisions.length);
    const placed: Decision[] = [];
    for (const decision of decisions) {
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

  #isPeer = (address: AddressWords): boolean => this.#peers.some((one) => sameWords(one.words, address));

  #packet(index: number, facts: Pick<Packet, 'flow' | 'session' | 'reply' | 'opens' | 'isn' | 'life'>): void {
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
    const peer = this.#peerIndex.get(to);
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
    const row = decision.stateless ? NO_ROW : this.store.rowOf(key);
    if (row === NO_ROW && isReply) sendToClient(state, index, service, key.vipPort);
    else if (row === NO_ROW) sendToServer(state, index, service, server, key.vipPort);
    else if (isReply) forwardReply(state, this.#table, row, index);
    else forwardRequest(state, this.#table, row, index);
  }

  #flowOf(index: number, service: number): SessionKey {
    const { parsed } = this.#state;
    return new SessionKey(
      this.ids.serviceId(service),
      KIND_FLOW,
      words(parsed.source0, parsed.source1, parsed.source2, parsed.source3, index),
      parsed.sourcePort[index]!,
      parsed.destinationPort[index]!,
    );
  }

  #sequence(index: number): number {
    const { batch, parsed, view } = this.#state;
    return tcpSequence(view, batch.rxOffset[index]! + parsed.headerLength[index]!);
  }
}

interface Column {
  readonly [index: number]: number;
}

function words(w0: Column, w1: Column, w2: Column, w3: Column, index: number): AddressWords {
  return [w0[index]! >>> 0, w1[index]! >>> 0, w2[index]! >>> 0, w3[index]! >>> 0];
}

function addressAt(sources: Uint32Array, index: number): AddressWords {
  const at = index * 4;
  return [sources[at]!, sources[at + 1]!, sources[at + 2]!, sources[at + 3]!];
}

function sameWords(a: AddressWords, b: AddressWords): boolean {
  return a[0] === b[0] && a[1] === b[1] && a[2] === b[2] && a[3] === b[3];
}
