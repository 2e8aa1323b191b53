/**
 * Packets for tests, put together without the code under test: addresses as text, checksums by the plain reference.
 *
 * A built packet is the IP packet's bytes and the 12-byte vnet header that goes in front. `partial` leaves the transport
 * checksum to do; `gsoSize` makes it a super-packet (which implies `partial`).
 */
import { pseudoHeader, referenceSum } from './reference-checksum.ts';

export interface BuiltPacket {
  readonly bytes: Buffer;
  readonly vnet: Buffer;
}

export interface IpSpec {
  readonly source: string;
  readonly destination: string;
  readonly ttl?: number;
  readonly tos?: number;
  readonly identification?: number;
  readonly dontFragment?: boolean;
  /** IPv4 options, a multiple of 4 bytes. */
  readonly ipOptions?: Uint8Array;
  /** IPv6 extension headers in order; each a whole header whose first byte (next header) is filled in here. */
  readonly extensions?: readonly { readonly type: number; readonly bytes: Uint8Array }[];
  /** IPv4 fragment field bits (MF and offset). */
  readonly fragmentBits?: number;
  readonly partial?: boolean;
  readonly gsoSize?: number;
}

export interface TcpSpec extends IpSpec {
  readonly sourcePort: number;
  readonly destinationPort: number;
  readonly sequence?: number;
  readonly acknowledgment?: number;
  readonly window?: number;
  /** The urgent pointer. */
  readonly urgent?: number;
  /** FIN 1, SYN 2, RST 4, PSH 8, ACK 16, URG 32, ECE 64, CWR 128; ACK by default. */
  readonly flags?: number;
  /** A multiple of 4 bytes. */
  readonly options?: Uint8Array;
  readonly payload?: Uint8Array;
}

export interface UdpSpec extends IpSpec {
  readonly sourcePort: number;
  readonly destinationPort: number;
  readonly payload?: Uint8Array;
  /** Send without a checksum. */
  readonly noChecksum?: boolean;
}

export interface IcmpSpec extends IpSpec {
  readonly type: number;
  readonly code?: number;
  /** The second 32-bit word. */
  readonly rest?: number;
  readonly body?: Uint8Array;
}

/** Bytes of an address: 4 or 16. */
export function addressBytes(text: string): Buffer {
  if (!text.includes(':')) return Buffer.from(text.split('.').map(Number));
  const [head = '', tail] = text.split('::');
  const groups = (part: string | undefined): number[] =>
    part === undefined || part === '' ? [] : part.split(':').map((group) => Number.parseInt(group, 16));
  const first = groups(head);
  const last = groups(tail);
  const all = [...first, ...new Array<number>(8 - first.length - last.length).fill(0), ...last];
  return Buffer.from(all.flatMap((group) => [group >> 8, group & 255]));
}

/** Any transport: an IP packet around `transport`, whose checksum field (if `checksumAt` is not negative) is filled in. */
export function ipPacket(
  spec: IpSpec,
  protocol: number,
  transport: Uint8Array,
  checksumAt = -1,
): BuiltPacket {
  const source = addressBytes(spec.source);
  const destination = addressBytes(spec.destination);
  const partial = spec.partial === true || spec.gsoSize !== undefined;
  const header =
    source.length === 4
      ? ipv4Header(spec, protocol, transport.length, source, destination)
      : ipv6Header(spec, protocol, transport.length, source, destination);
  const body = Buffer.from(transport);
  if (checksumAt >= 0) {
    const covered =
      source.length === 4 && protocol === 1
        ? Buffer.alloc(0)
        : pseudoHeader(source, destination, protocol, body.length);
    body.writeUInt16BE(0, checksumAt);
    const sum = partial ? referenceSum(covered) : ~referenceSum(covered, body) & 0xffff;
    body.writeUInt16BE(sum === 0 && protocol === 17 && !partial ? 0xffff : sum, checksumAt);
  }
  return {
    bytes: Buffer.concat([header, body]),
    vnet: vnetHeader(spec, protocol, header.length, checksumAt, transport),
  };
}

function ipv4Header(
  spec: IpSpec,
  protocol: number,
  size: number,
  source: Buffer,
  destination: Buffer,
): Buffer {
  const options = spec.ipOptions ?? new Uint8Array(0);
  const header = Buffer.concat([Buffer.alloc(20), options]);
  header.writeUInt8(0x40 | (header.length / 4), 0);
  header.writeUInt8(spec.tos ?? 0, 1);
  header.writeUInt16BE(header.length + size, 2);
  header.writeUInt16BE(spec.identification ?? 0x1234, 4);
  header.writeUInt16BE((spec.dontFragment === false ? 0 : 0x4000) | (spec.fragmentBits ?? 0), 6);
  header.writeUInt8(spec.ttl ?? 64, 8);
  header.writeUInt8(protocol, 9);
  source.copy(header, 12);
  destination.copy(header, 16);
  header.writeUInt16BE(~referenceSum(header) & 0xffff, 10);
  return header;
}

