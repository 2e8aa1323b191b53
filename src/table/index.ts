/**
 * A two-choice bucketised hash index: from the hash of a key to the rows that may hold it.
 *
 * Buckets of eight 32-bit cells (32 bytes, never across a cache line); a key lives in one of two buckets, both derived from its hash, and
 * insertion takes the first while that is not rather full, else the emptier one. A cell is a tag (the upper bits of the hash) over row + 1 (the lower bits); 0 is empty.
 * Invariants: nothing ever moves, deletion clears the cell and leaves no grave, a look-up reads 16 cells at most.
 * At 4 keys a bucket on average (cells = 2 x capacity) a full pair of buckets is out of reach in practice: Azar, Broder,
 * Karlin, Upfal, "Balanced allocations", SIAM J. Comput. 29(1), 1999. It is counted all the same.
 */

export const BUCKET_CELLS = 8;

/**
 * Keys in a first bucket from which on the second is looked at. Simulated at full capacity, 20 M replacements: with 5, a key is in its second
 * bucket in 9 % of all cases in a table that only grew and in 27 % after churn (31 and 38 without the rule), and 2 buckets in 100,000 are
 * full; with 6 it is 5 and 16 %, and one insertion in 20 M failed.
 */
const FIRST_FULL = 5;

/** Most rows that an index can tell apart while a tag of 7 bits remains. */
export const MAX_CAPACITY = 1 << 24;

/** Cells for a number of rows: twice as many, rounded up to a power of two, 16 at least. */
export function cellCount(capacity: number): number {
  return Math.max(2 * BUCKET_CELLS, 2 ** Math.ceil(Math.log2(2 * capacity)));
}

/** Bits of a cell that hold row + 1. */
export function rowMask(capacity: number): number {
  return 2 ** (32 - Math.clz32(capacity)) - 1;
}

/** First cell of the first bucket of a hash, within its index. Allocates nothing, never throws. */
export function firstBucket(hash: number, bucketMask: number): number {
  return (hash & bucketMask) * BUCKET_CELLS;
}

/**
 * First cell of the second bucket: the hash mixed again (two rounds of multiply and shift), which is as secret as
 * the hash. May be the first bucket again (once in as many times as there are buckets). Allocates nothing, never throws.
 */
export function secondBucket(hash: number, secondShift: number): number {
  const mixed = Math.imul(hash ^ (hash >>> 15), 0x2c1b3c6d);
  return (Math.imul(mixed ^ (mixed >>> 12), 0x297a2d39) >>> secondShift) * BUCKET_CELLS;
}

/**
 * The first row of a bucket whose tag is the hash's; whether it is the key's row, its key says.
 * @returns row or -1. Allocates nothing, never throws.
 */
export function candidateIn(cells: Int32Array, bucket: number, hash: number, rowMask: number): number {
  for (let cell = bucket; cell < bucket + BUCKET_CELLS; cell++) {
    const content = cells[cell]!;
    if (((content ^ hash) & ~rowMask) === 0 && (content & rowMask) !== 0) return (content & rowMask) - 1;
  }
  return -1;
}

export class HashIndex {
  readonly cells: Int32Array;
  readonly #base: number;
  /** Lower bits of a cell: row + 1. The bits above it are the tag. */
  readonly rowMask: number;
  readonly bucketMask: number;
  readonly secondShift: number;

  /**
   * @param cells shared memory, 32-byte aligned, zero when new.
   * @param base the first of the `cellCount(capacity)` cells of it that are this index's.
   */
  constructor(cells: Int32Array, base: number, capacity: number) {
    this.cells = cells;
    this.#base = base;
    this.rowMask = rowMask(capacity);
    const buckets = cellCount(capacity) / BUCKET_CELLS;
    this.bucketMask = buckets - 1;
    this.secondShift = 32 - Math.log2(buckets);
  }

  /** First cell of the first bucket of a hash. */
  first(hash: number): number {
    return this.#base + firstBucket(hash, this.bucketMask);
  }

  /** First cell of the second bucket. */
  second(hash: number): number {
    return this.#base + secondBucket(hash, this.secondShift);
  }

  /**
   * Enters a row under a hash: in its first bucket while that has less than FIRST_FULL keys, else in the emptier of the two.
   * @returns false when both are full; nothing is changed then. Allocates nothing, never throws.
   */
  place(hash: number, row: number): boolean {
    const first = this.first(hash);
    const second = this.second(hash);
    const freeInFirst = this.#freeCells(first);
    const freeInSecond = this.#freeCells(second);
    if (freeInFirst === 0 && freeInSecond === 0) return false;
    let cell = freeInFirst > BUCKET_CELLS - FIRST_FULL || freeInFirst >= freeInSecond ? first : second;
    while (this.cells[cell] !== 0) cell++;
    Atomics.store(this.cells, cell, (hash & ~this.rowMask) | (row + 1));
    return true;
  }

  /** Clears the cell of a row that was placed under this hash. Allocates nothing, never throws. */
  clear(hash: number, row: number): boolean {
    const content = (hash & ~this.rowMask) | (row + 1);
    return this.#clearIn(this.first(hash), content) || this.#clearIn(this.second(hash), content);
  }

  #freeCells(bucket: number): number {
    let free = 0;
    for (let cell = bucket; cell < bucket + BUCKET_CELLS; cell++) if (this.cells[cell] === 0) free++;
    return free;
  }

  #clearIn(bucket: number, content: number): boolean {
    for (let cell = bucket; cell < bucket + BUCKET_CELLS; cell++) {
      if (this.cells[cell] !== content) continue;
      Atomics.store(this.cells, cell, 0);
      return true;
    }
    return false;
  }
}
