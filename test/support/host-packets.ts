/**
 * Whole packets for the host set-up tests, with right checksums (connection tracking looks at them), as hex.
 */

import { parseAddress } from '../../src/wire/address.ts';

export interface PacketSpec {
  readonly from: string;
  readonly to: string;
  readonly protocol: 'tcp' | 'udp' | 'icmp-error' | 'echo';
  readonly fromPort?: number;
  readonly toPort?: number;
  /** TCP flags byte; default ACK. */
  readonly flags?: number;
  readonly ttl?: number;
  /** Payload; for an ICMP error the quoted packet. */
  readonly payload: Buffer;
  /** `first` and `later`: fragments. */
  readonly fragment?: 'first' | 'later';
}

export function addressBytes(text: string): Buffer {
  const { family, words } = parseAddress(text)!;
  const bytes = Buffer.alloc(16);
  for (const [index, word] of words.entries()) bytes.writeUInt32BE(word, index * 4);
  return family === 4 ? bytes.subarray(12) : bytes;
}

function sum(...parts: readonly Buffer[]): number {
  const bytes = Buffer.concat(
    parts.map((part) => (part.length % 2 === 0 ? part : Buffer.concat([part, Buffer.alloc(1)]))),
  );
  let total = 0;
  for (let at = 0; at < bytes.length; at += 2) total += bytes.readUInt16BE(at);
  while (total > 0xffff) total = (total >>> 16) + (total & 0xffff);
  return ~total & 0xffff;
}

function transport(spec: PacketSpec): { bytes: Buffer; number: number; checksumAt: number } {
  const ports = Buffer.alloc(4);
  ports.writeUInt16BE(spec.fromPort ?? 0, 0);
  ports.writeUInt16BE(spec.toPort ?? 0, 2);
  const version6 = spec.from.includes(':');
  switch (spec.protocol) {
    case 'udp': {
      const length = Buffer.alloc(4);
      length.writeUInt16BE(8 + spec.payload.length, 0);
      return { bytes: Buffer.concat([ports, length, spec.payload]), number: 17, checksumAt: 6 };
    }
    case 'tcp': {
      const rest = Buffer.from([0, 0, 0, 1, 0, 0, 0, 1, 0x50, spec.flags ?? 0x10, 0x20, 0, 0, 0, 0, 0]);
      return { bytes: Buffer.concat([ports, rest, spec.payload]), number: 6, checksumAt: 16 };
    }
    case 'icmp-error': {
      // Destination unreachable, port unreachable.
      const head = Buffer.from([version6 ? 1 : 3, version6 ? 4 : 3, 0, 0, 0, 0, 0, 0]);
      return { bytes: Buffer.concat([head, spec.payload]), number: version6 ? 58 : 1, checksumAt: 2 };
    }
    case 'echo': {
      const head = Buffer.from([version6 ? 128 : 8, 0, 0, 0, 0, 1, 0, 1]);
      return { bytes: Buffer.concat([head, spec.payload]), number: version6 ? 58 : 1, checksumAt: 2 };
    }
  }
}

/** The IP packet. */
export function packet(spec: PacketSpec): Buffer {
  const [from, to] = [addressBytes(spec.from), addressBytes(spec.to)];
  const { bytes, number, checksumAt } = transport(spec);
  const pseudo = Buffer.alloc(4);
  pseudo.writeUInt16BE(bytes.length, 0);
  pseudo.writeUInt16BE(number, 2);
  bytes.writeUInt16BE(number === 1 ? sum(bytes) : sum(from, to, pseudo, bytes), checksumAt);
  const body =
    spec.fragment === undefined ? bytes : spec.fragment === 'first' ? padded(bytes) : padded(spec.payload);
  return from.length === 4 ? ipv4(spec, from, to, number, body) : ipv6(spec, from, to, number, body);
}

function padded(bytes: Buffer): Buffer {
  return Buffer.concat([bytes, Buffer.alloc((8 - (bytes.length % 8)) % 8)]);
}

function ipv4(spec: PacketSpec, from: Buffer, to: Buffer, number: number, body: Buffer): Buffer {
  const head = Buffer.alloc(20);
  head[0] = 0x45;
  head.writeUInt16BE(20 + body.length, 2);
  head.writeUInt16BE(7, 4);
  // "More fragments" on both, so that nobody who reassembles ever completes the packet.
  if (spec.fragment === 'first') head.writeUInt16BE(0x2000, 6);
  if (spec.fragment === 'later') head.writeUInt16BE(0x2000 | 100, 6);
  head[8] = spec.ttl ?? 64;
  head[9] = number;
  from.copy(head, 12);
  to.copy(head, 16);
  head.writeUInt16BE(sum(head), 10);
  return Buffer.concat([head, body]);
}

function ipv6(spec: PacketSpec, from: Buffer, to: Buffer, number: number, body: Buffer): Buffer {
  const fragment = Buffer.alloc(spec.fragment === undefined ? 0 : 8);
  if (spec.fragment !== undefined) {
    fragment[0] = number;
    fragment.writeUInt16BE((spec.fragment === 'later' ? 100 << 3 : 0) | 1, 2);
    fragment.writeUInt32BE(7, 4);
  }
  const head = Buffer.alloc(8);
  head[0] = 0x60;
  head.writeUInt16BE(fragment.length + body.length, 4);
  head[6] = spec.fragment === undefined ? number : 44;
  head[7] = spec.ttl ?? 64;
  return Buffer.concat([head, from, to, fragment, body]);
}
