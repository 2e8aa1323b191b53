import { describe, expect, it } from 'vitest';
import { Prng } from '../../../src/base/prng.ts';
import { BUCKET_CELLS, candidateIn, cellCount, HashIndex, rowMask } from '../../../src/table/index.ts';

function makeIndex(capacity: number): HashIndex {
  return new HashIndex(new Int32Array(cellCount(capacity)), 0, capacity);
}

function candidate(index: HashIndex, hash: number): number {
  const row = candidateIn(index.cells, index.first(hash), hash, index.rowMask);
  return row >= 0 ? row : candidateIn(index.cells, index.second(hash), hash, index.rowMask);
}

/** `count` hashes whose two buckets are among the same two. */
function colliding(index: HashIndex, count: number): number[] {
  const random = new Prng(5);
  const buckets = new Set([0, BUCKET_CELLS]);
  const found: number[] = [];
  while (found.length < count) {
    const hash = random.next() | 0;
    if (buckets.has(index.first(hash)) && buckets.has(index.second(hash))) found.push(hash);
  }
  return found;
}

describe('sizes', () => {
  it.each([
    { capacity: 1, cells: 16 },
    { capacity: 8, cells: 16 },
    { capacity: 9, cells: 32 },
    { capacity: 1000, cells: 2048 },
    { capacity: 1_048_576, cells: 2_097_152 },
    { capacity: 1_048_577, cells: 4_194_304 },
  ])('$capacity rows have $cells cells', ({ capacity, cells }) => {
    expect(cellCount(capacity)).toBe(cells);
  });

  it.each([
    { capacity: 1, mask: 1 },
    { capacity: 255, mask: 255 },
    { capacity: 256, mask: 511 },
    { capacity: 1 << 24, mask: (1 << 25) - 1 },
  ])('row + 1 of $capacity rows fits in the mask $mask', ({ capacity, mask }) => {
    expect(rowMask(capacity)).toBe(mask);
  });
});

describe('placing', () => {
  it('finds the row by its hash, in the index that it was put in', () => {
    const cells = new Int32Array(2 * cellCount(64));
    const lower = new HashIndex(cells, 0, 64);
    const upper = new HashIndex(cells, cellCount(64), 64);
    expect(upper.place(0x12345678, 63)).toBe(true);
    expect(candidate(upper, 0x12345678)).toBe(63);
    expect(candidate(lower, 0x12345678)).toBe(-1);
    expect(cells.subarray(0, cellCount(64)).every((cell) => cell === 0)).toBe(true);
  });

  it('finds row 0 under hash 0, which an empty cell does not look like', () => {
    const index = makeIndex(64);
    expect(candidate(index, 0)).toBe(-1);
    index.place(0, 0);
    expect(candidate(index, 0)).toBe(0);
  });

  it('takes the first bucket, then the emptier, and refuses when both are full, and changes nothing', () => {
    const index = makeIndex(1024);
    const hashes = colliding(index, 2 * BUCKET_CELLS + 40);
    const placed = hashes.filter((hash, row) => index.place(hash, row));
    expect(placed.length).toBe(2 * BUCKET_CELLS);
    const before = index.cells.slice();
    expect(index.place(hashes.at(-1)!, 1000)).toBe(false);
    expect(index.cells).toEqual(before);
  });

  it('clears exactly the cell of the row', () => {
    const index = makeIndex(1024);
    index.place(0x7fffffff, 1);
    index.place(0x7fffffff, 2);
    expect(index.clear(0x7fffffff, 3)).toBe(false);
    expect(index.clear(0x7fffffff, 1)).toBe(true);
    expect(index.clear(0x7fffffff, 1)).toBe(false);
    expect(candidate(index, 0x7fffffff)).toBe(2);
    expect(index.cells.filter((cell) => cell !== 0).length).toBe(1);
  });
});

describe('load', () => {
  it('keeps nine of ten in their first bucket, with all rows in use', () => {
    const capacity = 1 << 14;
    const index = makeIndex(capacity);
    const random = new Prng(7);
    const hashes = Array.from({ length: capacity }, () => random.next() | 0);
    for (const [row, hash] of hashes.entries()) index.place(hash, row);
    const inFirst = hashes.filter((hash, row) => {
      const first = index.first(hash);
      const content = (hash & ~index.rowMask) | (row + 1);
      return index.cells.subarray(first, first + BUCKET_CELLS).includes(content);
    });
    expect(inFirst.length / capacity).toBeGreaterThan(0.9);
  });

  it('refuses nothing with all rows in use, and nothing while ten times as many come and go', () => {
    const capacity = 1 << 14;
    const index = makeIndex(capacity);
    const random = new Prng(99);
    const hashes = Array.from({ length: capacity }, () => random.next() | 0);
    let refused = 0;
    for (const [row, hash] of hashes.entries()) if (!index.place(hash, row)) refused++;
    for (let step = 0; step < 10 * capacity; step++) {
      const row = random.below(capacity);
      index.clear(hashes[row]!, row);
      hashes[row] = random.next() | 0;
      if (!index.place(hashes[row]!, row)) refused++;
    }
    expect(refused).toBe(0);
    for (const [row, hash] of hashes.entries()) expect(index.clear(hash, row)).toBe(true);
    expect(index.cells.every((cell) => cell === 0)).toBe(true);
  });
});
