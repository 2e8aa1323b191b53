/**
 * The session core: what happens to a packet that the table alone cannot decide (design section 2).
 *
 *   packet, record, peer, deadline  ->  step(now, event)  ->  effects
 *
 * The way of a packet: flow entry, session entry, lock, then a lock of our own if it opens something, a question if not.
 * One object per dispatcher; its state lies in the parts below, shared through `Context`. No I/O, no clock, no chance.
 */

import {
  Context,
  type Effect,
  type Environment,
  type Packet,
  type ServicePolicy,
  type Settings,
  type Waiting,
} from './context.ts';
import { Entries } from './entries.ts';
import { BIT_ESTABLISHED, BIT_TOMBSTONE, type Entry, isEnded, NO_ISN, NO_SERVER } from './entry.ts';
import { Flood } from './flood.ts';
import { type ClusterSeed, NOBODY, type NodeId } from './identity.ts';
import type { Claim } from './lock-state.ts';
import { Locks } from './locks.ts';
import { OwnLocks } from './own-locks.ts';
import { Questions } from './questions.ts';
import type { Report, SessionRecord } from './records.ts';
import type { SessionKey } from './session-key.ts';
import type { EntryStore } from './store.ts';
import { Sweep } from './sweep.ts';
import { WaitingRoom } from './waiting-room.ts';

export type CoreEvent =
  /** A packet that missed, or that the packet path must not decide: a SYN on an entry, a flow of a dead server. */
  | { readonly kind: 'packet'; readonly packet: Packet }
  /** Bits that a packet showed for its flow (BIT_*): FIN, RST as BIT_CLOSING, first reply as BIT_ESTABLISHED. */
  | { readonly kind: 'note'; readonly key: SessionKey; readonly bits: number }
  /** Records of a believed incarnation. `repaired`: out of a ring, `heldMs` after they were first sent. */
  | {
      readonly kind: 'records';
      readonly from: NodeId;
      readonly records: readonly SessionRecord[];
      readonly repaired: boolean;
      readonly heldMs: number;
    }
  | { readonly kind: 'peer-up' | 'peer-down' | 'peer-stopped'; readonly node: NodeId }
  | { readonly kind: 'deadline' };

export class Core {
  readonly context: Context;
  readonly entries: Entries;
  readonly room: WaitingRoom;
  readonly locks: Locks;
  readonly own: OwnLocks;
  readonly questions: Questions;
  readonly flood: Flood;
  readonly sweep: Sweep;

  constructor(options: {
    readonly self: NodeId;
    readonly seed: ClusterSeed;
    readonly settings: Settings;
    readonly environment: Environment;
    readonly store: EntryStore;
    readonly peers: readonly NodeId[];
  }) {
    this.context = new Context(options);
    this.entries = new Entries(this.context);
    this.room = new WaitingRoom(this.context);
    this.locks = new Locks(this.context, this.entries, this.room);
    this.own = new OwnLocks(this.context, this.locks, this.entries, this.room);
    this.questions = new Questions(this.context, this.locks, this.entries, this.room);
    this.flood = new Flood(this.context);
    this.sweep = new Sweep(this.context, this.entries);
    this.connect();
  }

  /** Ties the parts together; a copy of a core does so again. */
  connect(): void {
    this.room.resume = (waiting) => this.look(waiting);
    this.locks.onLearnt = (key) => this.questions.settle(key.text);
    this.questions.onDenied = (waiting, reports) => this.denied(waiting, reports);
    this.entries.onAppeared = (entry) => {
      this.own.entryAppeared(entry);
      this.locks.entryAppeared(entry);
      this.questions.entryAppeared(entry);
    };
  }

