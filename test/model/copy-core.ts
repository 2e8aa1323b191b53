/**
 * Copies of a core, and its state as canonical text: what an exhaustive search needs to branch and to recognise.
 *
 * Times are written relative to now, for only differences mean anything. Left out: counters, heaps of deadlines (the
 * search derives deadlines from the locks and questions themselves), idle ages (time-outs are far away in all cases).
 */

import type { Waiting } from '../../src/cluster/context.ts';
import { Core } from '../../src/cluster/core.ts';
import type { Lock } from '../../src/cluster/lock-state.ts';
import type { Question } from '../../src/cluster/questions.ts';
import { MapStore } from '../../src/cluster/store.ts';

export function copyCore(core: Core): Core {
  const { context } = core;
  const store = new MapStore();
  const from = context.store as MapStore;
  for (const [text, entry] of from.entries) store.entries.set(text, entry);
  for (const [text, key] of from.replies) store.replies.set(text, key);
  for (const [text, tuple] of from.tuples) store.tuples.set(text, tuple);
  const copy = new Core({
    self: context.self,
    seed: context.seed,
    settings: context.settings,
    environment: context.environment,
    store,
    peers: [],
  });
  copy.context.now = context.now;
  copy.context.ready = context.ready;
  for (const peer of context.peers.values()) copy.context.peers.set(peer.node, { ...peer });
  Object.assign(copy.context.counters, context.counters);
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

export function describeCore(core: Core, now: number): string {
  const parts: unknown[] = [core.own.attempts, core.questions.numbers, core.context.ready];
  for (const peer of core.context.peers.values()) {
    parts.push(peer.tag, peer.up, peer.hearsMe, peer.ready, peer.stopped);
  }
  const store = core.context.store as MapStore;
  for (const text of [...store.entries.keys()].sort()) {
    const one = store.entries.get(text)!;
    parts.push(text, one.isn, one.previousIsn, one.generation, one.server, one.origin, one.bits);
    parts.push(one.openedAt - now);
  }
  for (const text of [...core.locks.table.keys()].sort()) {
    parts.push(text, describeLock(core.locks.table.get(text)!, now));
  }
  for (const text of [...core.locks.remembered.byKey.keys()].sort()) {
    const reports = core.locks.remembered.byKey.get(text)!;
    parts.push(
      text,
      reports.map((one) => [one.server, one.holder, one.tag]),
    );
  }
  for (const text of [...core.questions.table.keys()].sort()) {
    const one = core.questions.table.get(text)!;
    parts.push(
      text,
      one.number,
      [...one.pending].sort(),
      one.reports,
      one.giveUpAt - now,
      one.repeatAt - now,
    );
    parts.push(describeQueue(one.queue, now));
  }
  return JSON.stringify(parts);
}

function describeLock(lock: Lock, now: number): unknown {
  if (lock.kind === 'foreign') {
    const { record } = lock;
    return [
      lock.holder,
      lock.tag,
      record.attempt,
      record.isn,
      record.previousIsn,
      record.generation,
      record.server,
      record.confirm,
      lock.leaseEnd - now,
      describeQueue(lock.queue, now),
    ];
  }
  const { claim } = lock;
  return [
    lock.attempt,
    lock.server,
    claim.isn,
    claim.previousIsn,
    claim.generation,
    claim.confirm,
    lock.leaseEnd - now,
    lock.giveUpAt - now,
    lock.repeatAt - now,
    [...lock.asked].sort(),
    [...lock.pending].sort(),
    [...lock.granted].sort(),
    lock.reports,
    lock.adopted,
    describeQueue(lock.queue, now),
  ];
}

function describeQueue(queue: readonly Waiting[], now: number): unknown {
  return queue.map((one) => [one.packet.handle, one.packet.hops, one.until - now, one.turns]);
}
