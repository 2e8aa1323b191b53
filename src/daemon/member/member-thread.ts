/**
 * The cluster's part of the dispatcher thread's loop: sockets toward the other dispatchers, and what the main thread wants of the member.
 */

import type { Generation } from '../../balance/generation.ts';
import { COUNTER } from '../../base/counters.ts';
import { LatchwayError } from '../../base/fault.ts';
import type { PeerChange } from '../../cluster/membership.ts';
import type { PathState } from '../../forward/path-state.ts';
import { PeerSocket, type PeerSocketOptions } from '../../io/peer-socket.ts';
import { TunnelSocket } from '../../io/tunnel-socket.ts';
import type { DispatchTable } from '../../table/dispatch-table.ts';
import { formatAddress } from '../../wire/address.ts';
import type { FromThread, LoadedTable, ThreadAnswer, ThreadQuestion, ToThread } from '../threads/messages.ts';
import { CopyWork } from './copy-work.ts';
import { Member, type MemberEvent } from './member.ts';
import { clusterState, explainPacket, knownEntries, lockStates, peerStates } from './member-views.ts';
import type { MemberSetup } from './setup.ts';

const SENT = COUNTER['cluster-datagrams-sent'];
const SENT_BYTES = COUNTER['cluster-bytes-sent'];
const RECEIVED = COUNTER['cluster-datagrams-received'];
const RECEIVED_BYTES = COUNTER['cluster-bytes-received'];
const MULTICAST_SENT = COUNTER['cluster-multicasts-sent'];
const MULTICAST_RECEIVED = COUNTER['cluster-multicasts-received'];
const LOST = COUNTER['cluster-datagrams-lost'];

/** Batches of datagrams in one turn: packets must not starve behind them. */
const RECEIVES_PER_TURN = 4;

export class MemberThread {
  readonly member: Member;
  readonly tunnel: TunnelSocket;
  readonly #peers: PeerSocket;
  /** Number of all others together at the socket. */
  readonly #group: number;
  readonly #datagramFds: number;
  readonly #allFds: number;
  readonly #state: PathState;
  readonly #post: (message: FromThread) => void;
  /** Loads the saved table; called when this dispatcher is the first to be ready. */
  readonly #load: () => LoadedTable;
  readonly #copies: CopyWork;
  /** What became of peers since the last flush: who comes and goes in one turn is said once. */
  readonly #changes = new Map<number, PeerChange>();
  #loaded: LoadedTable | undefined;

  /** @throws LatchwayError host-conflict when the cluster's address or port cannot be had */
  constructor(options: {
    readonly setup: MemberSetup;
    readonly state: PathState;
    readonly table: DispatchTable;
    readonly post: (message: FromThread) => void;
    readonly load: () => LoadedTable;
  }) {
    const { setup, state, table } = options;
    this.#state = state;
    this.#post = options.post;
    this.#load = options.load;
    this.member = new Member(setup, state, table, performance.now());
    this.#copies = new CopyWork(this.member);
    const peers = setup.peers.map(({ address }) => address);
    const { self, port, multicast } = setup;
    this.#peers = openPeers({ local: self.address, port, peers, multicast });
    this.#group = peers.length;
    this.tunnel = new TunnelSocket(setup.self.address, state.batch.capacity);
    this.#datagramFds = this.#peers.fds.length;
    this.#allFds = this.fds.length;
    this.member.onDatagram = (peer, bytes) => this.#send(peer, bytes);
    this.member.onEvent = (event) => this.#event(event);
  }

  /** To be polled with the device, in this order: what datagrams come by, then what tunnelled packets come by. */
  get fds(): readonly number[] {
    return [...this.#peers.fds, ...this.tunnel.fds];
  }

  /** Whether datagrams of other dispatchers have come. @param isReady by the place in `fds` */
  hasDatagrams(isReady: (place: number) => boolean): boolean {
    return this.#anyReady(isReady, 0, this.#datagramFds);
  }

  /** Whether packets have come that other dispatchers tunnelled here. @param isReady by the place in `fds` */
  hasTunnelled(isReady: (place: number) => boolean): boolean {
    return this.#anyReady(isReady, this.#datagramFds, this.#allFds);
  }

  #anyReady(isReady: (place: number) => boolean, from: number, to: number): boolean {
    for (let place = from; place < to; place++) if (isReady(place)) return true;
    return false;
  }