  /** One event in, effects out, in the order in which they must happen. `now` in ms, never falling. */
  step(now: number, event: CoreEvent): readonly Effect[] {
    const { context } = this;
    context.now = now;
    context.effects = [];
    switch (event.kind) {
      case 'packet':
        this.look({ packet: event.packet, until: now + context.settings.leaseMs, turns: 0 });
        break;
      case 'note': {
        const entry = context.store.find(event.key);
        if (entry !== undefined) this.entries.note(entry, event.bits);
        break;
      }
      case 'records':
        for (const record of event.records) this.record(event.from, record, event.repaired, event.heldMs);
        break;
      case 'peer-up':
        this.own.peerBack(event.node);
        break;
      case 'peer-down':
        this.own.peerGone(event.node);
        this.locks.holderGone(event.node);
        break;
      case 'peer-stopped':
        this.questions.peerStopped(event.node);
        break;
      case 'deadline':
        this.due();
        break;
    }
    return context.effects;
  }

  /** When `step` wants a deadline event, ms; Infinity for never. */
  get deadline(): number {
    return Math.min(this.locks.deadlines.next, this.questions.deadlines.next, this.sweep.nextAt);
  }

  due(): void {
    const { now } = this.context;
    for (let text = this.locks.deadlines.pop(now); text !== undefined; text = this.locks.deadlines.pop(now)) {
      const lock = this.locks.table.get(text);
      if (lock === undefined) continue;
      if (lock.kind === 'own') this.own.due(lock);
      else if (!this.locks.isValid(lock)) this.locks.voidLock(lock);
    }
    for (
      let text = this.questions.deadlines.pop(now);
      text !== undefined;
      text = this.questions.deadlines.pop(now)
    ) {
      this.questions.due(text);
    }
    this.locks.remembered.expire(now, 64);
    this.sweep.step();
  }

  record(from: NodeId, record: SessionRecord, repaired: boolean, heldMs: number): void {
    switch (record.type) {
      case 'lock':
        // Rule 5: a lock out of a ring says nothing any more.
        if (!repaired) this.locks.heard(from, record);
        break;
      case 'grant':
        this.own.heardGrant(from, record);
        break;
      case 'refuse':
        this.own.heardRefuse(from, record);
        break;
      case 'unlock':
        this.locks.heardUnlock(from, record.key, record.attempt);
        break;
      case 'question':
        this.questions.heard(from, record);
        break;
      case 'no':
        this.questions.heardNo(from, record);
        break;
      case 'entry':
        this.entries.heard(from, record, heldMs);
        if (record.cause === 'answer') this.answered(from, record.key, record.server, record.attempt);
        break;
    }
  }

  /** An entry came as an answer; where it did not end what asked, it still is an answer (rule 13). */
  answered(from: NodeId, key: SessionKey, server: number, attempt: number): void {
    const lock = this.locks.table.get(key.text);
    if (lock?.kind === 'own' && lock.attempt === attempt) this.own.answered(lock, from);
    this.questions.heardRefused(from, attempt, key.text);
    const reply = this.context.environment.replyKey(key, server);
    if (reply !== undefined) this.questions.heardRefused(from, attempt, reply.text);
  }

  /** The decision about one packet. */
  look(waiting: Waiting): void {
    const { context } = this;
    const { packet } = waiting;
    if (!context.ready) {
      context.drop(packet, 'not-ready');
    } else if (packet.flow === undefined) this.reply(waiting);
    else {
      const policy = context.environment.service(packet.flow.service);
      if (policy === undefined) context.drop(packet, 'no-service');
      else this.request(waiting, packet.flow, policy);
    }
  }

  /** From a server. Never opens anything (rule 19). */
  reply(waiting: Waiting): void {
    const { context } = this;
    const { packet } = waiting;
    const tuple = packet.reply;
    const entry = tuple === undefined ? undefined : context.store.findReply(tuple);
    if (entry !== undefined) {
      if (packet.life) this.entries.note(entry, BIT_ESTABLISHED);
      this.forward(packet, entry);
      return;
    }
    if (tuple === undefined) {
      context.drop(packet, 'reply-unknown');
      return;
    }
    const guess = this.flood.anywhere ? context.environment.guessReply(tuple) : undefined;
    if (guess !== undefined) this.stateless(packet, guess.key, guess.server);
    else if (!this.questions.ask(tuple, waiting)) context.drop(packet, 'question-limit');
  }

