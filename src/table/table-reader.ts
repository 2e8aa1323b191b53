/**
 * The side of the dispatch table that every thread has: shared memory, look-up by client key (forward) and by server key
 * (reverse), reading rows.
 *
 * Shape: one SharedArrayBuffer = header words, two counter columns by server, two hash indexes, rows (`flow-row.ts`).
 * One thread writes (`dispatch-table.ts`); a row's version is a seqlock: odd while it is being written. A reader thread takes a
 * row by `readForward` or `readReverse`, reads what it needs, and believes it only if `endRead` says so.
 * Every data word that both sides use meanwhile is accessed by Atomics, as a seqlock needs (H.-J. Boehm, "Can seqlocks
 * get along with programming language memory models?", MSPC 2012); the writer itself reads plainly.
 * Key words may be given signed or unsigned; signed ones are never boxed by V8 on the way.
 */

import {
  CLIENT,
  ENDPOINT_PORT,
  type FlowRow,
  ISN,
  LAST_SEEN,
  META,
  NO_ROW,
  OPENED_AT,
  PORTS,
  ROW_WORDS,
  SERVER_STATE,
  STATE_FREE,
  VERSION,
} from './flow-row.ts';
import { KeyedHash } from './hash.ts';
import { BUCKET_CELLS, cellCount, HashIndex, MAX_CAPACITY } from './index.ts';

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

export const HEADER_SIZE = 0;
export const HEADER_SESSIONS = 1;
/** First free row + 1. */
export const HEADER_FREE = 2;
/** Rows below this were used at least once; those above were never written. */
export const HEADER_FRESH = 3;
/** Insertions refused because both buckets of a key were full. */
export const HEADER_REFUSED = 4;
const HEADER_WORDS = 16;

/** How often a reader looks again at a row that is being written before it gives up; a write takes well under 1 us. */
const READ_ATTEMPTS = 64;

/** Bytes of shared memory for a capacity: 64 an entry (at a power of two) and half a megabyte. */
export function tableBytes(capacity: number): number {
  return 4 * (HEADER_WORDS + 2 * SERVER_SLOTS + 2 * cellCount(capacity) + ROW_WORDS * capacity);
}

export class TableReader {
  readonly buffers: TableBuffers;
  readonly capacity: number;
  /** Flows by server index that are established, or UDP. */
  readonly active: Uint32Array;
  /** Flows by server index that are opening or closing. */
  readonly inactive: Uint32Array;
  /** Version under which `readForward` or `readReverse` took its row. */
  version = 0;
  protected readonly header: Int32Array;
  protected readonly words: Int32Array;
  protected readonly forward: HashIndex;
  protected readonly reverse: HashIndex;
  readonly #forwardHash: KeyedHash;
  readonly #reverseHash: KeyedHash;

