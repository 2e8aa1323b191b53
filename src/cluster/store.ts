/**
 * Where entries are kept: the contract that the product's dispatch table fulfils, and a Map that does for models.
 *
 * The core treats entries as immutable values and puts whole ones back. Lookups by reply tuple are the second unique key
 * (rule 18). `scan` visits all entries in bounded steps, for expiry, refreshes, digests and snapshots.
 */

import type { Entry } from './entry.ts';
import type { ReplyKey, SessionKey } from './session-key.ts';

export interface EntryStore {
  find(key: SessionKey): Entry | undefined;
  findReply(reply: ReplyKey): Entry | undefined;
  /**
   * Inserts or replaces the entry of its key. `reply` is its reply tuple, undefined when replies do not come back; the
   * caller has made sure that no other key holds it.
   * @returns false when there is no room.
   */
  put(entry: Entry, reply: ReplyKey | undefined): boolean;
  remove(key: SessionKey): void;
  readonly size: number;
  /**
   * Visits up to `count` entries from `cursor` (0 = the first). The visitor may put and remove the entry it is given.
   * @returns the next cursor, or 0 when the pass is complete.
   */
  scan(cursor: number, count: number, visit: (entry: Entry) => void): number;
}

/** An entry store of plain Maps. */
export class MapStore implements EntryStore {
  capacity = Number.POSITIVE_INFINITY;
  readonly entries = new Map<string, Entry>();
  /** Reply tuple text to key text, and back. */
  readonly replies = new Map<string, string>();
  readonly tuples = new Map<string, string>();
  pass: string[] = [];

  get size(): number {
    return this.entries.size;
  }

  find(key: SessionKey): Entry | undefined {
    return this.entries.get(key.text);
  }

  findReply(reply: ReplyKey): Entry | undefined {
    const key = this.replies.get(reply.text);
    return key === undefined ? undefined : this.entries.get(key);
  }

  put(entry: Entry, reply: ReplyKey | undefined): boolean {
    const { text } = entry.key;
    if (!this.entries.has(text) && this.entries.size >= this.capacity) return false;
    this.entries.set(text, entry);
    this.forgetReply(text);
    if (reply !== undefined) {
      this.replies.set(reply.text, text);
      this.tuples.set(text, reply.text);
    }
    return true;
  }

  remove(key: SessionKey): void {
    this.forgetReply(key.text);
    this.entries.delete(key.text);
  }

  scan(cursor: number, count: number, visit: (entry: Entry) => void): number {
    if (cursor === 0) this.pass = [...this.entries.keys()];
    const end = Math.min(this.pass.length, cursor + count);
    for (let at = cursor; at < end; at++) {
      const entry = this.entries.get(this.pass[at]!);
      if (entry !== undefined) visit(entry);
    }
    return end < this.pass.length ? end : 0;
  }

  forgetReply(text: string): void {
    const tuple = this.tuples.get(text);
    if (tuple === undefined) return;
    this.tuples.delete(text);
    if (this.replies.get(tuple) === text) this.replies.delete(tuple);
  }
}
