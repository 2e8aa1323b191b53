/**
 * The dispatch table: the writer's side. Every entry is one row under a forward key, and under a reverse key where
 * replies come back through a dispatcher.
 *
 * Exactly one thread calls the methods of this class (those of `TableReader` are for all). Writes of several words lie
 * between two increments of the row's version; a single word is stored at once, which needs none.
 * Invariants: `active` and `inactive` equal a recount by server; a free row is in no bucket; free rows form a list
 * through their ISN word; nothing here allocates after construction, except `setTimeouts`.
 * Work per call is bounded: `expire` and `earlyDrop` look at as many rows as they are told, or 32.
 */

import {
  CLIENT,
  ENDPOINT_PORT,
  ISN,
  LAST_SEEN,
  META,
  OPENED_AT,
  PORTS,
  ROW_WORDS,
  SERVER_STATE,
  SESSION_KIND,
  STATE_CLOSING,
  STATE_ESTABLISHED,
  STATE_FREE,
  STATE_OPENING,
  STATE_SESSION,
  STATE_UDP,
  TABLE_FULL,
  VERSION,
} from './flow-row.ts';
import { isExpendable, TimeoutTable } from './lifetimes.ts';
import { REASON_EVICTED, REASON_EXPIRED, REASON_REMOVED } from './release-reason.ts';
import {
  HEADER_FREE,
  HEADER_FRESH,
  HEADER_REFUSED,
  HEADER_SESSIONS,
  HEADER_SIZE,
  type TableBuffers,
  type TableSeed,
  tableBytes,
} from './shared-table.ts';
import { TableReader } from './table-reader.ts';

/** Rows that `earlyDrop` looks at. */
const EARLY_DROP_SAMPLE = 32;

export class DispatchTable extends TableReader {
  /** Called with a row that is about to be given back, still readable, and the reason. It must not change the table's rows. */
  onRelease: (row: number, reason: number) => void = () => {};
  readonly #timeouts = new TimeoutTable();
  #expireCursor = 0;
  #dropCursor = 0;

  /**
   * A new, empty table.
   * @param capacity rows, 1 to 2^24. @throws RangeError outside of that.
   */
  static create(capacity: number, options: { readonly seed: TableSeed }): DispatchTable {
    const memory = new SharedArrayBuffer(tableBytes(capacity));
    return new DispatchTable({ capacity, seed: options.seed, memory });
  }

  /** The same table in the thread that is to write it; other threads use `new TableReader(buffers)`. */
  static attach(buffers: TableBuffers): DispatchTable {
    return new DispatchTable(buffers);
  }

  /**
   * Makes an entry. Neither its forward key nor its reverse key may be in the table (look both up first).
   * @param endpointPort `packEndpointPort`, or 0 for no reverse key (`reverseHash` means nothing then).
   * @param now monotonic ms, becomes last seen and opened at.
   * @returns row, or TABLE_FULL. Allocates nothing, never throws.
   */
  insert(
    forwardHash: number,
    reverseHash: number,
    a0: number,
    a1: number,
    a2: number,
    a3: number,
    ports: number,
    meta: number,
    endpointPort: number,
    server: number,
    state: number,
    isn: number,
    now: number,
  ): number {
    const row = this.#freeRow();
    if (row < 0) return TABLE_FULL;
    const { words } = this;
    const at = row * ROW_WORDS;
    const nextFree = words[at + ISN]!;
    Atomics.store(words, at + VERSION, words[at + VERSION]! + 1);
    this.storeAt(at + CLIENT, a0);
    this.storeAt(at + CLIENT + 1, a1);
    this.storeAt(at + CLIENT + 2, a2);
    this.storeAt(at + CLIENT + 3, a3);
    this.storeAt(at + PORTS, ports);
    this.storeAt(at + META, meta);
    this.storeAt(at + ENDPOINT_PORT, endpointPort);
    this.storeAt(at + SERVER_STATE, (server << 16) | (state << 8));
    this.storeAt(at + LAST_SEEN, now);
    this.storeAt(at + ISN, isn);
    this.storeAt(at + OPENED_AT, now);
    Atomics.store(words, at + VERSION, words[at + VERSION]! + 1);
    if (!this.#enter(row, forwardHash, reverseHash, endpointPort)) {
      this.#wipe(row, nextFree);
      this.header[HEADER_REFUSED] = this.header[HEADER_REFUSED]! + 1;
      return TABLE_FULL;
    }
    this.#takeRow(row, nextFree);
    this.header[HEADER_SIZE] = this.header[HEADER_SIZE]! + 1;
    if (meta < 0 || meta > 0x7fffffff) this.header[HEADER_SESSIONS] = this.header[HEADER_SESSIONS]! + 1;
    this.#count(server, state, 1);
    return row;
  }

