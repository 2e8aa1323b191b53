import { describe, expect, it } from 'vitest';
import { hashBytes, KeyedHash } from '../../../src/table/hash.ts';

// HalfSipHash-1-3, key 00 01 .. 07, input the bytes 0 .. n-1: Linux lib/tests/siphash_kunit.c, test_vectors_hsiphash
// of 32-bit machines.
const VECTORS = [
  0x5814c896, 0xe7e864ca, 0xbc4b0e30, 0x01539939, 0x7e059ea6, 0x88e3d89b, 0xa0080b65, 0x9d38d9d6, 0x577999b1,
  0xc839caed, 0xe4fa32cf, 0x959246ee, 0x6b28096c, 0x66dd9cd6, 0x16658a7c, 0xd0257b04, 0x8b31d501, 0x2b1cd04b,
  0x06712339, 0x522aca67, 0x911bb605, 0x90a65f0e, 0xf826ef7b, 0x62512deb, 0x57150ad7, 0x5d473507, 0x1ec47442,
  0xab64afd3, 0x0a4100d0, 0x6d2ce652, 0x2331b6a3, 0x08d8791a, 0xbc6dda8d, 0xe0f6c934, 0xb0652033, 0x9b9851cc,
  0x7c46fb7f, 0x732ba8cb, 0xf142997a, 0xfcc9aa1b, 0x05327eb2, 0xe110131c, 0xf9e5e7c0, 0xa7d708a6, 0x11795ab1,
  0x65671619, 0x9f5fff91, 0xd89c5267, 0x007783eb, 0x95766243, 0xab639262, 0x9c7e1390, 0xc368dda6, 0x38ddc455,
  0xfa13d379, 0x979ea4e8, 0x53ecd77e, 0x2ee80657, 0x33dbb66a, 0xae3f0577, 0x88b4c4cc, 0x3e7f480b, 0x74c1ebf8,
  0x87178304,
];

const KEY = [0x03020100, 0x07060504] as const;
const counting = Uint8Array.from({ length: 64 }, (_, at) => at);

type Six = [number, number, number, number, number, number];

/** The same six words by the bytewise function, which the vectors prove. */
function byBytes(words: readonly number[], key0: number, key1: number): number {
  const bytes = new Uint8Array(24);
  const view = new DataView(bytes.buffer);
  for (const [at, word] of words.entries()) view.setUint32(at * 4, word, true);
  return hashBytes(bytes, key0, key1);
}

describe('HalfSipHash-1-3', () => {
  it.each(VECTORS.map((want, length) => ({ length, want })))('of $length bytes', ({ length, want }) => {
    expect(hashBytes(counting.subarray(0, length), ...KEY)).toBe(want);
  });

  it('of six words, unrolled, is that of their 24 bytes', () => {
    const hash = new KeyedHash(...KEY);
    const value = hash.words6(0x03020100, 0x07060504, 0x0b0a0908, 0x0f0e0d0c, 0x13121110, 0x17161514);
    expect(value >>> 0).toBe(VECTORS[24]);
  });

  it.each([
    { what: 'an IPv4 client', words: [0, 0, 0xffff, 0xc0000201, 0xffff0050, 0x80000007] },
    { what: 'an IPv6 client', words: [0x20010db8, 0xffffffff, 0x80000000, 1, 0x12340050, 3] },
    { what: 'words one bit away from a mapped address', words: [0, 0, 0x1ffff, 0xc0000201, 1, 2] },
  ] satisfies { what: string; words: Six }[])(
    'of $what, whose start may be precomputed, is the same',
    ({ words }) => {
      expect(new KeyedHash(0xdeadbeef, 0x12345678).words6(...words) >>> 0).toBe(
        byBytes(words, 0xdeadbeef, 0x12345678),
      );
    },
  );

  it('takes words signed or unsigned', () => {
    const hash = new KeyedHash(1, 2);
    expect(hash.words6(0, 0, 0xffff, -1, -2, -3)).toBe(
      hash.words6(0, 0, 0xffff, 0xffffffff, 0xfffffffe, 0xfffffffd),
    );
  });

  it('depends on each half of the key', () => {
    const values = [new KeyedHash(1, 2), new KeyedHash(1, 3), new KeyedHash(2, 2)].map((hash) =>
      hash.words6(0, 0, 0xffff, 1, 2, 3),
    );
    expect(new Set(values).size).toBe(3);
  });

  it('changes about half of the bits for one bit of input', () => {
    const hash = new KeyedHash(0x01020304, 0x05060708);
    let flipped = 0;
    for (let bit = 0; bit < 32; bit++) {
      for (let client = 0; client < 64; client++) {
        const change =
          hash.words6(0, 0, 0xffff, client, 80, 1) ^ hash.words6(0, 0, 0xffff, client ^ (1 << bit), 80, 1);
        for (let at = 0; at < 32; at++) flipped += (change >>> at) & 1;
      }
    }
    expect(flipped / (32 * 64)).toBeGreaterThan(15.5);
    expect(flipped / (32 * 64)).toBeLessThan(16.5);
  });
});
