/** Random bytes made headers that get past the first checks. */

/** Makes random bytes an IPv4 or IPv6 packet as far as length and header checksum go. */
export function finishHeader(bytes: Buffer): void {
  if (bytes[0]! >> 4 === 4) {
    bytes[0] = 0x45;
    bytes.writeUInt16BE(bytes.length, 2);
    sumHeader(bytes);
  } else if (bytes.length >= 40) bytes.writeUInt16BE(bytes.length - 40, 4);
}

/** Makes the IPv4 header checksum right again. */
export function sumHeader(bytes: Buffer): void {
  const size = Math.min((bytes[0]! & 15) * 4, bytes.length & ~1);
  if (size < 20) return;
  bytes.writeUInt16BE(0, 10);
  let sum = 0;
  for (let at = 0; at < size; at += 2) sum += bytes.readUInt16BE(at);
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  bytes.writeUInt16BE(~sum & 0xffff, 10);
}
