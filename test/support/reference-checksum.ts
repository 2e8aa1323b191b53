/**
 * The Internet checksum as RFC 1071 section 1 words it: big-endian words, one at a time, the carry added at once. Slow and plain;
 * what the tests hold against src/wire/checksum.ts.
 */

/** Folded one's-complement sum of all parts, one behind the other; an odd end is padded with zero. */
export function referenceSum(...parts: readonly Uint8Array[]): number {
  const bytes = Buffer.concat(parts);
  let sum = 0;
  for (let at = 0; at < bytes.length; at += 2) {
    sum += bytes[at]! * 256 + (bytes[at + 1] ?? 0);
    if (sum > 0xffff) sum -= 0xffff;
  }
  return sum;
}

/** Pseudo-header bytes, from addresses as bytes (4 or 16 each). */
export function pseudoHeader(
  source: Uint8Array,
  destination: Uint8Array,
  protocol: number,
  size: number,
): Uint8Array {
  const tail = Buffer.alloc(source.length === 4 ? 4 : 8);
  if (source.length === 4) {
    tail.writeUInt16BE(protocol, 0);
    tail.writeUInt16BE(size, 2);
  } else {
    tail.writeUInt32BE(size, 0);
    tail.writeUInt32BE(protocol, 4);
  }
  return Buffer.concat([source, destination, tail]);
}