  request(waiting: Waiting, flow: SessionKey, policy: ServicePolicy): void {
    const { packet } = waiting;
    const entry = this.context.store.find(flow);
    if (entry === undefined) {
      this.miss(waiting, flow, policy, NO_ISN);
      return;
    }
    const anew = packet.opens && !policy.udp && packet.isn !== entry.isn && packet.isn !== entry.previousIsn;
    if (anew) {
      if (isEnded(entry)) this.miss(waiting, flow, policy, entry.isn);
      else this.forward(packet, this.entries.succeed(entry, packet.isn));
    } else if ((entry.bits & BIT_TOMBSTONE) !== 0 && !packet.opens) {
      this.miss(waiting, flow, policy, entry.isn);
    } else if (
      policy.rebind &&
      !isEnded(entry) &&
      this.context.environment.isDown(flow.service, entry.server)
    ) {
      this.rebind(waiting, entry);
    } else this.forward(packet, entry);
  }

  forward(packet: Packet, entry: Entry): void {
    const { context } = this;
    context.effects.push({
      kind: 'forward',
      packet,
      server: entry.server,
      key: entry.key,
      stateless: false,
    });
    this.entries.touch(context.store.find(entry.key) ?? entry);
    // Design section 2, rule 8: who tunnelled it did not know the entry.
    if (packet.from !== NOBODY) this.entries.sendTo(packet.from, entry, 'answer');
  }

  /**
   * Rule 10: the server is dead; a confirm lock names the generation that replaces this one. Where flows of a client stay
   * together its session moves first, and each flow follows it.
   */
  rebind(waiting: Waiting, entry: Entry): void {
    const { context } = this;
    const { session } = waiting.packet;
    const held = session === undefined ? undefined : context.store.find(session);
    if (
      session !== undefined &&
      held !== undefined &&
      context.environment.isDown(session.service, held.server)
    ) {
      this.lockFor(waiting, {
        key: session,
        isn: 0,
        previousIsn: NO_ISN,
        generation: held.generation + 1,
        proposal: NO_SERVER,
        confirm: true,
      });
      return;
    }
    this.lockFor(waiting, {
      key: entry.key,
      isn: entry.isn,
      previousIsn: entry.previousIsn,
      generation: entry.generation + 1,
      proposal: held?.server ?? NO_SERVER,
      confirm: true,
    });
  }

  /** No flow entry that counts. `ended` is the ISN of the incarnation that we know to be over (rule 7), or NO_ISN. */
  miss(waiting: Waiting, flow: SessionKey, policy: ServicePolicy, ended: number): void {
    const { packet } = waiting;
    const { session } = packet;
    if (!packet.opens) {
      this.unknown(waiting, flow);
      return;
    }
    if (session !== undefined && this.bySession(waiting, flow, session, policy, ended)) return;
    this.lockFor(waiting, {
      key: flow,
      isn: packet.isn,
      previousIsn: ended,
      generation: 0,
      proposal: NO_SERVER,
      // Rule 7 of design section 2: `auto` announces the first packet of a TCP flow, and confirms all else.
      confirm: ended !== NO_ISN || policy.lock === 'confirm' || (policy.lock === 'auto' && policy.udp),
    });
  }

  /** Rule 9: a session entry serves packets that open a flow. @returns false when the flow must find its own server. */
  bySession(
    waiting: Waiting,
    flow: SessionKey,
    session: SessionKey,
    policy: ServicePolicy,
    ended: number,
  ): boolean {
    const { context } = this;
    const { packet } = waiting;
    const entry = context.store.find(session);
    if (entry === undefined || !context.environment.accepts(session.service, entry.server)) {
      this.lockFor(waiting, {
        key: session,
        isn: 0,
        previousIsn: NO_ISN,
        generation: entry === undefined ? 0 : entry.generation + 1,
        proposal: NO_SERVER,
        confirm: entry !== undefined || policy.lock !== 'announce',
      });
      return true;
    }
    if (this.entries.replyTaken(flow, entry.server)) return false;
    this.entries.touch(entry);
    const claim: Claim = {
      key: flow,
      isn: packet.isn,
      previousIsn: ended,
      generation: 0,
      proposal: entry.server,
      confirm: true,
    };
    if (ended !== NO_ISN || this.locks.valid(flow) !== undefined) {
      this.lockFor(waiting, claim);
      return true;
    }
    const made = this.entries.create(claim, entry.server, 0);
    if (made === undefined) context.drop(packet, 'table-full');
    else {
      this.entries.onAppeared(made);
      this.forward(packet, made);
    }
    return true;
  }