function ipv6Header(
  spec: IpSpec,
  protocol: number,
  size: number,
  source: Buffer,
  destination: Buffer,
): Buffer {
  const extensions = spec.extensions ?? [];
  const parts = extensions.map((extension, index) => {
    const bytes = Buffer.from(extension.bytes);
    bytes[0] = extensions[index + 1]?.type ?? protocol;
    return bytes;
  });
  const extra = Buffer.concat(parts);
  const header = Buffer.alloc(40);
  header.writeUInt32BE(0x60000000 + (spec.tos ?? 0) * 0x100000 + 0x12345, 0);
  header.writeUInt16BE(extra.length + size, 4);
  header.writeUInt8(extensions[0]?.type ?? protocol, 6);
  header.writeUInt8(spec.ttl ?? 64, 7);
  source.copy(header, 8);
  destination.copy(header, 24);
  return Buffer.concat([header, extra]);
}

function vnetHeader(
  spec: IpSpec,
  protocol: number,
  start: number,
  field: number,
  transport: Uint8Array,
): Buffer {
  const vnet = Buffer.alloc(12);
  if (spec.partial !== true && spec.gsoSize === undefined) return vnet;
  vnet.writeUInt8(1, 0);
  vnet.writeUInt16LE(start, 6);
  vnet.writeUInt16LE(Math.max(field, 0), 8);
  if (spec.gsoSize !== undefined) {
    const family6 = spec.source.includes(':');
    const ecn = protocol === 6 && ((transport[13] ?? 0) & 0x80) !== 0 ? 0x80 : 0;
    vnet.writeUInt8(protocol === 17 ? 5 : (family6 ? 4 : 1) | ecn, 1);
    vnet.writeUInt16LE(start + (protocol === 17 ? 8 : ((transport[12] ?? 0) >> 4) * 4), 2);
    vnet.writeUInt16LE(spec.gsoSize, 4);
  }
  return vnet;
}

export function tcpPacket(spec: TcpSpec): BuiltPacket {
  const options = spec.options ?? new Uint8Array(0);
  const header = Buffer.alloc(20);
  header.writeUInt16BE(spec.sourcePort, 0);
  header.writeUInt16BE(spec.destinationPort, 2);
  header.writeUInt32BE(spec.sequence ?? 1, 4);
  header.writeUInt32BE(spec.acknowledgment ?? 0, 8);
  header.writeUInt8(((20 + options.length) / 4) << 4, 12);
  header.writeUInt8(spec.flags ?? 16, 13);
  header.writeUInt16BE(spec.window ?? 0xfaf0, 14);
  header.writeUInt16BE(spec.urgent ?? 0, 18);
  return ipPacket(spec, 6, Buffer.concat([header, options, spec.payload ?? new Uint8Array(0)]), 16);
}

export function udpPacket(spec: UdpSpec): BuiltPacket {
  const payload = spec.payload ?? new Uint8Array(0);
  const header = Buffer.alloc(8);
  header.writeUInt16BE(spec.sourcePort, 0);
  header.writeUInt16BE(spec.destinationPort, 2);
  header.writeUInt16BE(8 + payload.length, 4);
  return ipPacket(spec, 17, Buffer.concat([header, payload]), spec.noChecksum === true ? -1 : 6);
}

export function icmpPacket(spec: IcmpSpec): BuiltPacket {
  const header = Buffer.alloc(8);
  header.writeUInt8(spec.type, 0);
  header.writeUInt8(spec.code ?? 0, 1);
  header.writeUInt32BE(spec.rest ?? 0, 4);
  const body = Buffer.concat([header, spec.body ?? new Uint8Array(0)]);
  return ipPacket(spec, spec.source.includes(':') ? 58 : 1, body, 2);
}

/** An extension header of `8 * units` bytes with a recognisable filling; `bytes[1]` is set for its type. */
export function extension(type: number, units = 1): { type: number; bytes: Uint8Array } {
  const bytes = Buffer.alloc(units * 8, 0x01);
  bytes[1] = type === 51 ? units * 2 - 2 : units - 1;
  if (type === 0 || type === 60) {
    // One PadN option over the rest (RFC 8200 section 4.2).
    bytes.fill(0, 2);
    bytes[2] = 1;
    bytes[3] = bytes.length - 4;
  }
  if (type === 43) bytes.fill(0, 2);
  if (type === 44) bytes.fill(0, 1, 4);
  return { type, bytes };
}

/** Puts a packet with its vnet header at `offset` of an arena. */
export function putPacket(arena: Uint8Array, offset: number, packet: BuiltPacket): void {
  arena.set(packet.vnet, offset - 12);
  arena.set(packet.bytes, offset);
}

/** Copies `length` bytes and the vnet header out of an arena. */
export function takePacket(arena: Uint8Array, offset: number, length: number): BuiltPacket {
  return {
    bytes: Buffer.from(arena.slice(offset, offset + length)),
    vnet: Buffer.from(arena.slice(offset - 12, offset)),
  };
}