  /**
   * Gives a row back, after `onRelease`. The row must be in use.
   * @param reason one of REASON_*. Allocates nothing, never throws.
   */
  remove(row: number, reason: number = REASON_REMOVED): void {
    this.onRelease(row, reason);
    const { words } = this;
    const at = row * ROW_WORDS;
    const a0 = words[at]!;
    const a1 = words[at + 1]!;
    const a2 = words[at + 2]!;
    const a3 = words[at + 3]!;
    const ports = words[at + PORTS]!;
    const meta = words[at + META]!;
    const endpointPort = words[at + ENDPOINT_PORT]!;
    const serverState = words[at + SERVER_STATE]!;
    this.forward.clear(this.hashForward(a0, a1, a2, a3, ports, meta), row);
    if (endpointPort !== 0) {
      this.reverse.clear(this.hashReverse(a0, a1, a2, a3, ports >>> 16, endpointPort), row);
    }
    this.#count(serverState >>> 16, (serverState >>> 8) & 0xff, -1);
    this.#wipe(row, this.header[HEADER_FREE]!);
    this.header[HEADER_FREE] = row + 1;
    this.header[HEADER_SIZE] = this.header[HEADER_SIZE]! - 1;
    if (meta < 0) this.header[HEADER_SESSIONS] = this.header[HEADER_SESSIONS]! - 1;
  }

  /** Changes the state, and the counts with it. Allocates nothing, never throws. */
  setState(row: number, state: number): void {
    const at = row * ROW_WORDS + SERVER_STATE;
    const word = this.words[at]!;
    this.#count(word >>> 16, (word >>> 8) & 0xff, -1);
    this.#count(word >>> 16, state, 1);
    this.storeAt(at, (word & ~0xff00) | (state << 8));
  }

  /** Replaces all flags. Allocates nothing, never throws. */
  setFlags(row: number, flags: number): void {
    const at = row * ROW_WORDS + SERVER_STATE;
    this.storeAt(at, (this.words[at]! & ~0xff) | flags);
  }

  /** Moves a session entry to another server; a flow never moves. Allocates nothing, never throws. */
  moveSession(row: number, server: number): void {
    const at = row * ROW_WORDS + SERVER_STATE;
    this.storeAt(at, (server << 16) | (this.words[at]! & 0xffff));
  }

  setIsn(row: number, isn: number): void {
    this.storeAt(row * ROW_WORDS + ISN, isn);
  }

  /** Sets both times of a row; for entries that come out of a saved table. Monotonic ms. */
  setTimes(row: number, lastSeen: number, openedAt: number): void {
    this.storeAt(row * ROW_WORDS + LAST_SEEN, lastSeen);
    this.storeAt(row * ROW_WORDS + OPENED_AT, openedAt);
  }

  /** A flow holds its session entry: the entry does not expire while any does (as IPVS persistence templates). */
  holdSession(row: number): void {
    const at = row * ROW_WORDS + ISN;
    this.storeAt(at, this.words[at]! + 1);
  }

  /** The opposite of `holdSession`, when the flow ends. */
  letGoSession(row: number): void {
    const at = row * ROW_WORDS + ISN;
    if (this.words[at]! > 0) this.storeAt(at, this.words[at]! - 1);
  }

  /** Time-outs of one service in ms by state, 0 to 2^31 - 1. Allocates when a service index is the largest so far. */
  setTimeouts(service: number, timeoutsMs: Uint32Array): void {
    this.#timeouts.set(service, timeoutsMs);
  }

  /** Marks a service as gone: `expire` removes its rows (REASON_REMOVED) as its cursor meets them. `setTimeouts` unmarks it. */
  removeService(service: number): void {
    this.#timeouts.remove(service);
  }

