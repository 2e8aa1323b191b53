/**
 * Entries: made, learnt, changed, told (rules 12-15 and 18 of PROTOCOL.md).
 *
 * All that is heard is joined into what is held (entry.ts); what a join shows is told on: the winner of a conflict to all,
 * a correction to who repaired us with something older. Reply tuples are a second unique key: of two live flows that
 * need one, the lower keyed hash loses, the same everywhere.
 */

import type { Context, ServicePolicy } from './context.ts';
import {
  BIT_CLOSING,
  BIT_TOMBSTONE,
  COPY_BITS,
  type Entry,
  type EntryTimeouts,
  idleLimit,
  isEnded,
  joinEntries,
  NO_ISN,
  settleBits,
  WIRE_BITS,
} from './entry.ts';
import type { NodeId } from './identity.ts';
import type { Claim } from './lock-state.ts';
import type { EntryCause, EntryRecord } from './records.ts';
import type { SessionKey } from './session-key.ts';

/** For entries of services that this dispatcher does not know yet: they are kept, for the longest default. */
const UNKNOWN_TIMEOUTS: EntryTimeouts = {
  tcpEstablished: 900_000,
  tcpOpening: 30_000,
  tcpClosing: 30_000,
  udp: 120_000,
  client: 900_000,
};

export class Entries {
  /** Called whenever an entry was made or heard: locks end, questions are looked at again (rule 11). */
  onAppeared: (entry: Entry) => void = () => {};
  readonly context: Context;

  constructor(context: Context) {
    this.context = context;
  }

  /** Stores an entry under both keys. @returns false when there is no room. */
  keep(entry: Entry): boolean {
    const { environment, store } = this.context;
    const reply = environment.replyKey(entry.key, entry.server);
    if (reply === undefined) return store.put(entry, undefined);
    const holder = store.findReply(reply);
    if (holder === undefined || holder.key.text === entry.key.text) return store.put(entry, reply);
    if (isEnded(entry)) return store.put(entry, undefined);
    if (isEnded(holder)) {
      store.put(holder, undefined);
      return store.put(entry, reply);
    }
    this.context.count('replyCollisions');
    if (this.winsTuple(holder.key, entry.key)) {
      store.remove(entry.key);
      return false;
    }
    store.remove(holder.key);
    return store.put(entry, reply);
  }

  winsTuple(a: SessionKey, b: SessionKey): boolean {
    const { seed } = this.context;
    const hashA = a.hash(seed);
    const hashB = b.hash(seed);
    return hashA === hashB ? a.text > b.text : hashA > hashB;
  }

  /** Whether a live flow of another key holds the reply tuple of this one on that server (rule 18). */
  replyTaken(key: SessionKey, server: number): boolean {
    const reply = this.context.environment.replyKey(key, server);
    if (reply === undefined) return false;
    const holder = this.context.store.findReply(reply);
    return holder !== undefined && !isEnded(holder) && holder.key.text !== key.text;
  }

  /** The entry that a claim ends in, told to all. @returns undefined when there is no room. */
  create(claim: Claim, server: number, attempt: number): Entry | undefined {
    const { context } = this;
    const { now } = context;
    const old = context.store.find(claim.key);
    const followed = old !== undefined && old.isn !== claim.isn ? old.isn : NO_ISN;
    const entry: Entry = {
      key: claim.key,
      isn: claim.isn,
      previousIsn: claim.previousIsn === NO_ISN ? followed : claim.previousIsn,
      generation: claim.generation,
      server,
      origin: context.self,
      bits: 0,
      openedAt: now,
      lastSeen: now,
      refreshedAt: now,
      sharedBits: 0,
    };
    if (!this.keep(entry)) return undefined;
    this.tell(entry, 'selected', attempt);
    return entry;
  }

  tell(entry: Entry, cause: EntryCause, attempt = 0): void {
    this.context.count(cause === 'refresh' ? 'refreshes' : 'updates');
    this.context.effects.push({ kind: 'broadcast', record: this.record(entry, cause, attempt) });
  }

  sendTo(to: NodeId, entry: Entry, cause: EntryCause, attempt = 0): void {
    this.context.send(to, this.record(entry, cause, attempt));
  }

  record(entry: Entry, cause: EntryCause, attempt: number): EntryRecord {
    const { now } = this.context;
    return {
      type: 'entry',
      cause,
      attempt,
      key: entry.key,
      isn: entry.isn,
      previousIsn: entry.previousIsn,
      generation: entry.generation,
      server: entry.server,
      origin: entry.origin,
      bits: entry.bits & (cause === 'copy' ? COPY_BITS : WIRE_BITS),
      ageMs: now - entry.openedAt,
      idleMs: now - entry.lastSeen,
    };
  }

