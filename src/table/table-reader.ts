/**
 * Look-up in the dispatch table, by client key (forward) and by server key (reverse), for the writer and for reader threads.
 *
 * One packet: hash, then `findForward` or `findReverse`. A batch, in passes, so that the memory accesses of its packets
 * overlap: hash all; `locate` all; then `findForwardAt` or `findReverseAt` for each with the candidate that `locate`
 * brought into the cache (`locate.ts`).
 * A reader thread takes a row by `readForward` or `readReverse`, reads what it needs, and asks `endRead`.
 * Key words may be given signed or unsigned; signed ones are never boxed by V8 on the way.
 */

import { ENDPOINT_PORT, META, NO_ROW, PORTS, ROW_WORDS } from './flow-row.ts';
import { KeyedHash } from './hash.ts';
import { BUCKET_CELLS, cellCount, HashIndex } from './index.ts';
import { findInFirst, findInSecond, touchBuckets, touchRows } from './locate.ts';
import { ORDERED, SharedTable, type TableBuffers } from './shared-table.ts';

export class TableReader extends SharedTable {
  /** Version under which `readForward` or `readReverse` took its row. */
  version = 0;
  protected readonly forward: HashIndex;
  protected readonly reverse: HashIndex;
  readonly #forwardHash: KeyedHash;
  readonly #reverseHash: KeyedHash;

  /** @throws RangeError as SharedTable. */
  constructor(buffers: TableBuffers) {
    super(buffers);
    const { capacity, seed } = buffers;
    this.forward = new HashIndex(this.cells, 0, capacity);
    this.reverse = new HashIndex(this.cells, cellCount(capacity), capacity);
    this.#forwardHash = new KeyedHash(seed[0], seed[1]);
    this.#reverseHash = new KeyedHash(seed[2], seed[3]);
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

  /** Reads both buckets of a forward hash, so that they are in the cache later. The result means nothing. */
  touchForward(hash: number): number {
    return this.cells[this.forward.first(hash)]! ^ this.cells[this.forward.second(hash)]!;
  }

  /** As `touchForward`, for a reverse hash. */
  touchReverse(hash: number): number {
    return this.cells[this.reverse.first(hash)]! ^ this.cells[this.reverse.second(hash)]!;
  }

  /**
   * For a batch: the candidate row of each hash by its tag alone, with its row brought into the cache.
   * A candidate may be the wrong one (about one in a hundred): `findForwardAt` and `findReverseAt` compare the key.
   * @param directions DIRECTION_* of `locate.ts` for each hash; @param candidates receives row or NO_ROW for each.
   * @returns a number that means nothing. Allocates nothing, never throws.
   */
  locate(hashes: Int32Array, directions: Uint8Array, candidates: Int32Array, count: number): number {
    const half = this.cells.length >>> 1;
    const touched = touchBuckets(this.forward, half, hashes, directions, count);
    const seconds = findInFirst(this.forward, half, hashes, directions, candidates, count);
    findInSecond(this.forward, half, hashes, directions, candidates, count);
    return touched ^ seconds ^ touchRows(this.words, candidates, count);
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

  /** `findForward` that tries the candidate of `locate` first. */
  findForwardAt(
    candidate: number,
    hash: number,
    a0: number,
    a1: number,
    a2: number,
    a3: number,
    ports: number,
    meta: number,
  ): number {
    if (candidate >= 0 && this.#matchesForward(candidate * ROW_WORDS, a0, a1, a2, a3, ports, meta)) {
      return candidate;
    }
    return this.findForward(hash, a0, a1, a2, a3, ports, meta);
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

  /** `findReverse` that tries the candidate of `locate` first. */
  findReverseAt(
    candidate: number,
    hash: number,
    a0: number,
    a1: number,
    a2: number,
    a3: number,
    clientPort: number,
    endpointPort: number,
  ): number {
    if (
      candidate >= 0 &&
      this.#matchesReverse(candidate * ROW_WORDS, a0, a1, a2, a3, clientPort, endpointPort)
    ) {
      return candidate;
    }
    return this.findReverse(hash, a0, a1, a2, a3, clientPort, endpointPort);
  }

  /**
   * `findForward` for a reader thread: the row still has this key under `this.version`. Read what is needed, then ask
   * `endRead(row, table.version)`; if it says false, look again.
   * @returns row or NO_ROW (also when the row was just given back). Allocates nothing, never throws.
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
    return this.#matchesForward(row * ROW_WORDS, a0, a1, a2, a3, ports, meta) ? row : NO_ROW;
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
    return this.#matchesReverse(row * ROW_WORDS, a0, a1, a2, a3, clientPort, endpointPort) ? row : NO_ROW;
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
    const { cells } = this;
    const { rowMask } = this.forward;
    for (let cell = bucket; cell < bucket + BUCKET_CELLS; cell++) {
      const content = cells[cell]!;
      if (((content ^ hash) & ~rowMask) !== 0) continue;
      const row = (content & rowMask) - 1;
      if (row >= 0 && this.#matchesForward(row * ROW_WORDS, a0, a1, a2, a3, ports, meta)) return row;
    }
    return NO_ROW;
  }

  #matchesForward(
    at: number,
    a0: number,
    a1: number,
    a2: number,
    a3: number,
    ports: number,
    meta: number,
  ): boolean {
    const words = ORDERED ? this.words : this.loadKey(at);
    const from = ORDERED ? at : 0;
    const differs =
      (words[from]! ^ a0) |
      (words[from + 1]! ^ a1) |
      (words[from + 2]! ^ a2) |
      (words[from + 3]! ^ a3) |
      (words[from + PORTS]! ^ ports) |
      (words[from + META]! ^ meta);
    return differs === 0;
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
    const { cells } = this;
    const { rowMask } = this.forward;
    for (let cell = bucket; cell < bucket + BUCKET_CELLS; cell++) {
      const content = cells[cell]!;
      if (((content ^ hash) & ~rowMask) !== 0) continue;
      const row = (content & rowMask) - 1;
      if (row >= 0 && this.#matchesReverse(row * ROW_WORDS, a0, a1, a2, a3, clientPort, endpointPort))
        return row;
    }
    return NO_ROW;
  }

  #matchesReverse(
    at: number,
    a0: number,
    a1: number,
    a2: number,
    a3: number,
    clientPort: number,
    endpointPort: number,
  ): boolean {
    const words = ORDERED ? this.words : this.loadKey(at);
    const from = ORDERED ? at : 0;
    const differs =
      (words[from]! ^ a0) |
      (words[from + 1]! ^ a1) |
      (words[from + 2]! ^ a2) |
      (words[from + 3]! ^ a3) |
      ((words[from + PORTS]! >>> 16) ^ clientPort) |
      (words[from + ENDPOINT_PORT]! ^ endpointPort);
    return differs === 0;
  }
}
