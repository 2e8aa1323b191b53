/**
 * Questions about flows that nobody opened here (packet rule 6, and rules 5, 9, 11 and 19 of PROTOCOL.md).
 *
 * A question places no lock. It goes to every dispatcher that is not known to be stopped, is repeated to those that have
 * not answered, and ends in one of three ways: an entry or a lock appears for it, all have said no, or its time is up.
 * Silence is never a no.
 */

import { type Context, repeatAfterMs, type Waiting } from './context.ts';
import { Deadlines } from './deadlines.ts';
import type { Entries } from './entries.ts';
import { BIT_TOMBSTONE, type Entry } from './entry.ts';
import { Rate } from './flood.ts';
import { type NodeId, numberAfter, QUESTION_BIT } from './identity.ts';
import { addReports, lockRecord } from './lock-state.ts';
import type { Locks } from './locks.ts';
import type { NoRecord, QuestionRecord, Report } from './records.ts';
import { type ReplyKey, SessionKey } from './session-key.ts';
import type { WaitingRoom } from './waiting-room.ts';

export interface Question {
  readonly number: number;
  readonly about: SessionKey | ReplyKey;
  readonly pending: Set<NodeId>;
  reports: readonly Report[];
  /** Somebody who said no remembers a flood. */
  flooded: boolean;
  readonly giveUpAt: number;
  repeatAt: number;
  readonly queue: Waiting[];
}

export class Questions {
  readonly table = new Map<string, Question>();
  readonly deadlines = new Deadlines<string>();
  numbers = 0;
  readonly rate: Rate;
  /** All said no: the service's policy decides about these packets. */
  onDenied: (waiting: Waiting, reports: readonly Report[], flooded: boolean) => void = () => {};
  /** Whether this dispatcher is or was in flood. */
  isFlooded: () => boolean = () => false;
  readonly context: Context;
  readonly locks: Locks;
  readonly entries: Entries;
  readonly room: WaitingRoom;

  constructor(context: Context, locks: Locks, entries: Entries, room: WaitingRoom) {
    this.context = context;
    this.locks = locks;
    this.entries = entries;
    this.room = room;
    this.rate = new Rate(context.settings.questionsPerSecond);
  }

  /** @returns false when the limit of questions is reached; the packet is the caller's still. */
  ask(about: SessionKey | ReplyKey, waiting: Waiting): boolean {
    const { context } = this;
    const { now, settings } = context;
    const asked = this.table.get(about.text);
    if (asked !== undefined) {
      this.room.admit(asked.queue, waiting);
      return true;
    }
    const pending = new Set<NodeId>();
    for (const peer of context.peers.values()) if (!peer.stopped) pending.add(peer.node);
    if (pending.size === 0) {
      this.onDenied(waiting, [], false);
      return true;
    }
    if (!this.rate.take(now)) return false;
    context.count('questions');
    this.numbers = numberAfter(this.numbers);
    const question: Question = {
      number: QUESTION_BIT + this.numbers,
      about,
      pending,
      reports: [],
      flooded: false,
      giveUpAt: now + settings.confirmTimeoutMs,
      repeatAt: now + settings.repeatMs,
      queue: [],
    };
    this.table.set(about.text, question);
    this.room.admit(question.queue, waiting);
    this.repeat(question);
    return true;
  }

  repeat(question: Question): void {
    const record: QuestionRecord = { type: 'question', question: question.number, about: question.about };
    for (const node of question.pending) this.context.send(node, record);
    this.deadlines.add(Math.min(question.repeatAt, question.giveUpAt), question.about.text);
  }

  /** A peer's question: the entry, our own lock, or an explicit no. */
  heard(from: NodeId, record: QuestionRecord): void {
    const { context } = this;
    const { about, question } = record;
    const flow = about instanceof SessionKey;
    const entry = flow ? context.store.find(about) : context.store.findReply(about);
    if (entry !== undefined && (entry.bits & BIT_TOMBSTONE) === 0) {
      this.entries.sendTo(from, entry, 'answer', question);
      return;
    }
    const lock = flow ? this.locks.valid(about) : undefined;
    if (lock?.kind === 'own') {
      context.send(from, lockRecord(lock, context.now));
      return;
    }
    const reports = flow ? this.locks.remembered.of(about.text, context.now) : [];
    context.send(from, { type: 'no', question, about, reports, flooded: this.isFlooded() });
  }

  heardNo(from: NodeId, record: NoRecord): void {
    const question = this.table.get(record.about.text);
    if (question === undefined || question.number !== record.question)
      return this.context.count('recordsIgnored');
    question.reports = addReports(question.reports, record.reports);
    question.flooded ||= record.flooded;
    this.denied(question, from);
  }

  /** An entry came as an answer and did not settle the question: it says that much, no more. */
  heardRefused(from: NodeId, number: number, text: string): void {
    const question = this.table.get(text);
    if (question !== undefined && question.number === number) this.denied(question, from);
  }

  denied(question: Question, from: NodeId): void {
    if (!question.pending.delete(from) || question.pending.size > 0) return;
    this.table.delete(question.about.text);
    this.policyDecides(question);
  }

  /** Rule 11: every question is looked at again whenever an entry for it appears. */
  entryAppeared(entry: Entry): void {
    if (this.table.size === 0 || (entry.bits & BIT_TOMBSTONE) !== 0) return;
    this.settle(entry.key.text);
    const reply = this.context.environment.replyKey(entry.key, entry.server);
    if (reply !== undefined) this.settle(reply.text);
  }

  /** An entry or a lock stands now: the packets are looked at anew. */
  settle(text: string): void {
    const question = this.table.get(text);
    if (question === undefined) return;
    this.table.delete(text);
    this.room.release(question.queue);
  }

  /** A peer is known to be stopped: it need not answer any more. */
  peerStopped(node: NodeId): void {
    for (const question of [...this.table.values()]) this.denied(question, node);
  }

  /**
   * Silence is never a no: what waits is dropped. But while a flood is remembered misses are hashed, not reset (PROTOCOL.md, flood), and go on so
   * when only dispatchers are silent that are taken for dead: what went by hash is known to nobody.
   */
  unanswered(question: Question): void {
    const { peers } = this.context;
    const flooded = question.flooded || this.isFlooded();
    const dead = [...question.pending].every((node) => peers.get(node)?.up !== true);
    if (flooded && dead && question.about instanceof SessionKey) this.policyDecides(question);
    else this.room.dropAll(question.queue, 'question-unanswered');
  }

  policyDecides({ queue, reports, flooded }: Question): void {
    for (const waiting of this.room.take(queue)) this.onDenied(waiting, reports, flooded);
  }

  /** A deadline has come. */
  due(text: string): void {
    const { context } = this;
    const question = this.table.get(text);
    if (question === undefined) return;
    if (context.now >= question.giveUpAt) {
      context.count('questionsUnanswered');
      this.table.delete(text);
      this.unanswered(question);
    } else if (context.now >= question.repeatAt) {
      const elapsed = context.now - (question.giveUpAt - context.settings.confirmTimeoutMs);
      question.repeatAt = context.now + repeatAfterMs(context.settings, elapsed);
      this.repeat(question);
    }
  }
}
