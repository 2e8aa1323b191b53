/**
 * The sealed datagram's layout without the cipher, several times as fast: for simulations, whose network forges nothing.
 *
 * What a wrong key would refuse is refused here too (another stream, sender, life of either): the tag is a hash of all
 * of that and of the plaintext. It is no secret.
 */

import { mix } from '../cluster/identity.ts';
import {
  HEADER_SIZE,
  type Header,
  type Life,
  readHeader,
  Sealer,
  STREAM_UNICAST,
  TAG_SIZE,
  tagOf,
} from '../cluster/seal.ts';

/** Any bytes of the right size: the rest of the header is written by hand. */
const MAGIC_AND_VERSION = [0x4c, 0x57, 1] as const;

export class PlainSealer extends Sealer {
  override seal(header: Header, receiver: Life | undefined, plaintext: Uint8Array): Buffer {
    const bytes = Buffer.allocUnsafe(HEADER_SIZE + plaintext.length + TAG_SIZE);
    bytes[0] = MAGIC_AND_VERSION[0];
    bytes[1] = MAGIC_AND_VERSION[1];
    bytes[2] = MAGIC_AND_VERSION[2];
    bytes[3] = header.stream;
    bytes.writeUInt32BE(header.sender.node, 4);
    bytes.write(header.sender.incarnation, 8, 'hex');
    bytes.writeUInt16BE(0, 24);
    bytes.writeUIntBE(header.sequence, 26, 6);
    bytes.set(plaintext, HEADER_SIZE);
    const end = HEADER_SIZE + plaintext.length;
    bytes.fill(0, end);
    bytes.writeUInt32BE(tagFor(bytes, end, header, receiver), end);
    return bytes;
  }

  override open(header: Header, receiver: Life, bytes: Buffer): Buffer | undefined {
    const end = bytes.length - TAG_SIZE;
    if (readHeader(bytes) === undefined) return undefined;
    if (bytes.readUInt32BE(end) !== tagFor(bytes, end, header, receiver)) return undefined;
    return bytes.subarray(HEADER_SIZE, end);
  }
}

function tagFor(bytes: Buffer, end: number, header: Header, receiver: Life | undefined): number {
  let value = mix(header.stream, tagOf(header.sender.incarnation));
  if (header.stream === STREAM_UNICAST && receiver !== undefined) {
    value = mix(mix(value, receiver.node), tagOf(receiver.incarnation));
  }
  let at = 0;
  for (; at + 4 <= end; at += 4) value = Math.imul(value ^ bytes.readInt32LE(at), 0x01000193);
  for (; at < end; at++) value = Math.imul(value ^ bytes[at]!, 0x01000193);
  return value >>> 0;
}
