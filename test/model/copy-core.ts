/**
 * Copies of a core, and the digest of its state: what an exhaustive search needs to branch and to recognise.
 *
 * Times count relative to now, for only differences mean anything. Left out: numbers of attempts and questions that were
 * given (world.ts keeps them by key), counters, heaps of deadlines (the
 * search derives deadlines from the locks and questions themselves), idle ages (time-outs are far away in all cases).
 */

import type { Waiting } from '../../src/cluster/context.ts';
import { Core } from '../../src/cluster/core.ts';
import type { Lock } from '../../src/cluster/lock-state.ts';
import type { Question } from '../../src/cluster/questions.ts';
import type { Report } from '../../src/cluster/records.ts';
import { MapStore } from '../../src/cluster/store.ts';
import { type Digest, digestOf } from './digest.ts';

export function copyCore(core: Core): Core {
  const { context } = core;
  const store = new MapStore();
  const from = context.store as MapStore;
  for (const [text, entry] of from.entries) store.entries.set(text, entry);
  for (const [text, key] of from.replies) store.replies.set(text, key);
  for (const [text, tuple] of from.tuples) store.tuples.set(text, tuple);
  const copy = new Core({
    self: context.self,
    tag: context.tag,
    seed: context.seed,
    settings: context.settings,
    environment: context.environment,
    store,
    peers: [],
  });
  copy.context.now = context.now;
  copy.context.ready = context.ready;
  for (const peer of context.peers.values()) copy.context.peers.set(peer.node, { ...peer });
  copy.room.packets = core.room.packets;
  copy.room.bytes = core.room.bytes;
  copy.own.attempts = core.own.attempts;
  for (const [text, lock] of core.locks.table) copy.locks.table.set(text, copyLock(lock));
  for (const [text, reports] of core.locks.remembered.byKey) copy.locks.remembered.byKey.set(text, reports);
  copy.locks.deadlines.times.push(...core.locks.deadlines.times);
  copy.locks.deadlines.things.push(...core.locks.deadlines.things);
  copy.questions.numbers = core.questions.numbers;
  for (const [text, question] of core.questions.table) copy.questions.table.set(text, copyQuestion(question));
  copy.questions.deadlines.times.push(...core.questions.deadlines.times);
  copy.questions.deadlines.things.push(...core.questions.deadlines.things);
  copy.sweep.nextAt = core.sweep.nextAt;
  return copy;
}

function copyLock(lock: Lock): Lock {
  if (lock.kind === 'foreign') return { ...lock, queue: [...lock.queue] };
  return {
    ...lock,
    asked: new Set(lock.asked),
    pending: new Set(lock.pending),
    granted: new Map(lock.granted),
    reports: [...lock.reports],
    queue: [...lock.queue],
  };
}

function copyQuestion(question: Question): Question {
  return { ...question, pending: new Set(question.pending), queue: [...question.queue] };
}

/** The next time at which something of this core is due. */
export function nextDeadline(core: Core): number {
  let next = Number.POSITIVE_INFINITY;
  for (const lock of core.locks.table.values()) {
    next = Math.min(next, lock.leaseEnd);
    if (lock.kind === 'own') next = Math.min(next, lock.giveUpAt, lock.repeatAt);
  }
  for (const question of core.questions.table.values()) {
    next = Math.min(next, question.giveUpAt, question.repeatAt);
  }
  return next;
}

/**
 * Mixes all of a core that its future depends on.
 * @param aged whether the ages of entries count (reduction.ts)
 */
export function digestCore(core: Core, now: number, into: Digest, aged: boolean): void {
  into.add(core.context.ready ? 1 : 0);
  into.add(core.room.packets);
  into.add(core.room.bytes);
  for (const peer of core.context.peers.values()) {
    into.add((peer.up ? 1 : 0) | (peer.hearsMe ? 2 : 0) | (peer.ready ? 4 : 0) | (peer.stopped ? 8 : 0));
  }
  const store = core.context.store as MapStore;
  for (const one of store.entries.values()) {
    const part = digestOf(one.key.text);
    for (const word of [one.isn, one.previousIsn, one.generation, one.server, one.origin]) part.add(word);
    part.add(one.bits);
    if (aged) part.add(one.openedAt - now);
    into.join(part.a, part.b);
  }
  for (const [tuple, text] of store.replies) {
    const part = digestOf(tuple);
    part.text(text);
    into.join(part.a, part.b);
  }
  for (const [text, lock] of core.locks.table) {
    const part = digestOf(text);
    digestLock(lock, now, part);
    into.join(part.a, part.b);
  }
  for (const [text, reports] of core.locks.remembered.byKey) {
    const part = digestOf(text);
    part.add(3);
    digestReports(reports, part);
    for (const one of reports) part.add(one.replaced ? -1 - one.generation : one.generation);
    into.join(part.a, part.b);
  }
  for (const [text, question] of core.questions.table) {
    const part = digestOf(text);
    part.add(4);
    part.add(question.number);
    part.add(question.flooded ? 1 : 0);
    digestNodes(question.pending, part);
    digestReports(question.reports, part);
    part.add(question.giveUpAt - now);
    part.add(question.repeatAt - now);
    digestQueue(question.queue, now, part);
    into.join(part.a, part.b);
  }
}

function digestLock(lock: Lock, now: number, into: Digest): void {
  if (lock.kind === 'foreign') {
    const { record } = lock;
    into.add(1);
    for (const word of [lock.holder, lock.tag, record.attempt, record.isn, record.previousIsn])
      into.add(word);
    for (const word of [record.generation, record.server, record.confirm ? 1 : 0]) into.add(word);
    into.add(lock.leaseEnd - now);
    digestQueue(lock.queue, now, into);
    return;
  }
  const { claim } = lock;
  into.add(2);
  for (const word of [lock.attempt, lock.server, claim.isn, claim.previousIsn, claim.generation])
    into.add(word);
  into.add(claim.confirm ? 1 : 0);
  for (const time of [lock.leaseEnd, lock.giveUpAt, lock.repeatAt]) into.add(time - now);
  digestNodes(lock.asked, into);
  digestNodes(lock.pending, into);
  for (const [node, tag] of [...lock.granted].sort((x, y) => x[0] - y[0])) {
    into.add(node);
    into.add(tag);
  }
  into.add(-1);
  for (const reports of lock.reports) digestReports(reports, into);
  into.add(-4);
  into.add(lock.adopted);
  digestQueue(lock.queue, now, into);
}

function digestNodes(nodes: ReadonlySet<number>, into: Digest): void {
  let mask = 0;
  for (const node of nodes) mask |= 1 << node;
  into.add(mask);
}

function digestReports(reports: readonly Report[], into: Digest): void {
  for (const one of reports) for (const word of [one.server, one.holder, one.tag]) into.add(word);
  into.add(-2);
}

function digestQueue(queue: readonly Waiting[], now: number, into: Digest): void {
  for (const one of queue) {
    into.add(one.packet.handle * 4 + one.packet.hops);
    into.add(one.until - now);
    into.add(one.turns);
  }
  into.add(-3);
}
