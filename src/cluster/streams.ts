/**
 * The durable stream: what was sent, kept to be sent again; what was heard of each sender, and what is missing.
 *
 * Receivers apply datagrams as they come (records are joined, their order means nothing) and ask for the gaps. The tail
 * is found by the last sequence in heartbeats. What has left the sender's ring is gone: digests repair that, or a new
 * copy of the table while joining (rules 13 and 16 of PROTOCOL.md).
 */

import type { NodeId } from './identity.ts';
import { MAX_SEQUENCES } from './messages-control.ts';

/** Datagrams kept: at 50,000 sessions a second, 40 to a datagram, this is three seconds. */
export const RING_SIZE = 4_096;
/** Reordering younger than this is no gap, ms. */
const REORDER_MS = 4;
const ASK_AGAIN_MS = 25;
/** More gaps than this at once means that we fell behind. */
const MAX_MISSING = RING_SIZE;

/** Sealed datagrams of the own broadcast stream. */
export class SentRing {
  readonly datagrams: (Buffer | undefined)[] = new Array<Buffer | undefined>(RING_SIZE).fill(undefined);
  readonly sentAt = new Float64Array(RING_SIZE);
  last = 0;

  add(datagram: Buffer, now: number): void {
    this.last++;
    this.datagrams[this.last % RING_SIZE] = datagram;
    this.sentAt[this.last % RING_SIZE] = now;
  }

  /** @returns undefined when it is not there any more, or was never sent. */
  get(sequence: number): { readonly datagram: Buffer; readonly sentAt: number } | undefined {
    if (sequence <= 0 || sequence > this.last || sequence <= this.last - RING_SIZE) return undefined;
    const datagram = this.datagrams[sequence % RING_SIZE];
    return datagram && { datagram, sentAt: this.sentAt[sequence % RING_SIZE]! };
  }
}

/** One sender's stream as heard here, in one incarnation. */
export class HeardStream {
  readonly node: NodeId;
  /** The first sequence that counts, 0 while nothing was heard; all from it to `next` were heard or are missing. */
  base = 0;
  next = 0;
  /** Sequence to the time at which to ask (again). */
  readonly missing = new Map<number, number>();
  received = 0;
  lost = 0;
  repaired = 0;
  /** The last sequence that is gone for good; 0: none is, or a copy of a table brought it. */
  behindTo = 0;
  /** The first of them: what follows it is not all here, whatever came since. */
  lostFrom = Number.POSITIVE_INFINITY;
  /** The same, while a copy is under way that should bring it. */
  awaitedFrom = Number.POSITIVE_INFINITY;

  constructor(node: NodeId) {
    this.node = node;
  }

  /** @returns whether the datagram is new. */
  heard(sequence: number, now: number): boolean {
    if (this.base === 0) {
      this.base = sequence;
      this.next = sequence;
    }
    if (sequence >= this.next) {
      this.skip(sequence, now);
      this.next = sequence + 1;
      this.received++;
      return true;
    }
    if (!this.missing.delete(sequence)) return false;
    this.received++;
    return true;
  }

  /** The sender says that it has sent up to `last`. */
  tail(last: number, now: number): void {
    if (this.base === 0) {
      this.base = last + 1;
      this.next = last + 1;
    } else if (last >= this.next) {
      this.skip(last + 1, now);
      this.next = last + 1;
    }
  }

  /** All before `end` that was not heard is missing. */
  skip(end: number, now: number): void {
    for (let sequence = this.next; sequence < end; sequence++) {
      if (this.missing.size >= MAX_MISSING) {
        this.lose(sequence, end - 1);
        return;
      }
      this.missing.set(sequence, now + REORDER_MS);
    }
  }

  /** Everything after `sequence` is needed (rule 16). */
  require(sequence: number, now: number): void {
    if (this.base === 0) {
      this.base = sequence + 1;
      this.next = sequence + 1;
    }
    for (let at = sequence + 1; at < this.base && this.missing.size < MAX_MISSING; at++)
      this.missing.set(at, now);
    this.base = Math.min(this.base, sequence + 1);
  }

  gone(sequence: number): void {
    if (!this.missing.delete(sequence)) return;
    this.lost++;
    this.lose(sequence, sequence);
  }

  lose(from: number, to: number): void {
    this.behindTo = Math.max(this.behindTo, to);
    this.lostFrom = Math.min(this.lostFrom, from);
  }

  /** A copy brought all up to `sequence`. */
  copied(sequence: number): void {
    this.lostFrom =
      this.behindTo <= sequence ? Number.POSITIVE_INFINITY : Math.max(this.lostFrom, sequence + 1);
    if (this.behindTo <= sequence) this.behindTo = 0;
  }

  /** The table of the sender itself was asked for: it has all that was lost until now. @returns the last that was */
  refresh(): number {
    const { behindTo } = this;
    this.awaitedFrom = this.lostFrom;
    this.lostFrom = Number.POSITIVE_INFINITY;
    this.behindTo = 0;
    return behindTo;
  }

  /** It came whole, or it did not. @param behindTo what `refresh` gave */
  refreshed(came: boolean, behindTo: number): void {
    if (!came) this.lose(this.awaitedFrom, behindTo);
    this.awaitedFrom = Number.POSITIVE_INFINITY;
  }

  /** Sequences to ask for now. */
  toAsk(now: number): number[] {
    const due: number[] = [];
    for (const [sequence, askAt] of this.missing) {
      if (due.length >= MAX_SEQUENCES) break;
      if (askAt > now) continue;
      due.push(sequence);
      this.missing.set(sequence, now + ASK_AGAIN_MS);
    }
    return due;
  }

  /** The last sequence up to which all is here. */
  get contiguous(): number {
    let last = Math.min(Math.max(0, this.next - 1), this.lostFrom - 1, this.awaitedFrom - 1);
    for (const sequence of this.missing.keys()) last = Math.min(last, sequence - 1);
    return last;
  }

  /** Whether anything before `target` is missing. */
  lacks(target: number): boolean {
    for (const sequence of this.missing.keys()) if (sequence < target) return true;
    return false;
  }
}
