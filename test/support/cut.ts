/**
 * An independent cutter: what a frame with a vnet header becomes on a wire, by the RFCs and virtio 1.2 section 5.1.6. Shares no
 * code with src. Super-packets of TCP are cut, checksums that are left to do are made, all else stays as it is, wrong checksums too.
 */
import type { BuiltPacket } from './packets.ts';
import { pseudoHeader, referenceSum } from './reference-checksum.ts';

const TCP = 6;

/** The packets, in order, without vnet headers. @throws Error for an offload other than TCP's. */
export function onTheWire({ bytes, vnet }: BuiltPacket): Buffer[] {
  if ((vnet[0]! & 1) === 0) return [Buffer.from(bytes)];
  const gsoType = vnet[1]! & 0x7f;
  const start = vnet.readUInt16LE(6);
  if (gsoType === 0) return [finish(Buffer.from(bytes), start, start + vnet.readUInt16LE(8))];
  const family = bytes[0]! >> 4;
  if (gsoType !== (family === 4 ? 1 : 4)) throw new Error(`GSO type ${gsoType} in IPv${family}`);
  const headers = start + (bytes[start + 12]! >> 4) * 4;
  const payload = bytes.subarray(headers);
  const size = vnet.readUInt16LE(4);
  const cut: Buffer[] = [];
  for (let at = 0; at < payload.length; at += size) {
    const one = Buffer.concat([bytes.subarray(0, headers), payload.subarray(at, at + size)]);
    if (family === 4) {
      one.writeUInt16BE(one.length, 2);
      one.writeUInt16BE((one.readUInt16BE(4) + cut.length) & 0xffff, 4);
      one.writeUInt16BE(0, 10);
      one.writeUInt16BE(~referenceSum(one.subarray(0, (one[0]! & 15) * 4)) & 0xffff, 10);
    } else one.writeUInt16BE(one.length - 40, 4);
    one.writeUInt32BE((one.readUInt32BE(start + 4) + at) >>> 0, start + 4);
    // FIN and PSH belong to the last, CWR to the first.
    if (at + size < payload.length) one[start + 13]! &= ~0x09;
    if (at > 0) one[start + 13]! &= ~0x80;
    cut.push(finish(one, start, start + 16));
  }
  return cut;
}

/** Makes the transport checksum over `start` to the end. */
function finish(packet: Buffer, start: number, field: number): Buffer {
  const [source, destination] =
    packet[0]! >> 4 === 4
      ? [packet.subarray(12, 16), packet.subarray(16, 20)]
      : [packet.subarray(8, 24), packet.subarray(24, 40)];
  const body = packet.subarray(start);
  packet.writeUInt16BE(0, field);
  const checksum = ~referenceSum(pseudoHeader(source, destination, TCP, body.length), body) & 0xffff;
  packet.writeUInt16BE(checksum, field);
  return packet;
}