  /** Ms until something is due, at most `limitMs`. */
  waitMs(limitMs: number): number {
    if (!this.#copies.isIdle) return 0;
    return Math.min(limitMs, Math.max(0, Math.ceil(this.member.deadline - performance.now())));
  }

  /**
   * A turn begins; `state.now` is set. Takes what other dispatchers said.
   * @param hear whether something has come. @returns whether more waits
   */
  begin(hear: boolean): boolean {
    const { counters } = this.#state;
    this.member.turn(performance.now());
    let more = hear;
    for (let left = RECEIVES_PER_TURN; more && left > 0; left--) {
      more = this.#peers.receive((bytes) => {
        counters[RECEIVED] = counters[RECEIVED]! + 1;
        counters[RECEIVED_BYTES] = counters[RECEIVED_BYTES]! + bytes.length;
        this.member.datagram(bytes);
      });
    }
    this.#copies.step();
    this.member.tick();
    return more || !this.#copies.isIdle;
  }

  /** Sends all that is to be said. Before the packets of the turn leave. */
  flush(): void {
    this.member.flush();
    this.#peers.flush();
    const { counters } = this.#state;
    if (this.#peers.lost > counters[LOST]!) this.member.step({ kind: 'pressed' });
    counters[LOST] = this.#peers.lost;
    counters[MULTICAST_RECEIVED] = this.#peers.receivedByGroup;
    for (const change of this.#changes.values()) this.#post({ type: 'peer', change });
    this.#changes.clear();
  }

  generationChanged(generation: Generation): void {
    this.member.generationChanged(generation);
  }

  /** A message of the main thread; those that are not about the cluster are left alone. */
  obey(message: ToThread): void {
    this.member.turn(performance.now());
    switch (message.type) {
      case 'copy-end':
        this.member.step({ kind: 'copy-end', vector: message.vector });
        break;
      case 'copy-failed':
        this.member.step({ kind: 'copy-failed' });
        break;
      case 'configuration':
        this.member.node.configuration = message.configuration;
        this.member.node.core.flood.limit(message.newSessionsPerSecond);
        break;
      case 'ask':
        this.#ask(message.id, message.question);
        break;
      case 'stop':
        this.member.step({ kind: 'leave' });
        this.flush();
        break;
    }
  }

  close(): void {
    this.#peers.close();
    this.tunnel.close();
  }

  #send(peer: number, bytes: Uint8Array): void {
    const { counters } = this.#state;
    counters[SENT] = counters[SENT]! + 1;
    if (peer === this.#group) counters[MULTICAST_SENT] = counters[MULTICAST_SENT]! + 1;
    counters[SENT_BYTES] = counters[SENT_BYTES]! + bytes.length;
    this.#peers.send(peer, bytes);
  }

  #event(event: MemberEvent): void {
    switch (event.kind) {
      case 'alone':
        this.#loaded = this.#load();
        this.member.step({ kind: 'alone-done' });
        break;
      case 'ready':
        this.#post({ type: 'cluster-ready', loaded: this.#loaded });
        break;
      case 'copy-request':
        this.#post({ type: 'copy-request', from: event.from });
        break;
      case 'peer':
        this.#changes.set(event.change.node, event.change);
        break;
    }
  }

  #ask(id: number, question: ThreadQuestion): void {
    const answer = (answered: ThreadAnswer): void => this.#post({ type: 'answer', id, answer: answered });
    if (question.what === 'copy') this.#copies.copyOut(question.cursor, answer);
    else if (question.what === 'take') this.#copies.takeIn(question, answer);
    else answer(this.#answer(question));
  }

  #answer(question: Exclude<ThreadQuestion, { readonly what: 'copy' | 'take' }>): ThreadAnswer {
    const { member } = this;
    const now = performance.now();
    switch (question.what) {
      case 'vector':
        return { what: 'vector', vector: member.node.vector() };
      case 'peers':
        return { what: 'peers', peers: peerStates(member, now) };
      case 'locks':
        return { what: 'locks', locks: lockStates(member, now) };
      case 'cluster':
        return { what: 'cluster', cluster: clusterState(member) };
      case 'known':
        return { what: 'known', entries: knownEntries(member, question.keys) };
      case 'explain': {
        const { vip, vipPort, protocol } = question.packet;
        const [v0, v1, v2, v3] = vip;
        const index = this.#state.services.findService(v0 | 0, v1 | 0, v2 | 0, v3 | 0, protocol, vipPort);
        const service = [...member.ids.services.values()].find((one) => one.index === index);
        return { what: 'explain', explained: explainPacket(member, question.packet, service) };
      }
    }
  }
}

/** @throws LatchwayError host-conflict */
function openPeers(options: PeerSocketOptions): PeerSocket {
  try {
    return new PeerSocket(options);
  } catch (error) {
    const what = `cluster address ${formatAddress(options.local)}, UDP port ${options.port}: ${(error as Error).message}`;
    const remedy = 'is another program on that port? see cluster.port, and cluster.multicast if there is one';
    throw new LatchwayError({ code: 'host-conflict', what, remedy });
  }
}
