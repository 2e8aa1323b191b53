/**
 * Client locks of others, and the table of all locks (rules 1-8 of PROTOCOL.md; own locks are in own-locks.ts).
 *
 * One slot per key: an own lock, or the best that was learnt. A learnt lock is valid while its lease runs, its holder is
 * heard and hears us (rule 4), in the incarnation that placed it; whoever finds it void remembers the server that it
 * intended (rule 1). A repeat of one attempt never prolongs the lease (rule 2: the phantom lock).
 */

import type { Context, Waiting } from './context.ts';
import { Deadlines } from './deadlines.ts';
import type { Entries } from './entries.ts';
import { BIT_CLOSING, BIT_TOMBSTONE, type Entry, isEnded, NO_SERVER } from './entry.ts';
import type { Flood } from './flood.ts';
import { isLater, type NodeId, outranks } from './identity.ts';
import { type ForeignLock, type Lock, lockRecord, type OwnLock, Remembered } from './lock-state.ts';
import { type LockRecord, NO_TAG } from './records.ts';
import type { SessionKey } from './session-key.ts';
import type { WaitingRoom } from './waiting-room.ts';

/** Locks of others that may stand: three peers at 50,000 sessions a second, for 400 ms. Beyond it they are neither learnt nor granted. */
export const MAX_LEARNT_LOCKS = 65_536;
/** Deadlines outlive their locks until the lease's end: the same, for more than a second. */
export const MAX_LOCK_DEADLINES = 262_144;

export class Locks {
  readonly table = new Map<string, Lock>();
  readonly remembered = new Remembered();
  readonly deadlines = new Deadlines<string>();
  /** Called when a lock is learnt for a key: questions about it can be settled by the tunnel. */
  onLearnt: (key: SessionKey) => void = () => {};
  readonly context: Context;
  readonly entries: Entries;
  readonly room: WaitingRoom;
  readonly flood: Flood;

  constructor(context: Context, entries: Entries, room: WaitingRoom, flood: Flood) {
    this.context = context;
    this.entries = entries;
    this.room = room;
    this.flood = flood;
  }

  /** The lock that counts for this key now; one that is void is voided on the way. */
  valid(key: SessionKey): Lock | undefined {
    if (this.table.size === 0) return undefined;
    const lock = this.table.get(key.text);
    if (lock === undefined || lock.kind === 'own') return lock;
    if (this.isValid(lock)) return lock;
    this.voidLock(lock);
    return this.valid(key);
  }

  isValid(lock: ForeignLock): boolean {
    const { context } = this;
    return (
      context.now < lock.leaseEnd &&
      context.hears(lock.holder) &&
      context.peers.get(lock.holder)!.tag === lock.tag
    );
  }

  /** Whether somebody else may be choosing a server for this key, or may have done so. */
  isContested(key: SessionKey): boolean {
    return this.valid(key) !== undefined || this.remembered.of(key.text, this.context.now).length > 0;
  }

  /** A packet under a learnt lock: to its holder, or it waits when it was tunnelled twice (packet rule 8). */
  meet(lock: ForeignLock, waiting: Waiting): void {
    const { context } = this;
    const { packet } = waiting;
    // Rule 8: nobody tunnels to a dispatcher that is not ready.
    if (packet.hops >= MAX_HOPS || context.peers.get(lock.holder)?.ready !== true) {
      this.room.admit(lock.queue, waiting);
      return;
    }
    context.count('tunnelled');
    context.effects.push({ kind: 'tunnel', packet, to: lock.holder, hops: packet.hops + 1 });
  }

  /** Whether an own lock may be placed: there is room for them when others have filled theirs. */
  get hasRoom(): boolean {
    return this.table.size < 2 * MAX_LEARNT_LOCKS && this.deadlines.size < 2 * MAX_LOCK_DEADLINES;
  }

  /**
   * Whether there is no room for a lock of another dispatcher (counted). Silence is right then: a grant that is forgotten would let two select,
   * and its holder goes on after `confirm-timeout`.
   */
  isFull(): boolean {
    if (this.table.size < MAX_LEARNT_LOCKS && this.deadlines.size < MAX_LOCK_DEADLINES) return false;
    this.context.count('locksRefused');
    return true;
  }

  /** A lock record of `from`, as sent, as an answer to a question, or out of a refusal. */
  heard(from: NodeId, record: LockRecord): void {
    const { context } = this;
    if (!context.hears(from)) {
      context.count('recordsIgnored');
      return;
    }
    const entry = context.store.find(record.key);
    if (entry !== undefined) {
      if (entryAnswers(entry, record)) {
        if (record.confirm) this.entries.sendTo(from, entry, 'answer', record.attempt);
        return;
      }
      // Rule 7: an older incarnation gives way; as a tombstone it keeps its late records out.
      if (entry.isn !== record.isn && (entry.bits & BIT_TOMBSTONE) === 0) {
        this.entries.keep({
          ...entry,
          bits: entry.bits | BIT_CLOSING | BIT_TOMBSTONE,
          lastSeen: context.now,
        });
      }
    }
    const lock = this.valid(record.key);
    if (lock === undefined) {
      if (!this.isFull()) this.learn(from, record, []);
    } else if (lock.kind === 'own') this.heardAgainstOwn(from, record, lock);
    else this.heardAgainstForeign(from, record, lock);
  }