  policy(key: SessionKey): ServicePolicy | undefined {
    return this.context.environment.service(key.service);
  }

  limit(entry: Entry, bits: number): number {
    if ((bits & BIT_TOMBSTONE) !== 0) return this.context.settings.tombstoneMs;
    const policy = this.policy(entry.key);
    return idleLimit(entry, bits, policy?.timeouts ?? UNKNOWN_TIMEOUTS, policy?.udp ?? false);
  }

  /**
   * Joins a record that was heard.
   * @param heldMs how long the record waited in a ring to be sent again: added to its ages.
   */
  heard(from: NodeId, record: EntryRecord, heldMs: number): void {
    const { context } = this;
    const { now, store } = context;
    if (this.policy(record.key) === undefined) context.count('unknownService');
    const theirs = this.fromRecord(record, heldMs);
    const mine = store.find(record.key);
    const tooOld = now - theirs.lastSeen >= this.limit(theirs, theirs.bits);
    if (mine === undefined) {
      if (tooOld) context.count('refusedOld');
      else if (this.keep(theirs)) this.onAppeared(theirs);
      else context.count('refusedFull');
      return;
    }
    const { entry, outcome } = joinEntries(context.seed, mine, theirs);
    switch (outcome) {
      case 'known':
        break;
      case 'grown':
        this.keep(entry);
        break;
      case 'conflict-lost':
      case 'replaced':
        if (tooOld) context.count('refusedOld');
        else {
          if (outcome === 'conflict-lost') context.count('conflicts');
          this.keep(entry);
        }
        break;
      case 'conflict-kept':
        // The winner tells all, not just the loser: others may have believed the loser meanwhile.
        if (mine.generation === theirs.generation) context.count('conflicts');
        if (record.cause !== 'correction') this.tell(mine, 'changed');
        break;
      case 'older':
        context.count('refusedOld');
        break;
    }
    const held = store.find(record.key);
    if (held === undefined) return;
    const behind = outcome === 'older' || (isEnded(held) && (record.bits & BIT_CLOSING) === 0);
    // Rule 13: a tombstone answers a digest's repair with a close.
    if (record.cause === 'repair' && behind) this.sendTo(from, held, 'correction');
    this.onAppeared(held);
  }

  fromRecord(record: EntryRecord, heldMs: number): Entry {
    const { now } = this.context;
    const told = record.cause === 'selected' || record.cause === 'changed' || record.cause === 'refresh';
    return {
      key: record.key,
      isn: record.isn,
      previousIsn: record.previousIsn,
      generation: record.generation,
      server: record.server,
      origin: record.origin,
      bits: settleBits(record.bits),
      openedAt: now - record.ageMs - heldMs,
      lastSeen: now - record.idleMs - heldMs,
      refreshedAt: told ? now - heldMs : now - record.idleMs - heldMs,
      sharedBits: record.bits & WIRE_BITS,
    };
  }

  /** A packet of the flow was forwarded here: the only thing that makes an entry young again (rule 14). */
  touch(entry: Entry): void {
    if (entry.lastSeen !== this.context.now) this.keep({ ...entry, lastSeen: this.context.now });
  }

  /** Bits that a packet showed here. FIN and RST are told at once; "established" rides in the next refresh. */
  note(entry: Entry, bits: number): void {
    const { now } = this.context;
    const joined = settleBits(entry.bits | bits);
    if (joined === entry.bits) return;
    const ends = (joined & ~entry.bits & WIRE_BITS & ~1) !== 0;
    const next: Entry = {
      ...entry,
      bits: joined,
      lastSeen: now,
      refreshedAt: ends ? now : entry.refreshedAt,
      sharedBits: ends ? joined : entry.sharedBits,
    };
    this.keep(next);
    if (ends) this.tell(next, 'changed');
  }

  /** A SYN of another incarnation on a live entry stays on its server; the entry becomes that incarnation's. */
  succeed(entry: Entry, isn: number): Entry {
    const { context } = this;
    const { now } = context;
    const next: Entry = {
      ...entry,
      isn,
      previousIsn: entry.isn,
      generation: 0,
      origin: context.self,
      bits: 0,
      openedAt: now,
      lastSeen: now,
      refreshedAt: now,
      sharedBits: 0,
    };
    this.keep(next);
    this.tell(next, 'changed');
    return next;
  }
}
