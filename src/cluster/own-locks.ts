/**
 * Own client locks: place, ask, count answers, adopt, select, end (rules 1-7, 10 and 18 of PROTOCOL.md).
 *
 * `announce` places the lock and selects in the same step. `confirm` first asks every dispatcher that is live when the
 * attempt begins, repeats to those that have not answered (rule 5), and selects when all have, or when the time-out
 * takes their silence for a grant (counted). Nothing is selected after the own lease.
 */

import type { Context, Waiting } from './context.ts';
import { isLive, repeatAfterMs } from './context.ts';
import type { Entries } from './entries.ts';
import { BIT_TOMBSTONE, type Entry, isEnded, NO_ISN, NO_SERVER } from './entry.ts';
import { type NodeId, numberAfter } from './identity.ts';
import { type Claim, lockRecord, MAX_GRANT_REPORTS, MAX_RETRIES, type OwnLock } from './lock-state.ts';
import type { Locks } from './locks.ts';
import type { GrantRecord, RefuseRecord } from './records.ts';
import { followsSession, type ServerChoice } from './server-choice.ts';
import { KIND_FLOW } from './session-key.ts';
import type { WaitingRoom } from './waiting-room.ts';

export class OwnLocks {
  attempts = 0;
  /** Those whose silence was last taken for a grant. */
  silent: readonly NodeId[] = [];
  readonly context: Context;
  readonly locks: Locks;
  readonly entries: Entries;
  readonly room: WaitingRoom;
  readonly choice: ServerChoice;

  constructor(context: Context, locks: Locks, entries: Entries, room: WaitingRoom, choice: ServerChoice) {
    this.context = context;
    this.locks = locks;
    this.entries = entries;
    this.room = room;
    this.choice = choice;
  }

  nextAttempt(): number {
    this.attempts = numberAfter(this.attempts);
    return this.attempts;
  }

  /** Places a lock for a packet that waits for it. The key has no valid lock. */
  place(claim: Claim, waiting: Waiting): void {
    const { context } = this;
    const { now, settings } = context;
    if (!this.locks.hasRoom) return context.drop(waiting.packet, 'lock-limit');
    const server = this.choice.choose(claim, claim.proposal, waiting);
    if (server === NO_SERVER) return context.drop(waiting.packet, 'no-server');
    const lock: OwnLock = {
      kind: 'own',
      claim,
      attempt: this.nextAttempt(),
      server,
      placedAt: now,
      leaseEnd: now + settings.leaseMs,
      giveUpAt: now + settings.confirmTimeoutMs,
      repeatAt: now + settings.repeatMs,
      asked: new Set(),
      pending: new Set(),
      granted: new Map(),
      reports: [],
      adopted: NO_SERVER,
      retries: 0,
      queue: [],
    };
    context.count('locksPlaced');
    this.retire(claim);
    this.locks.table.set(claim.key.text, lock);
    this.room.admit(lock.queue, waiting);
    if (claim.confirm) {
      this.locks.deadlines.add(lock.leaseEnd, claim.key.text);
      this.ask(lock);
    } else {
      context.effects.push({ kind: 'broadcast', record: lockRecord(lock, now) });
      this.select(lock);
    }
  }

  /** The incarnation that ends by this lock keeps only its late records out from now on. */
  retire(claim: Claim): void {
    const old = this.context.store.find(claim.key);
    if (old === undefined || old.isn === claim.isn || (old.bits & BIT_TOMBSTONE) !== 0) return;
    this.entries.keep({ ...old, bits: old.bits | BIT_TOMBSTONE, lastSeen: this.context.now });
  }

  /** Asks all live dispatchers; with none there is nothing to wait for. */
  ask(lock: OwnLock): void {
    const { context } = this;
    const record = lockRecord(lock, context.now);
    for (const peer of context.peers.values()) {
      if (!isLive(peer)) continue;
      lock.asked.add(peer.node);
      lock.pending.add(peer.node);
      context.send(peer.node, record);
    }
    this.schedule(lock);
    this.settle(lock);
  }

  /** A new attempt for another server; the lease goes on running (rule 2). */
  retry(lock: OwnLock, server: number): void {
    const { now, settings } = this.context;
    lock.attempt = this.nextAttempt();
    lock.retries++;
    lock.server = server;
    lock.giveUpAt = now + settings.confirmTimeoutMs;
    lock.repeatAt = now + settings.repeatMs;
    lock.asked.clear();
    lock.pending.clear();
    lock.granted.clear();
    lock.reports = [];
    this.ask(lock);
  }

  schedule(lock: OwnLock): void {
    this.locks.deadlines.add(Math.min(lock.repeatAt, lock.giveUpAt, lock.leaseEnd), lock.claim.key.text);
  }

  heardGrant(from: NodeId, record: GrantRecord): void {
    const lock = this.locks.table.get(record.key.text);
    if (lock?.kind !== 'own' || lock.attempt !== record.attempt) return this.context.count('recordsIgnored');
    if (lock.reports.length < MAX_GRANT_REPORTS) lock.reports.push(record.reports);
    this.answered(lock, from);
  }

  /** An answer that grants, or a refused entry record that stands for one (rule 13). */
  answered(lock: OwnLock, from: NodeId): void {
    lock.granted.set(from, this.context.peers.get(from)?.tag ?? 0);
    if (lock.pending.delete(from)) this.settle(lock);
  }