  /** Under the lock of the claim's key, or under one of our own. */
  lockFor(waiting: Waiting, claim: Claim): void {
    const lock = this.locks.valid(claim.key);
    if (lock?.kind === 'own') this.room.admit(lock.queue, waiting);
    else if (lock?.kind === 'foreign') this.locks.meet(lock, waiting);
    else if (claim.generation === 0 && claim.previousIsn === NO_ISN && this.flood.admitNew()) {
      // Not where an ended incarnation is held: its entry would catch what follows this SYN, and no room is taken anew.
      const server = this.context.environment.hashSelect(claim.key);
      if (server === NO_SERVER) this.context.drop(waiting.packet, 'no-server');
      else this.stateless(waiting.packet, waiting.packet.flow!, server);
    } else this.own.place(claim, waiting);
  }

  /** Opens nothing and hits nothing: to the holder of a lock, or a question (rule 6 of design section 2). */
  unknown(waiting: Waiting, flow: SessionKey): void {
    const lock = this.locks.valid(flow);
    if (lock?.kind === 'own') this.room.admit(lock.queue, waiting);
    else if (lock?.kind === 'foreign') this.locks.meet(lock, waiting);
    else if (!this.questions.ask(flow, waiting)) {
      if (this.flood.anywhere) this.byHash(waiting, flow, false);
      else this.context.drop(waiting.packet, 'question-limit');
    }
  }

  /** Everybody said no. */
  denied(waiting: Waiting, reports: readonly Report[]): void {
    const { context } = this;
    const { packet } = waiting;
    const { flow } = packet;
    if (flow === undefined) {
      context.drop(packet, 'reply-unknown');
      return;
    }
    const last = reports[reports.length - 1] ?? this.locks.remembered.of(flow.text, context.now)[0];
    if (last !== undefined) {
      // Rule 1: a voided lock may have used this server; if it did not, the server answers the packet with a reset.
      this.lockUnknown(waiting, flow, last.server);
      return;
    }
    const policy = context.environment.service(flow.service)?.unknown ?? 'drop';
    if (this.flood.anywhere || policy === 'hash') this.byHash(waiting, flow, true);
    else if (policy === 'reset') context.effects.push({ kind: 'reset', packet });
    else context.drop(packet, 'unknown-flow');
  }

  byHash(waiting: Waiting, flow: SessionKey, settled: boolean): void {
    const { context } = this;
    const session = waiting.packet.session;
    const held = session === undefined ? undefined : context.store.find(session);
    const server = held?.server ?? context.environment.hashSelect(session ?? flow);
    if (server === NO_SERVER) context.drop(waiting.packet, 'no-server');
    // A flow that shows life gets its entry, as far as the rate of new ones allows.
    else if (settled && waiting.packet.life && !this.flood.admitNew())
      this.lockUnknown(waiting, flow, server);
    else this.stateless(waiting.packet, flow, server);
  }

  lockUnknown(waiting: Waiting, flow: SessionKey, proposal: number): void {
    const old = this.context.store.find(flow);
    const lock = this.locks.valid(flow);
    if (lock?.kind === 'own') this.room.admit(lock.queue, waiting);
    else if (lock?.kind === 'foreign') this.locks.meet(lock, waiting);
    else {
      const isn = waiting.packet.isn;
      const previousIsn = old !== undefined && old.isn !== isn ? old.isn : NO_ISN;
      this.own.place({ key: flow, isn, previousIsn, generation: 0, proposal, confirm: true }, waiting);
    }
  }

  stateless(packet: Packet, key: SessionKey, server: number): void {
    this.context.count('stateless');
    this.context.effects.push({ kind: 'forward', packet, server, key, stateless: true });
  }
}
