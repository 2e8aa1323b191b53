// Datagrams that the addon seals and opens, against those of node:crypto.
import { randomBytes } from 'node:crypto';
import { constants } from 'node:os';
import { describe, expect, test } from 'vitest';
import { HEADER_SIZE, nodeAead, TAG_SIZE } from '../../src/cluster/seal.ts';
import { NativeAead } from '../../src/io/aead.ts';
import { loadNative } from '../../src/io/native.ts';

const { EINVAL } = constants.errno;
const KEY = randomBytes(32);
const NONCE = randomBytes(12);
const SIZES = [0, 1, 15, 16, 17, 60, 1_400];

const own = new NativeAead(KEY, HEADER_SIZE);
const reference = nodeAead(KEY);

function sealed(by: typeof reference, text: Uint8Array, header: Uint8Array, nonce = NONCE): Buffer {
  const datagram = Buffer.concat([header, Buffer.alloc(text.length + TAG_SIZE, 0xa5)]);
  by.seal(nonce, datagram, text);
  return datagram;
}

describe('datagrams of every size', () => {
  test.each(SIZES)('of %i bytes are sealed to the same, and each opens what the other sealed', (size) => {
    const [text, header] = [randomBytes(size), randomBytes(HEADER_SIZE)];
    const datagram = sealed(own, text, header);
    expect(datagram).toEqual(sealed(reference, text, header));
    expect(datagram.subarray(0, HEADER_SIZE)).toEqual(header);
    expect(own.open(NONCE, datagram)).toEqual(text);
    expect(reference.open(NONCE, datagram)).toEqual(text);
  });
});

describe('what was changed', () => {
  test('does not open, whichever bit it is, and the next datagram does', () => {
    const text = Buffer.from('an update');
    const datagram = sealed(own, text, randomBytes(HEADER_SIZE));
    for (let bit = 0; bit < datagram.length * 8; bit++) {
      const forged = Buffer.from(datagram);
      forged[bit >> 3]! ^= 1 << (bit & 7);
      expect(own.open(NONCE, forged)).toBeUndefined();
      expect(own.open(NONCE, datagram)).toEqual(text);
    }
  });

  test('of another nonce or key, or cut off, does not open', () => {
    const datagram = sealed(own, Buffer.from('an update'), randomBytes(HEADER_SIZE));
    expect(own.open(randomBytes(12), datagram)).toBeUndefined();
    expect(new NativeAead(randomBytes(32), HEADER_SIZE).open(NONCE, datagram)).toBeUndefined();
    for (let size = 0; size < datagram.length; size++) {
      expect(own.open(NONCE, datagram.subarray(0, size))).toBeUndefined();
    }
  });

  test('keys and nonces of one call say nothing in the next', () => {
    const text = randomBytes(40);
    const header = randomBytes(HEADER_SIZE);
    const other = randomBytes(32);
    for (let turn = 0; turn < 100; turn++) {
      const nonce = randomBytes(12);
      const key = turn % 2 === 0 ? KEY : other;
      const datagram = sealed(new NativeAead(key, HEADER_SIZE), text, header, nonce);
      expect(datagram).toEqual(sealed(nodeAead(key), text, header, nonce));
      expect(new NativeAead(key, HEADER_SIZE).open(nonce, datagram)).toEqual(text);
    }
  });
});

test('sizes that do not belong together are refused, and nothing is written', () => {
  const native = loadNative();
  const rows: [Uint8Array, Uint8Array, number, number, number][] = [
    [KEY.subarray(1), NONCE, 32 + 5 + 16, 5, 32],
    [KEY, NONCE.subarray(1), 32 + 5 + 16, 5, 32],
    [KEY, NONCE, 32 + 5 + 15, 5, 32],
    [KEY, NONCE, 32 + 5 + 17, 5, 32],
    [KEY, NONCE, 15, 0, 0],
    [KEY, NONCE, 53, 5, 54],
    [KEY, NONCE, 53, 5, 0xffff_ffff],
    [KEY, NONCE, 53, 5, -1],
    [KEY, NONCE, 53, 5, Number.NaN],
    [new Uint8Array(0), NONCE, 53, 5, 32],
  ];
  for (const [key, nonce, size, textSize, header] of rows) {
    const datagram = new Uint8Array(size).fill(0xa5);
    const text = new Uint8Array(textSize).fill(0x5a);
    expect(native.aeadSeal(key, nonce, datagram, text, header)).toBe(-EINVAL);
    expect(native.aeadOpen(key, nonce, datagram, text, header)).toBe(-EINVAL);
    expect(datagram.every((byte) => byte === 0xa5)).toBe(true);
    expect(text.every((byte) => byte === 0x5a)).toBe(true);
  }
});
