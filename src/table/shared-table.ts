/**
 * The memory of the dispatch table, and the reading of its rows, which every thread may do.
 *
 * Shape: one SharedArrayBuffer = header words, two counter columns by server, the cells of two hash indexes, rows
 * (`flow-row.ts`). One thread writes (`dispatch-table.ts`); a row's version is a seqlock: odd while it is written, and
 * what was read between `beginRead` and `endRead` is believed only if `endRead` says so.
 * Order: a seqlock's data must be read before, and written after, its version (H.-J. Boehm, "Can seqlocks get along with
 * programming language memory models?", MSPC 2012). x86-64 keeps loads in order and stores in order by itself; anywhere
 * else every data word goes through Atomics, which cost 9 ns a load in Node 20 (measured).
 */

import { elapsedMs } from '../base/clock.ts';
import {
  CLIENT,
  ENDPOINT_PORT,
  type FlowRow,
  ISN,
  LAST_SEEN,
  MAX_IDLE_MS,
  META,
  OPENED_AT,
  PORTS,
  ROW_WORDS,
  SERVER_STATE,
  STATE_FREE,
  VERSION,
} from './flow-row.ts';
import { cellCount, MAX_CAPACITY } from './index.ts';

/** Server indexes are u16; the counter columns have one cell for each. */
export const SERVER_SLOTS = 65_536;

/** Four random words: the keys of the two hashes. */
export type TableSeed = readonly [number, number, number, number];

/** What another thread needs to attach; structured-cloneable, the memory is shared. */
export interface TableBuffers {
  readonly capacity: number;
  readonly seed: TableSeed;
  readonly memory: SharedArrayBuffer;
}

/** Header words. */
export const HEADER_SIZE = 0;
export const HEADER_SESSIONS = 1;
/** First free row + 1. */
export const HEADER_FREE = 2;
/** Rows below this were used at least once; those above were never written. */
export const HEADER_FRESH = 3;
/** Insertions refused because both buckets of a key were full. */
export const HEADER_REFUSED = 4;
const HEADER_WORDS = 16;

/** Whether the processor keeps loads among loads and stores among stores in order (x86-64 does, ARM does not). */
export const ORDERED: boolean = process.arch === 'x64';

/** How often a reader looks again at a row that is being written before it gives up; a write takes well under 1 us. */
const READ_ATTEMPTS = 64;

/** Bytes of shared memory for a capacity: 64 an entry (at a power of two) and half a megabyte. */
export function tableBytes(capacity: number): number {
  return 4 * (HEADER_WORDS + 2 * SERVER_SLOTS + 2 * cellCount(capacity) + ROW_WORDS * capacity);
}

export class SharedTable {
  readonly buffers: TableBuffers;
  readonly capacity: number;
  /** Flows by server index that are established, or UDP. */
  readonly active: Uint32Array;
  /** Flows by server index that are opening or closing. */
  readonly inactive: Uint32Array;
  protected readonly header: Int32Array;
  /** The cells of the forward index, then those of the reverse index. */
  protected readonly cells: Int32Array;
  protected readonly words: Int32Array;
  readonly #key = new Int32Array(ENDPOINT_PORT + 1);

  /** @throws RangeError when the capacity is not within 1 to 2^24 or the memory is of another capacity. */
  constructor(buffers: TableBuffers) {
    const { capacity, memory } = buffers;
    if (!Number.isInteger(capacity) || capacity < 1 || capacity > MAX_CAPACITY) {
      throw new RangeError(`table capacity ${capacity} is not within 1 to ${MAX_CAPACITY}`);
    }
    if (memory.byteLength !== tableBytes(capacity)) throw new RangeError('memory of another capacity');
    this.buffers = buffers;
    this.capacity = capacity;
    const cells = 2 * cellCount(capacity);
    let at = 0;
    this.header = new Int32Array(memory, at, HEADER_WORDS);
    at += 4 * HEADER_WORDS;
    this.active = new Uint32Array(memory, at, SERVER_SLOTS);
    at += 4 * SERVER_SLOTS;
    this.inactive = new Uint32Array(memory, at, SERVER_SLOTS);
    at += 4 * SERVER_SLOTS;
    this.cells = new Int32Array(memory, at, cells);
    at += 4 * cells;
    this.words = new Int32Array(memory, at, ROW_WORDS * capacity);
  }

  /** Rows in use, session entries included. */
  get size(): number {
    return this.header[HEADER_SIZE]!;
  }

  /** Session entries in use. */
  get sessions(): number {
    return this.header[HEADER_SESSIONS]!;
  }

  /** Insertions refused because both buckets of a key were full (not because no row was free). */
  get refused(): number {
    return this.header[HEADER_REFUSED]!;
  }

  /** Rows from 0 to this (exclusive) are worth a look by who iterates. */
  get usedRows(): number {
    return this.header[HEADER_FRESH]!;
  }