  heardAgainstOwn(from: NodeId, record: LockRecord, lock: OwnLock): void {
    const { context } = this;
    if (outranks(context.seed, record.key.hash(context.seed), from, context.self)) {
      // The attempt is dead from here on: the slot that would match its grants is gone.
      context.count('locksYielded');
      this.table.delete(record.key.text);
      this.learn(from, record, lock.queue);
    } else if (record.confirm) {
      context.send(from, { type: 'refuse', attempt: record.attempt, lock: lockRecord(lock, context.now) });
    }
  }

  heardAgainstForeign(from: NodeId, record: LockRecord, lock: ForeignLock): void {
    const { context } = this;
    if (from === lock.holder) {
      if (isLater(lock.record.attempt, record.attempt)) return;
      if (record.attempt !== lock.record.attempt) {
        if (this.deadlines.size < MAX_LOCK_DEADLINES || !this.isFull()) this.learn(from, record, lock.queue);
      } else if (record.confirm) this.grant(from, record);
      return;
    }
    if (!outranks(context.seed, record.key.hash(context.seed), from, lock.holder)) return;
    if (this.deadlines.size >= MAX_LOCK_DEADLINES && this.isFull()) return;
    // The holder may have been granted by all and have selected; its own grant to `from` will disprove that.
    this.remember(lock, true);
    this.learn(from, record, lock.queue);
  }

  /** Makes `record` the lock of its key. Packets in `queue` are looked at again under it. */
  learn(from: NodeId, record: LockRecord, queue: Waiting[]): void {
    const { context } = this;
    const lease = Math.min(record.leaseMs, context.settings.leaseMs);
    const { text } = record.key;
    if (lease <= 0) {
      this.table.delete(text);
      this.room.release(queue);
      return;
    }
    context.count('locksLearnt');
    const tag = context.peers.get(from)!.tag;
    const lock: ForeignLock = {
      kind: 'foreign',
      holder: from,
      tag,
      record,
      leaseEnd: context.now + lease,
      queue: [],
    };
    this.table.set(text, lock);
    this.deadlines.add(lock.leaseEnd, text);
    if (record.confirm) this.grant(from, record);
    this.room.release(queue);
    this.onLearnt(record.key);
  }

  grant(to: NodeId, record: LockRecord): void {
    const { context } = this;
    const { key, attempt } = record;
    const remembered = this.remembered.of(key.text, context.now);
    const hashed = record.generation === 0 ? this.flood.choice(key) : NO_SERVER;
    // What went by hash here left no trace: the asker, who may not know of the flood yet, must take the same server.
    const byHash = { server: hashed, holder: context.self, tag: NO_TAG };
    const reports = hashed === NO_SERVER ? remembered : [byHash, ...remembered];
    context.send(to, { type: 'grant', key, attempt, reports });
  }

  /** Rule 6, heard: the holder says that nothing was selected. */
  heardUnlock(from: NodeId, key: SessionKey, attempt: number): void {
    const { context } = this;
    const tag = context.peers.get(from)?.tag ?? 0;
    this.remembered.withdraw(key.text, from, tag, attempt);
    const lock = this.table.get(key.text);
    if (lock?.kind !== 'foreign' || lock.holder !== from || lock.tag !== tag) return;
    if (isLater(lock.record.attempt, attempt)) return;
    this.table.delete(key.text);
    this.room.release(lock.queue);
  }

  /** The holder died or the lease ended. */
  voidLock(lock: ForeignLock): void {
    this.context.count('locksVoided');
    this.remember(lock, false);
    this.table.delete(lock.record.key.text);
    this.room.release(lock.queue);
  }

  /** @param replaced by a better one, while it was valid */
  remember(lock: ForeignLock, replaced: boolean): void {
    const { record } = lock;
    const { server, generation, attempt } = record;
    const report = { server, generation, attempt, holder: lock.holder, tag: lock.tag, replaced };
    const until = this.context.now + this.context.settings.rememberMs;
    if (this.remembered.add(record.key.text, report, until)) this.context.count('intentionsForgotten');
  }

  /** An entry now stands where a learnt lock may stand: the lock is over when the entry is what it opened. */
  entryAppeared(entry: Entry): void {
    if (this.table.size === 0 && this.remembered.byKey.size === 0) return;
    const { text } = entry.key;
    if (!isEnded(entry)) this.remembered.forget(text, entry.generation);
    const lock = this.table.get(text);
    if (lock?.kind !== 'foreign') return;
    if (entry.isn !== lock.record.isn || entry.generation < lock.record.generation) return;
    this.table.delete(text);
    this.room.release(lock.queue);
  }

  /** All learnt locks of a holder are void. */
  holderGone(node: NodeId): void {
    for (const lock of [...this.table.values()]) {
      if (lock.kind === 'foreign' && lock.holder === node) this.voidLock(lock);
    }
  }
}

/** A packet may be tunnelled so often (packet rule 8). */
export const MAX_HOPS = 2;

/**
 * Whether an entry answers a lock: yes, unless the lock's holder knows the end of this incarnation, or we do, or the
 * lock rebinds to a generation above ours (rules 7 and 10). A live entry of another incarnation whose end nobody knows
 * answers: so a forged SYN cannot move an established flow.
 */
export function entryAnswers(entry: Entry, record: LockRecord): boolean {
  if (record.generation > 0) return entry.isn !== record.isn || entry.generation >= record.generation;
  if (entry.isn === record.isn || entry.previousIsn === record.isn) return true;
  return record.previousIsn !== entry.isn && !isEnded(entry);
}