  /**
   * Moves the expiry cursor over `maxRows` rows and removes those whose time is over, or whose service is gone.
   * @returns rows removed. Allocates nothing, never throws.
   */
  expire(now: number, maxRows: number): number {
    const used = this.usedRows;
    let ended = 0;
    for (let left = Math.min(maxRows, used); left > 0; left--) {
      if (this.#expireCursor >= used) this.#expireCursor = 0;
      const row = this.#expireCursor++;
      const at = row * ROW_WORDS;
      const word = this.words[at + SERVER_STATE]!;
      const state = (word >>> 8) & 0xff;
      if (state === STATE_FREE) continue;
      const meta = this.words[at + META]!;
      const service = meta & 0xffff;
      if (this.#timeouts.isRemoved(service)) {
        this.remove(row, REASON_REMOVED);
      } else if (this.idleMs(row, now) >= this.#timeoutOf(service, state, word & 0xff)) {
        if (meta < 0 && this.words[at + ISN]! > 0) continue;
        this.remove(row, REASON_EXPIRED);
      } else continue;
      ended++;
    }
    return ended;
  }

  /**
   * Gives up one row for a new flow when the table is full: of the next 32 rows, the longest idle one that is not
   * assured, or is closing (nf_conntrack's early_drop), be it a flow or a session that no flow holds.
   * @returns whether one was freed. Allocates nothing, never throws.
   */
  earlyDrop(now: number): boolean {
    const used = this.usedRows;
    let victim = -1;
    let longest = -1;
    for (let left = Math.min(EARLY_DROP_SAMPLE, used); left > 0; left--) {
      if (this.#dropCursor >= used) this.#dropCursor = 0;
      const row = this.#dropCursor++;
      const word = this.words[row * ROW_WORDS + SERVER_STATE]!;
      const holds = this.words[row * ROW_WORDS + ISN]!;
      if (!isExpendable((word >>> 8) & 0xff, word & 0xff, holds) || this.idleMs(row, now) <= longest)
        continue;
      victim = row;
      longest = this.idleMs(row, now);
    }
    if (victim < 0) return false;
    this.remove(victim, REASON_EVICTED);
    return true;
  }

  #timeoutOf(service: number, state: number, flags: number): number {
    return state === STATE_SESSION
      ? this.#timeouts.ofSession(service, flags)
      : this.#timeouts.of(service, state);
  }

  #enter(row: number, forwardHash: number, reverseHash: number, endpointPort: number): boolean {
    if (!this.forward.place(forwardHash, row)) return false;
    if (endpointPort === 0 || this.reverse.place(reverseHash, row)) return true;
    this.forward.clear(forwardHash, row);
    return false;
  }

  #freeRow(): number {
    const free = this.header[HEADER_FREE]!;
    if (free !== 0) return free - 1;
    const fresh = this.header[HEADER_FRESH]!;
    return fresh < this.capacity ? fresh : -1;
  }

  #takeRow(row: number, nextFree: number): void {
    if (this.header[HEADER_FREE] !== 0) this.header[HEADER_FREE] = nextFree;
    else Atomics.store(this.header, HEADER_FRESH, row + 1);
  }

  /** Makes a row free: no key matches it any more (meta with bits that no service has), its ISN word is the list's link. */
  #wipe(row: number, nextFree: number): void {
    const { words } = this;
    const at = row * ROW_WORDS;
    Atomics.store(words, at + VERSION, words[at + VERSION]! + 1);
    this.storeAt(at + META, ~SESSION_KIND);
    this.storeAt(at + ENDPOINT_PORT, 0);
    this.storeAt(at + SERVER_STATE, STATE_FREE);
    this.storeAt(at + ISN, nextFree);
    Atomics.store(words, at + VERSION, words[at + VERSION]! + 1);
  }

  #count(server: number, state: number, by: number): void {
    if (state === STATE_ESTABLISHED || state === STATE_UDP) this.active[server] = this.active[server]! + by;
    else if (state === STATE_OPENING || state === STATE_CLOSING) {
      this.inactive[server] = this.inactive[server]! + by;
    }
  }
}
