/**
 * The Internet checksum: sums, folds, and incremental updates.
 *
 * Words: a *sum* is the one's-complement sum of 16-bit words in network order, folded to 16 bits (0 to 0xffff) or not yet
 * (below 2^32); a *checksum* is the complement of a folded sum; a *delta* is an unfolded sum of ~old and new words, by which a
 * checksum or a partial sum is moved. One's complement has two zeros: 0xffff added to a sum changes nothing.
 * Source: RFC 1071; RFC 1624 equation 3 (HC' = ~(~HC + ~m + m')), the one form that never leaves a false 0xffff behind.
 */

/**
 * Folds a sum below 2^32 to 16 bits. Zero only if the sum is zero. Allocates nothing, never throws.
 */
export function foldSum(sum: number): number {
  const once = (sum & 0xffff) + (sum >>> 16);
  return (once & 0xffff) + (once >>> 16);
}

/** Both halves of a 32-bit word, added. */
export function sumWord(word: number): number {
  return (word >>> 16) + (word & 0xffff);
}

/** Exchanges the bytes of a 16-bit number: what a word adds to a sum when it begins at an odd offset. */
export function swapBytes16(word: number): number {
  return ((word & 0xff) << 8) | (word >>> 8);
}

/**
 * Folded sum of `length` bytes (0 to 65,535) from any offset; an odd last byte counts as the high half of a word.
 *
 * Words are loaded little-endian, which the sum does not mind (RFC 1071 section 2 B), four bytes at a time, and the result is
 * swapped once: the 16-bit halves of 16,383 words stay below 2^31, in small integers.
 * Reads exactly these bytes. Allocates nothing, never throws if they lie in the view.
 */
export function sumBytes(view: DataView, offset: number, length: number): number {
  const end = offset + length;
  const end16 = end - 15;
  const end4 = end - 3;
  let sum = 0;
  let at = offset;
  for (; at < end16; at += 16) {
    const w0 = view.getInt32(at, true);
    const w1 = view.getInt32(at + 4, true);
    const w2 = view.getInt32(at + 8, true);
    const w3 = view.getInt32(at + 12, true);
    sum += (w0 & 0xffff) + (w0 >>> 16) + (w1 & 0xffff) + (w1 >>> 16);
    sum += (w2 & 0xffff) + (w2 >>> 16) + (w3 & 0xffff) + (w3 >>> 16);
  }
  for (; at < end4; at += 4) {
    const word = view.getInt32(at, true);
    sum += (word & 0xffff) + (word >>> 16);
  }
  if (at < end - 1) {
    sum += view.getUint16(at, true);
    at += 2;
  }
  if (at < end) sum += view.getUint8(at);
  return swapBytes16(foldSum(sum));
}

/** Unfolded sum of the pseudo-header (RFC 9293 section 3.1) with the addresses of the IPv4 header at `ipOffset`. */
export function pseudoSum4(view: DataView, ipOffset: number, protocol: number, length: number): number {
  return sumWord(view.getInt32(ipOffset + 12)) + sumWord(view.getInt32(ipOffset + 16)) + protocol + length;
}

/**
 * Unfolded sum of the pseudo-header (RFC 8200 section 8.1) with the addresses of the IPv6 header at `ipOffset`.
 * @param length of the upper-layer packet, extension headers excluded; at most 65,535.
 */
export function pseudoSum6(view: DataView, ipOffset: number, protocol: number, length: number): number {
  let sum = protocol + length;
  for (let at = ipOffset + 8; at < ipOffset + 40; at += 4) sum += sumWord(view.getInt32(at));
  return sum;
}

/** `pseudoSum4` or `pseudoSum6`. */
export function pseudoSum(
  view: DataView,
  family: number,
  ipOffset: number,
  protocol: number,
  length: number,
): number {
  return family === 4
    ? pseudoSum4(view, ipOffset, protocol, length)
    : pseudoSum6(view, ipOffset, protocol, length);
}

/** Delta of a 16-bit word that changes. */
export function deltaWord16(from: number, to: number): number {
  return (~from & 0xffff) + to;
}

/** Delta of a 32-bit word that changes. */
export function deltaWord32(from: number, to: number): number {
  return sumWord(~from) + sumWord(to);
}

/** A full checksum after the words under it changed by `delta` (RFC 1624). Allocates nothing, never throws. */
export function updateChecksum(checksum: number, delta: number): number {
  return ~foldSum((~checksum & 0xffff) + delta) & 0xffff;
}

/** A partial (folded, not complemented) sum after the words under it changed by `delta`. Allocates nothing, never throws. */
export function updatePartialSum(sum: number, delta: number): number {
  return foldSum(sum + delta);
}