  /** @throws RangeError when the capacity is not within 1 to 2^24 or the memory has another size. */
  constructor(buffers: TableBuffers) {
    const { capacity, seed, memory } = buffers;
    if (!Number.isInteger(capacity) || capacity < 1 || capacity > MAX_CAPACITY) {
      throw new RangeError(`table capacity ${capacity} is not within 1 to ${MAX_CAPACITY}`);
    }
    if (memory.byteLength !== tableBytes(capacity)) throw new RangeError('memory of another capacity');
    this.buffers = buffers;
    this.capacity = capacity;
    const cells = cellCount(capacity);
    let offset = 0;
    const take = (words: number): Int32Array => {
      const part = new Int32Array(memory, offset, words);
      offset += 4 * words;
      return part;
    };
    this.header = take(HEADER_WORDS);
    this.active = new Uint32Array(memory, take(SERVER_SLOTS).byteOffset, SERVER_SLOTS);
    this.inactive = new Uint32Array(memory, take(SERVER_SLOTS).byteOffset, SERVER_SLOTS);
    this.forward = new HashIndex(take(cells), capacity);
    this.reverse = new HashIndex(take(cells), capacity);
    this.words = take(ROW_WORDS * capacity);
    this.#forwardHash = new KeyedHash(seed[0], seed[1]);
    this.#reverseHash = new KeyedHash(seed[2], seed[3]);
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

  /** Hash of a client's key: address words, `packPorts`, `flowMeta` or `sessionMeta`. Signed 32 bits. */
  hashForward(a0: number, a1: number, a2: number, a3: number, ports: number, meta: number): number {
    return this.#forwardHash.words6(a0, a1, a2, a3, ports, meta);
  }

  /** Hash of a server's key: the client's address words and port, `packEndpointPort`. Signed 32 bits. */
  hashReverse(
    a0: number,
    a1: number,
    a2: number,
    a3: number,
    clientPort: number,
    endpointPort: number,
  ): number {
    return this.#reverseHash.words6(a0, a1, a2, a3, clientPort, endpointPort);
  }

  /** Pass 1 of a batch: brings both buckets and the row that the tag points to into the cache. The result means nothing. */
  touchForward(hash: number): number {
    return this.#touch(this.forward, hash);
  }

  /** As `touchForward`, for a reverse hash. */
  touchReverse(hash: number): number {
    return this.#touch(this.reverse, hash);
  }

  /**
   * The row of a client's key, for the writer (a reader thread uses `readForward`).
   * @returns row or NO_ROW. Allocates nothing, never throws.
   */
  findForward(
    hash: number,
    a0: number,
    a1: number,
    a2: number,
    a3: number,
    ports: number,
    meta: number,
  ): number {
    const row = this.#scanForward(this.forward.first(hash), hash, a0, a1, a2, a3, ports, meta);
    if (row !== NO_ROW) return row;
    return this.#scanForward(this.forward.second(hash), hash, a0, a1, a2, a3, ports, meta);
  }

  /**
   * The row of a server's key, for the writer (a reader thread uses `readReverse`).
   * @returns row or NO_ROW. Allocates nothing, never throws.
   */
  findReverse(
    hash: number,
    a0: number,
    a1: number,
    a2: number,
    a3: number,
    clientPort: number,
    endpointPort: number,
  ): number {
    const row = this.#scanReverse(this.reverse.first(hash), hash, a0, a1, a2, a3, clientPort, endpointPort);
    if (row !== NO_ROW) return row;
    return this.#scanReverse(this.reverse.second(hash), hash, a0, a1, a2, a3, clientPort, endpointPort);
  }

  /**
   * `findForward` for a reader thread: the row still has this key under `this.version`. Read what is needed, then ask
   * `endRead(row, table.version)`; if it says false, look again.
   * @returns row or NO_ROW (also while the row is being written). Allocates nothing, never throws.
   */
  readForward(
    hash: number,
    a0: number,
    a1: number,
    a2: number,
    a3: number,
    ports: number,
    meta: number,
  ): number {
    const row = this.findForward(hash, a0, a1, a2, a3, ports, meta);
    if (row === NO_ROW) return NO_ROW;
    this.version = this.beginRead(row);
    const { words } = this;
    const at = row * ROW_WORDS;
    const same =
      this.#isClient(at, a0, a1, a2, a3) &&
      Atomics.load(words, at + PORTS) === (ports | 0) &&
      Atomics.load(words, at + META) === (meta | 0);
    return same && (this.version & 1) === 0 ? row : NO_ROW;
  }

  /** `findReverse` for a reader thread; see `readForward`. */
  readReverse(
    hash: number,
    a0: number,
    a1: number,
    a2: number,
    a3: number,
    clientPort: number,
    endpointPort: number,
  ): number {
    const row = this.findReverse(hash, a0, a1, a2, a3, clientPort, endpointPort);
    if (row === NO_ROW) return NO_ROW;
    this.version = this.beginRead(row);
    const { words } = this;
    const at = row * ROW_WORDS;
    const same =
      this.#isClient(at, a0, a1, a2, a3) &&
      Atomics.load(words, at + PORTS) >>> 16 === clientPort &&
      Atomics.load(words, at + ENDPOINT_PORT) === (endpointPort | 0);
    return same && (this.version & 1) === 0 ? row : NO_ROW;
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
    return Atomics.load(this.words, row * ROW_WORDS + word);
  }

  #touch(index: HashIndex, hash: number): number {
    const { cells, rowMask } = index;
    return cells[index.first(hash)]! ^ cells[index.second(hash)]! ^ rowMask;
  }

  #isClient(at: number, a0: number, a1: number, a2: number, a3: number): boolean {
    const { words } = this;
    return (
      ((Atomics.load(words, at) ^ a0) |
        (Atomics.load(words, at + 1) ^ a1) |
        (Atomics.load(words, at + 2) ^ a2) |
        (Atomics.load(words, at + 3) ^ a3)) ===
      0
    );
  }

  #scanForward(
    bucket: number,
    hash: number,
    a0: number,
    a1: number,
    a2: number,
    a3: number,
    ports: number,
    meta: number,
  ): number {
    const { words } = this;
    const { cells, rowMask } = this.forward;
    for (let cell = bucket; cell < bucket + BUCKET_CELLS; cell++) {
      const content = cells[cell]!;
      if (((content ^ hash) & ~rowMask) !== 0) continue;
      const row = (content & rowMask) - 1;
      if (row < 0) continue;
      const at = row * ROW_WORDS;
      const differs =
        (words[at]! ^ a0) |
        (words[at + 1]! ^ a1) |
        (words[at + 2]! ^ a2) |
        (words[at + 3]! ^ a3) |
        (words[at + PORTS]! ^ ports) |
        (words[at + META]! ^ meta);
      if (differs === 0) return row;
    }
    return NO_ROW;
  }

  #scanReverse(
    bucket: number,
    hash: number,
    a0: number,
    a1: number,
    a2: number,
    a3: number,
    clientPort: number,
    endpointPort: number,
  ): number {
    const { words } = this;
    const { cells, rowMask } = this.reverse;
    for (let cell = bucket; cell < bucket + BUCKET_CELLS; cell++) {
      const content = cells[cell]!;
      if (((content ^ hash) & ~rowMask) !== 0) continue;
      const row = (content & rowMask) - 1;
      if (row < 0) continue;
      const at = row * ROW_WORDS;
      const differs =
        (words[at]! ^ a0) |
        (words[at + 1]! ^ a1) |
        (words[at + 2]! ^ a2) |
        (words[at + 3]! ^ a3) |
        ((words[at + PORTS]! >>> 16) ^ clientPort) |
        (words[at + ENDPOINT_PORT]! ^ endpointPort);
      if (differs === 0) return row;
    }
    return NO_ROW;
  }
}
