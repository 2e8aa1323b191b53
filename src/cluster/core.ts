/**
 * The session core: what happens to a packet that the table alone cannot decide (the packet rules of PROTOCOL.md).
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
  type Settings,
  type Waiting,
} from './context.ts';
import { EarlyNotes } from './early-notes.ts';
import { Entries } from './entries.ts';
import { BIT_ESTABLISHED } from './entry.ts';
import { Flood } from './flood.ts';
import type { ClusterSeed, NodeId } from './identity.ts';
import { Locks } from './locks.ts';
import { OwnLocks } from './own-locks.ts';
import { Questions } from './questions.ts';
import type { SessionRecord } from './records.ts';
import { Requests } from './requests.ts';
import { ServerChoice } from './server-choice.ts';
import type { SessionKey } from './session-key.ts';
import type { EntryStore } from './store.ts';
import { Sweep } from './sweep.ts';
import { UnknownFlows } from './unknown-flows.ts';
import { WaitingRoom } from './waiting-room.ts';

export type CoreEvent =
  /** A packet that missed, or that the packet path must not decide: a SYN on an entry, a flow of a dead server. */
  | { readonly kind: 'packet'; readonly packet: Packet }
  /** Bits that a packet showed for its flow (BIT_*): FIN, RST as BIT_CLOSING, first reply as BIT_ESTABLISHED. Of what went by hash too. */
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
  readonly early = new EarlyNotes();
  readonly unknown: UnknownFlows;
  readonly requests: Requests;
  readonly sweep: Sweep;

  constructor(options: {
    readonly self: NodeId;
    /** First 32 bits of its incarnation. */
    readonly tag: number;
    readonly seed: ClusterSeed;
    readonly settings: Settings;
    readonly environment: Environment;
    readonly store: EntryStore;
    readonly peers: readonly NodeId[];
  }) {
    this.context = new Context(options);
    this.entries = new Entries(this.context);
    this.room = new WaitingRoom(this.context);
    this.flood = new Flood(this.context);
    this.locks = new Locks(this.context, this.entries, this.room, this.flood);
    const choice = new ServerChoice(this.context, this.locks, this.entries, this.flood);
    this.own = new OwnLocks(this.context, this.locks, this.entries, this.room, choice);
    this.questions = new Questions(this.context, this.locks, this.entries, this.room);
    this.sweep = new Sweep(this.context, this.entries);
    this.unknown = new UnknownFlows(this);
    this.requests = new Requests(this);
    this.connect();
  }

  /** Ties the parts together; a copy of a core does so again. */
  connect(): void {
    this.room.resume = (waiting) => this.look(waiting);
    this.locks.onLearnt = (key) => this.questions.settle(key.text);
    this.questions.onDenied = (waiting, reports, flooded) => this.unknown.denied(waiting, reports, flooded);
    this.questions.isFlooded = () => this.flood.remembered;
    this.entries.onAppeared = (entry) => {
      // Intentions that are over are forgotten before a packet is looked at again.
      this.locks.entryAppeared(entry);
      this.own.entryAppeared(entry);
      this.questions.entryAppeared(entry);
      const bits = this.early.take(entry);
      if (bits !== 0) this.note(entry.key, bits);
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
      case 'note':
        this.note(event.key, event.bits);
        break;
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

  note(key: SessionKey, bits: number): void {
    const { now, store } = this.context;
    const entry = store.find(key);
    if (entry !== undefined) this.entries.note(entry, bits);
    else if (this.flood.anywhere) this.early.add(key.text, bits, now);
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
      else this.requests.look(waiting, packet.flow, policy);
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
      this.requests.forward(packet, entry);
      return;
    }
    if (tuple === undefined) {
      context.drop(packet, 'reply-unknown');
      return;
    }
    const guess = this.flood.anywhere ? context.environment.guessReply(tuple) : undefined;
    if (guess !== undefined) this.unknown.stateless(packet, guess.key, guess.server);
    else if (!this.questions.ask(tuple, waiting)) context.drop(packet, 'question-limit');
  }
}
