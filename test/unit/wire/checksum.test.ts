import { describe, expect, it } from 'vitest';
import {
  deltaWord16,
  foldSum,
  pseudoSum4,
  pseudoSum6,
  sumBytes,
  swapBytes16,
  updateChecksum,
  updatePartialSum,
} from '../../../src/wire/checksum.ts';
import { tcpPacket } from '../../support/packets.ts';
import { pseudoHeader, referenceSum } from '../../support/reference-checksum.ts';

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

describe('checksum', () => {
  it('sums the example of RFC 1071 section 3', () => {
    const bytes = Uint8Array.from([0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7]);
    expect(sumBytes(viewOf(bytes), 0, 8)).toBe(0xddf2);
    expect(referenceSum(bytes)).toBe(0xddf2);
  });

  it('pads an odd last byte on the right, and starts at odd offsets', () => {
    const bytes = Uint8Array.from([0xee, 0x12, 0x34, 0x56, 0xee]);
    expect(sumBytes(viewOf(bytes), 1, 3)).toBe(0x1234 + 0x5600);
    expect(sumBytes(viewOf(bytes), 1, 0)).toBe(0);
  });

  it('stays exact for the largest packet of the largest bytes', () => {
    const bytes = new Uint8Array(65_535).fill(0xff);
    expect(sumBytes(viewOf(bytes), 0, 65_535)).toBe(referenceSum(bytes));
  });

  it('updates the example of RFC 1624 section 4 to 0x0000, not to 0xffff', () => {
    expect(updateChecksum(0xdd2f, deltaWord16(0x5555, 0x3285))).toBe(0x0000);
  });

  it('folds and swaps', () => {
    expect(foldSum(0)).toBe(0);
    expect(foldSum(0xffff)).toBe(0xffff);
    expect(foldSum(0x1_0000)).toBe(1);
    expect(foldSum(0xffff_ffff)).toBe(0xffff);
    expect(swapBytes16(0x1234)).toBe(0x3412);
    expect(updatePartialSum(0xfffe, deltaWord16(0, 3))).toBe(2);
  });

  it('sums pseudo-headers of both families', () => {
    for (const [source, destination] of [
      ['192.0.2.1', '198.51.100.2'],
      ['2001:db8::1', '2001:db8:ffff::2'],
    ] as const) {
      const { bytes } = tcpPacket({ source, destination, sourcePort: 1, destinationPort: 2 });
      const four = source.includes('.');
      const at = four ? 12 : 8;
      const size = four ? 4 : 16;
      const reference = pseudoHeader(
        bytes.subarray(at, at + size),
        bytes.subarray(at + size, at + 2 * size),
        6,
        1234,
      );
      const sum = four ? pseudoSum4(viewOf(bytes), 0, 6, 1234) : pseudoSum6(viewOf(bytes), 0, 6, 1234);
      expect(foldSum(sum)).toBe(referenceSum(reference));
    }
  });
});
