/**
 * The slow walk over all entries, in bounded steps: expiry, tombstones, sparse refresh (rules 13-15 of PROTOCOL.md).
 *
 * Expiry is local and tells nobody; a closing entry becomes a tombstone and goes when no old record can arrive any more.
 * Who forwarded for a flow and has heard no refresh for a third of its time-out sends one; the jitter is a hash of key
 * and dispatcher, so that as a rule one speaks for all. `visit` lets digests and repairs ride on the same walk.
 */

import type { Context } from './context.ts';
import type { Entries } from './entries.ts';
import { BIT_CLOSING, BIT_TOMBSTONE, type Entry, isEnded, WIRE_BITS } from './entry.ts';
import { mix } from './identity.ts';

export class Sweep {
  cursor = 0;
  nextAt = 0;
  /** Called for each live entry visited, and at the end of each pass. */
  visit: (entry: Entry) => void = () => {};
  onPass: () => void = () => {};
  /** Whether the way out is full: overload sheds refreshes before entries. */
  isShedding: () => boolean = () => false;
  readonly context: Context;
  readonly entries: Entries;

  constructor(context: Context, entries: Entries) {
    this.context = context;
    this.entries = entries;
  }

  step(): void {
    const { now, settings, store } = this.context;
    if (now < this.nextAt) return;
    this.nextAt = now + settings.sweepMs;
    this.cursor = store.scan(this.cursor, settings.sweepCount, (entry) => {
      this.look(entry);
    });
    if (this.cursor === 0) this.onPass();
  }

  look(entry: Entry): void {
    const { now, settings, store } = this.context;
    const idle = now - entry.lastSeen;
    if ((entry.bits & BIT_TOMBSTONE) !== 0) {
      // Rule 16: a copy may bring what was closed while it is made.
      if (idle >= settings.tombstoneMs && this.context.ready) store.remove(entry.key);
      return;
    }
    if (idle >= this.entries.limit(entry, entry.bits)) {
      if ((entry.bits & BIT_CLOSING) === 0) store.remove(entry.key);
      else store.put({ ...entry, bits: entry.bits | BIT_TOMBSTONE, lastSeen: now }, undefined);
      return;
    }
    if (!isEnded(entry)) this.refresh(entry);
    this.visit(entry);
  }

  refresh(entry: Entry): void {
    // Who knows more than was told speaks, though somebody who knew less has spoken since.
    const untold = (entry.bits & ~entry.sharedBits & WIRE_BITS) !== 0;
    if (entry.lastSeen <= entry.refreshedAt && !untold) return;
    const { now, seed, self } = this.context;
    const third = this.entries.limit(entry, entry.sharedBits) / 3;
    const jitter = (mix(entry.key.hash(seed), self) % 1024) / 1024;
    if (now - entry.refreshedAt < third * (1 + jitter / 4)) return;
    if (this.isShedding()) {
      // It stays due: two thirds of the time-out are left for a quieter moment.
      this.context.count('refreshesShed');
      return;
    }
    const next = { ...entry, refreshedAt: now, sharedBits: entry.bits };
    this.entries.keep(next);
    this.entries.tell(next, 'refresh');
  }
}