  heardRefuse(from: NodeId, record: RefuseRecord): void {
    const lock = this.locks.table.get(record.lock.key.text);
    if (lock?.kind !== 'own' || lock.attempt !== record.attempt) return this.context.count('recordsIgnored');
    // It speaks for the refuser's own lock only (rule 4), and is one copy of it.
    this.locks.heard(from, record.lock);
  }

  /** Goes on when nobody is left to answer: adopts what may have been selected, or selects. */
  settle(lock: OwnLock): void {
    if (lock.pending.size > 0) return;
    const adopted = this.choice.toAdopt(lock);
    if (adopted === NO_SERVER) {
      this.select(lock);
    } else {
      this.context.count('attemptsAdopted');
      lock.adopted = adopted;
      this.retry(lock, adopted);
    }
  }

  /** Makes the entry; the update leaves before the first packet (packet rule 4). */
  select(lock: OwnLock): void {
    const { context } = this;
    const { claim } = lock;
    if (context.now >= lock.leaseEnd) {
      this.endEmpty(lock, 'waited-too-long');
      return;
    }
    const server = this.choice.choose(claim, lock.server, lock.queue[0]);
    if (server !== lock.server && followsSession(claim, lock.queue[0])) {
      // Its client moves meanwhile: the session chooses, and this flow follows it.
      this.unlock(lock);
      this.room.release(lock.queue);
      return;
    }
    if (server === NO_SERVER) {
      this.endEmpty(lock, 'no-server');
      return;
    }
    if (server !== lock.server) {
      if (claim.confirm && lock.asked.size > 0 && lock.retries < MAX_RETRIES) {
        this.retry(lock, server);
        return;
      }
      lock.server = server;
    }
    const made = this.entries.create(claim, server, lock.attempt);
    this.locks.table.delete(claim.key.text);
    if (made === undefined) {
      context.effects.push({
        kind: 'broadcast',
        record: { type: 'unlock', key: claim.key, attempt: lock.attempt },
      });
      this.room.dropAll(lock.queue, 'table-full');
      return;
    }
    if (claim.generation > 0 && claim.key.kind === KIND_FLOW) context.count('rebound');
    this.locks.remembered.forget(claim.key.text, claim.generation);
    this.entries.onAppeared(made);
    this.room.release(lock.queue);
  }

  /** Rule 6. */
  endEmpty(lock: OwnLock, reason: 'no-server' | 'waited-too-long'): void {
    this.unlock(lock);
    this.room.dropAll(lock.queue, reason);
  }

  unlock(lock: OwnLock): void {
    const { key } = lock.claim;
    this.context.count('locksEndedEmpty');
    this.locks.table.delete(key.text);
    this.context.effects.push({ kind: 'broadcast', record: { type: 'unlock', key, attempt: lock.attempt } });
  }

  /** An entry stands where an own lock stands: whoever made it, the packets follow it. */
  entryAppeared(entry: Entry): void {
    if (this.locks.table.size === 0) return; // Texts of keys are dear, and a joiner hears a million entries.
    const lock = this.locks.table.get(entry.key.text);
    if (lock?.kind !== 'own' || !endsOwn(entry, lock.claim)) return;
    this.unlock(lock);
    this.room.release(lock.queue);
  }

  /** Rule 3: the set shrinks by those that die. */
  peerGone(node: NodeId): void {
    for (const lock of [...this.locks.table.values()]) {
      // What was settled before may have ended this one.
      if (lock.kind !== 'own' || this.locks.table.get(lock.claim.key.text) !== lock) continue;
      if (lock.pending.delete(node)) this.settle(lock);
    }
  }

  /**
   * Rule 3: one that comes (back) is asked too. A joiner whose copy holds the ended incarnation, and that
   * lost the one LOCK it was sent, would go on forwarding by it.
   */
  peerBack(node: NodeId): void {
    for (const lock of this.locks.table.values()) {
      if (lock.kind !== 'own' || !lock.claim.confirm) continue;
      lock.asked.add(node);
      lock.pending.add(node);
      this.context.send(node, lockRecord(lock, this.context.now));
    }
  }

  /** A deadline of an own lock: repeat, give up waiting, or end. */
  due(lock: OwnLock): void {
    const { context } = this;
    if (context.now >= lock.leaseEnd) {
      this.endEmpty(lock, 'waited-too-long');
    } else if (context.now >= lock.giveUpAt) {
      this.silent = [...lock.pending];
      context.counters.grantsByTimeout += this.silent.length;
      lock.pending.clear();
      this.settle(lock);
    } else if (context.now >= lock.repeatAt) {
      const elapsed = context.now - (lock.giveUpAt - context.settings.confirmTimeoutMs);
      lock.repeatAt = context.now + repeatAfterMs(context.settings, elapsed);
      const record = lockRecord(lock, context.now);
      for (const node of lock.pending) context.send(node, record);
      this.schedule(lock);
    } else this.schedule(lock);
  }
}

/** Whether an entry that we now hold makes a claim pointless. */
function endsOwn(entry: Entry, claim: Claim): boolean {
  if (claim.generation > 0) return entry.isn !== claim.isn || entry.generation >= claim.generation;
  if (entry.isn === claim.isn) return true;
  return !isEnded(entry) && (claim.previousIsn === NO_ISN || entry.isn !== claim.previousIsn);
}
