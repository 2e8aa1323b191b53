import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  deltaWord16,
  deltaWord32,
  sumBytes,
  updateChecksum,
  updatePartialSum,
} from '../../src/wire/checksum.ts';
import { referenceSum } from '../support/reference-checksum.ts';

describe('checksum properties', () => {
  it('sums any bytes from any offset as the reference does', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), fc.nat(7), (bytes, shift) => {
        const arena = new Uint8Array(bytes.length + shift + 8).fill(0xa5);
        arena.set(bytes, shift);
        expect(sumBytes(new DataView(arena.buffer), shift, bytes.length)).toBe(referenceSum(bytes));
      }),
      { numRuns: 500 },
    );
  });

  it('moves a checksum by deltas to what a full computation gives', () => {
    const word = fc.integer({ min: 0, max: 0xffffffff });
    fc.assert(
      fc.property(
        fc.uint8Array({ minLength: 8, maxLength: 80 }),
        fc.nat(30),
        word,
        fc.boolean(),
        (random, place, value, wide) => {
          // The first word keeps the sum from being zero: no real packet is all zeroes.
          const bytes = Buffer.from([0x45, 0, ...random]);
          const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
          const at = 2 + (((place * 2) % (bytes.length - 5)) & ~1);
          const before = referenceSum(bytes);
          const delta = wide
            ? deltaWord32(view.getUint32(at), value)
            : deltaWord16(view.getUint16(at), value & 0xffff);
          if (wide) view.setUint32(at, value);
          else view.setUint16(at, value & 0xffff);
          expect(updateChecksum(~before & 0xffff, delta)).toBe(~referenceSum(bytes) & 0xffff);
          expect(updatePartialSum(before, delta)).toBe(referenceSum(bytes));
        },
      ),
      { numRuns: 1000 },
    );
  });
});