  /** The row's version: even, or odd when the writer is inside and stayed there for 64 looks. */
  beginRead(row: number): number {
    const at = row * ROW_WORDS + VERSION;
    let version = Atomics.load(this.words, at);
    for (let left = READ_ATTEMPTS; (version & 1) !== 0 && left > 0; left--) {
      version = Atomics.load(this.words, at);
    }
    return version;
  }

  /** Whether all that was read of the row since `beginRead` returned `version` belongs together. */
  endRead(row: number, version: number): boolean {
    return (version & 1) === 0 && Atomics.load(this.words, row * ROW_WORDS + VERSION) === version;
  }

  /** Word 0 to 3 of the client address, unsigned. */
  clientWord(row: number, index: number): number {
    return this.load(row, CLIENT + index) >>> 0;
  }

  clientPort(row: number): number {
    return this.load(row, PORTS) >>> 16;
  }

  vipPort(row: number): number {
    return this.load(row, PORTS) & 0xffff;
  }

  /** `packEndpointPort`, unsigned; 0 when replies do not come by here. */
  endpointPort(row: number): number {
    return this.words[row * ROW_WORDS + ENDPOINT_PORT]! >>> 0;
  }

  isSession(row: number): boolean {
    return this.load(row, META) < 0;
  }

  service(row: number): number {
    return this.load(row, META) & 0xffff;
  }

  endpoint(row: number): number {
    return this.load(row, ENDPOINT_PORT) >>> 16;
  }

  /** The server's port; 0 when the row has no reverse key. */
  serverPort(row: number): number {
    return this.load(row, ENDPOINT_PORT) & 0xffff;
  }

  server(row: number): number {
    return this.load(row, SERVER_STATE) >>> 16;
  }

  state(row: number): number {
    return (this.load(row, SERVER_STATE) >>> 8) & 0xff;
  }

  flags(row: number): number {
    return this.load(row, SERVER_STATE) & 0xff;
  }

  /** The client's initial sequence number, unsigned. */
  isn(row: number): number {
    return this.load(row, ISN) >>> 0;
  }

  /** Monotonic ms, unsigned. */
  openedAt(row: number): number {
    return this.load(row, OPENED_AT) >>> 0;
  }

  /** Monotonic ms, unsigned. */
  lastSeen(row: number): number {
    return this.load(row, LAST_SEEN) >>> 0;
  }

  /**
   * Milliseconds since the row was last seen. A time ahead of `now` (a reader thread's clock was read later) counts as 0.
   * Allocates nothing, never throws.
   */
  idleMs(row: number, now: number): number {
    const idle = elapsedMs(now, this.words[row * ROW_WORDS + LAST_SEEN]!);
    return idle > MAX_IDLE_MS ? 0 : idle;
  }

  /** Marks the row as seen now (monotonic ms). Any thread may. */
  touch(row: number, now: number): void {
    this.words[row * ROW_WORDS + LAST_SEEN] = now;
  }

  /**
   * Copies a row consistently, from any thread.
   * @returns false when the row is free, or changed at every one of 64 attempts; `into` means nothing then.
   */
  readRow(row: number, into: FlowRow): boolean {
    for (let left = READ_ATTEMPTS; left > 0; left--) {
      const version = this.beginRead(row);
      into.client0 = this.clientWord(row, 0);
      into.client1 = this.clientWord(row, 1);
      into.client2 = this.clientWord(row, 2);
      into.client3 = this.clientWord(row, 3);
      into.clientPort = this.clientPort(row);
      into.vipPort = this.vipPort(row);
      into.session = this.isSession(row);
      into.service = this.service(row);
      into.endpoint = this.endpoint(row);
      into.serverPort = this.serverPort(row);
      into.server = this.server(row);
      into.state = this.state(row);
      into.flags = this.flags(row);
      into.lastSeen = this.lastSeen(row);
      into.isn = this.isn(row);
      into.openedAt = this.openedAt(row);
      if (this.endRead(row, version)) return into.state !== STATE_FREE;
    }
    return false;
  }

  protected load(row: number, word: number): number {
    return this.loadAt(row * ROW_WORDS + word);
  }

  /** The key words of a row, at the same places of an array of this thread's own. Where loads are not in order: not to be called elsewhere. */
  protected loadKey(at: number): Int32Array {
    for (let word = 0; word <= ENDPOINT_PORT; word++) this.#key[word] = Atomics.load(this.words, at + word);
    return this.#key;
  }

  /** A data word, not read later than a version that is read after it. */
  protected loadAt(at: number): number {
    return ORDERED ? this.words[at]! : Atomics.load(this.words, at);
  }

  /** Stores a data word, not sooner than a version that was stored before it. The writer's. */
  protected storeAt(at: number, value: number): void {
    if (ORDERED) this.words[at] = value;
    else Atomics.store(this.words, at, value);
  }
}
