import { describe, expect, it } from 'vitest';
import { COUNTER } from '../../../src/base/counters.ts';
import { FRAGMENT_FIRST, FRAGMENT_LATER, FRAGMENT_NONE, IPV6_CHAIN_LIMIT } from '../../../src/wire/ipv6.ts';
import { parsePacket, parseQuote } from '../../../src/wire/parse.ts';
import {
  PARSE_BAD_HEADER,
  PARSE_BAD_LENGTH,
  PARSE_BAD_OFFLOAD,
  PARSE_BAD_TRANSPORT,
  PARSE_BAD_VERSION,
  PARSE_COUNTERS,
  PARSE_TRUNCATED,
  PARSED_OK,
  ParsedBatch,
} from '../../../src/wire/parsed-batch.ts';
import {
  type BuiltPacket,
  extension,
  icmpPacket,
  ipPacket,
  putPacket,
  tcpPacket,
  udpPacket,
} from '../../support/packets.ts';

const V4 = { source: '192.0.2.1', destination: '198.51.100.2' };
const V6 = { source: '2001:db8::1', destination: '2001:db8:1::2' };
const PORTS = { sourcePort: 40_000, destinationPort: 80 };
const OFFSET = 128;

/** Row 1 of two is used, so that a write to the wrong row shows. */
function parse(packet: BuiltPacket, edit: (bytes: Buffer, vnet: Buffer) => void = () => {}, trailing = 0) {
  edit(packet.bytes, packet.vnet);
  const arena = new Uint8Array(OFFSET + packet.bytes.length + 256).fill(0xa5);
  putPacket(arena, OFFSET, packet);
  const parsed = new ParsedBatch(2);
  const result = parsePacket(new DataView(arena.buffer), OFFSET, packet.bytes.length + trailing, parsed, 1);
  expect(parsed.result[1]).toBe(result);
  return { result, row: rowOf(parsed, 1) };
}

function rowOf(parsed: ParsedBatch, row: number) {
  return {
    family: parsed.family[row],
    protocol: parsed.protocol[row],
    fragment: parsed.fragment[row],
    length: parsed.length[row],
    headerLength: parsed.headerLength[row],
    payloadLength: parsed.payloadLength[row],
    source: [parsed.source0[row], parsed.source1[row], parsed.source2[row], parsed.source3[row]],
    destination: [
      parsed.destination0[row],
      parsed.destination1[row],
      parsed.destination2[row],
      parsed.destination3[row],
    ],
    sourcePort: parsed.sourcePort[row],
    destinationPort: parsed.destinationPort[row],
    tcpFlags: parsed.tcpFlags[row],
    icmpType: parsed.icmpType[row],
    icmpCode: parsed.icmpCode[row],
  };
}

function fixChecksum(bytes: Buffer): void {
  bytes.writeUInt16BE(0, 10);
  let sum = 0;
  for (let at = 0; at < (bytes[0]! & 15) * 4; at += 2) sum += bytes.readUInt16BE(at);
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >> 16);
  bytes.writeUInt16BE(~sum & 0xffff, 10);
}

describe('parsePacket', () => {
  it('reads TCP over IPv4 with options', () => {
    const packet = tcpPacket({
      ...V4,
      ...PORTS,
      ipOptions: Buffer.alloc(8, 1),
      flags: 0x12,
      payload: Buffer.alloc(5),
    });
    const { result, row } = parse(packet);
    expect(result).toBe(PARSED_OK);
    expect(row).toEqual({
      family: 4,
      protocol: 6,
      fragment: FRAGMENT_NONE,
      length: 53,
      headerLength: 28,
      payloadLength: 5,
      source: [0, 0, 0xffff, 0xc0000201],
      destination: [0, 0, 0xffff, 0xc6336402],
      ...PORTS,
      tcpFlags: 0x12,
      icmpType: 0,
      icmpCode: 0,
    });
  });

  it('reads UDP over IPv6 behind extension headers, the routing header used up', () => {
    const extensions = [extension(0), extension(60, 2), extension(43), extension(51, 2), extension(44)];
    const { result, row } = parse(udpPacket({ ...V6, ...PORTS, extensions, payload: Buffer.alloc(9) }));
    expect(result).toBe(PARSED_OK);
    expect(row).toMatchObject({
      family: 6,
      protocol: 17,
      // The fragment header is an atomic one (RFC 6946): the packet is whole.
      fragment: FRAGMENT_NONE,
      headerLength: 40 + 8 + 16 + 8 + 16 + 8,
      payloadLength: 9,
      source: [0x20010db8, 0, 0, 1],
      destination: [0x20010db8, 0x00010000, 0, 2],
      ...PORTS,
      tcpFlags: 0,
    });
  });

  it('reads ICMP of both families, and leaves ICMP of the wrong family alone', () => {
    expect(parse(icmpPacket({ ...V4, type: 3, code: 4, body: Buffer.alloc(28) })).row).toMatchObject({
      icmpType: 3,
      icmpCode: 4,
      payloadLength: 28,
      sourcePort: 0,
    });
    expect(parse(icmpPacket({ ...V6, type: 128 })).row).toMatchObject({ icmpType: 128, payloadLength: 0 });
    const { result, row } = parse(ipPacket(V6, 1, Buffer.from([3, 4])));
    expect(result).toBe(PARSED_OK);
    expect(row).toMatchObject({ icmpType: 0, icmpCode: 0, payloadLength: 2 });
  });

  it('trims what lies behind the packet', () => {
    for (const packet of [tcpPacket({ ...V4, ...PORTS }), udpPacket({ ...V6, ...PORTS })]) {
      const { result, row } = parse(packet, undefined, 6);
      expect(result).toBe(PARSED_OK);
      expect(row.length).toBe(packet.bytes.length);
      expect(row.payloadLength).toBe(0);
    }
  });

  it('tells first fragments from later ones', () => {
    const first = udpPacket({ ...V4, ...PORTS, fragmentBits: 0x2000, payload: Buffer.alloc(16) });
    first.bytes.writeUInt16BE(3000, 24);
    expect(parse(first)).toMatchObject({ result: PARSED_OK, row: { fragment: FRAGMENT_FIRST, ...PORTS } });
    const later = ipPacket({ ...V4, fragmentBits: 0x0004 }, 6, Buffer.from([1, 2, 3]));
    expect(parse(later)).toMatchObject({
      result: PARSED_OK,
      row: { fragment: FRAGMENT_LATER, sourcePort: 0, destinationPort: 0, tcpFlags: 0, payloadLength: 3 },
    });
    const header = extension(44);
    Buffer.from(header.bytes.buffer, header.bytes.byteOffset).writeUInt16BE(8, 2);
    const later6 = ipPacket({ ...V6, extensions: [header] }, 60, Buffer.from([1, 2, 3]));
    expect(parse(later6)).toMatchObject({
      result: PARSED_OK,
      row: { fragment: FRAGMENT_LATER, protocol: 60 },
    });
    Buffer.from(header.bytes.buffer, header.bytes.byteOffset).writeUInt16BE(1, 2);
    const first6 = tcpPacket({ ...V6, ...PORTS, extensions: [header] });
    expect(parse(first6)).toMatchObject({ result: PARSED_OK, row: { fragment: FRAGMENT_FIRST, ...PORTS } });
  });

  it('takes partial checksums and super-packets that fit', () => {
    const payload = Buffer.alloc(4000);
    for (const family of [V4, V6]) {
      expect(parse(tcpPacket({ ...family, ...PORTS, partial: true })).result).toBe(PARSED_OK);
      expect(parse(tcpPacket({ ...family, ...PORTS, payload, gsoSize: 1400, flags: 0x90 })).result).toBe(
        PARSED_OK,
      );
      expect(parse(udpPacket({ ...family, ...PORTS, payload, gsoSize: 1400 })).result).toBe(PARSED_OK);
      expect(parse(tcpPacket({ ...family, ...PORTS }), (_, vnet) => vnet.writeUInt8(2, 0)).result).toBe(
        PARSED_OK,
      );
    }
  });

  const tcp4 = () => tcpPacket({ ...V4, ...PORTS, payload: Buffer.alloc(10) });
  const tcp6 = () => tcpPacket({ ...V6, ...PORTS, payload: Buffer.alloc(10) });
  const udp4 = () => udpPacket({ ...V4, ...PORTS, payload: Buffer.alloc(10) });
  const gso4 = () => tcpPacket({ ...V4, ...PORTS, payload: Buffer.alloc(3000), gsoSize: 1400 });
  const uso6 = () => udpPacket({ ...V6, ...PORTS, payload: Buffer.alloc(3000), gsoSize: 1400 });
  const mapped = (at: number) => (bytes: Buffer) =>
    Buffer.from('00000000000000000000ffffc0000201', 'hex').copy(bytes, at);
  const leftover = () => {
    const routing = extension(43);
    routing.bytes[3] = 1;
    return tcpPacket({ ...V6, ...PORTS, extensions: [routing] });
  };
  const chain = (count: number) => () =>
    tcpPacket({ ...V6, ...PORTS, extensions: Array.from({ length: count }, () => extension(60)) });

  it.each<[string, () => BuiltPacket, ((bytes: Buffer, vnet: Buffer) => void) | undefined, number]>([
    ['no bytes', () => ({ bytes: Buffer.alloc(0), vnet: Buffer.alloc(12) }), undefined, PARSE_TRUNCATED],
    [
      '19 bytes',
      () => ({ bytes: tcp4().bytes.subarray(0, 19), vnet: Buffer.alloc(12) }),
      undefined,
      PARSE_TRUNCATED,
    ],
    [
      '39 bytes of IPv6',
      () => ({ bytes: tcp6().bytes.subarray(0, 39), vnet: Buffer.alloc(12) }),
      undefined,
      PARSE_TRUNCATED,
    ],
    [
      'IPv4 options cut',
      () => ipPacket(V4, 6, Buffer.alloc(3)),
      (bytes) => bytes.writeUInt8(0x4f, 0),
      PARSE_TRUNCATED,
    ],
    ['version 5', tcp4, (bytes) => bytes.writeUInt8(0x55, 0), PARSE_BAD_VERSION],
    ['ihl 4', tcp4, (bytes) => bytes.writeUInt8(0x44, 0), PARSE_BAD_HEADER],
    ['header checksum', tcp4, (bytes) => bytes.writeUInt8(bytes[8]! ^ 1, 8), PARSE_BAD_HEADER],
    [
      'header checksum with options',
      () => tcpPacket({ ...V4, ...PORTS, ipOptions: Buffer.alloc(4, 1) }),
      (bytes) => bytes.writeUInt8(7, 23),
      PARSE_BAD_HEADER,
    ],
    ['mapped source', tcp6, mapped(8), PARSE_BAD_HEADER],
    ['mapped destination', tcp6, mapped(24), PARSE_BAD_HEADER],
    ['segments left', leftover, undefined, PARSE_BAD_HEADER],
    [
      'hop-by-hop not first',
      () => tcpPacket({ ...V6, ...PORTS, extensions: [extension(60), extension(0)] }),
      undefined,
      PARSE_BAD_HEADER,
    ],
    ['chain at its limit', chain(IPV6_CHAIN_LIMIT), undefined, PARSED_OK],
    ['chain over its limit', chain(IPV6_CHAIN_LIMIT + 1), undefined, PARSE_BAD_HEADER],
    [
      'chain cut',
      () => ipPacket({ ...V6, extensions: [extension(60)] }, 60, Buffer.alloc(4)),
      undefined,
      PARSE_TRUNCATED,
    ],
    [
      'extension beyond the end',
      () => ipPacket({ ...V6, extensions: [extension(60)] }, 60, Buffer.alloc(8, 6)),
      undefined,
      PARSE_TRUNCATED,
    ],
    [
      'total above received',
      tcp4,
      (bytes) => {
        bytes.writeUInt16BE(51, 2);
        fixChecksum(bytes);
      },
      PARSE_BAD_LENGTH,
    ],
    [
      'total below header',
      tcp4,
      (bytes) => {
        bytes.writeUInt16BE(19, 2);
        fixChecksum(bytes);
      },
      PARSE_BAD_LENGTH,
    ],
    [
      'total 0',
      tcp4,
      (bytes) => {
        bytes.writeUInt16BE(0, 2);
        fixChecksum(bytes);
      },
      PARSE_BAD_LENGTH,
    ],
    ['IPv6 payload above received', tcp6, (bytes) => bytes.writeUInt16BE(31, 4), PARSE_BAD_LENGTH],
    ['IPv6 payload 0', tcp6, (bytes) => bytes.writeUInt16BE(0, 4), PARSE_BAD_LENGTH],
    ['TCP of 19 bytes', () => ipPacket(V4, 6, Buffer.alloc(19, 0x50)), undefined, PARSE_TRUNCATED],
    ['data offset 4', tcp4, (bytes) => bytes.writeUInt8(0x40, 32), PARSE_BAD_TRANSPORT],
    ['data offset beyond', tcp4, (bytes) => bytes.writeUInt8(0x80, 32), PARSE_BAD_TRANSPORT],
    ['UDP of 7 bytes', () => ipPacket(V6, 17, Buffer.alloc(7)), undefined, PARSE_TRUNCATED],
    ['UDP length 7', udp4, (bytes) => bytes.writeUInt16BE(7, 24), PARSE_BAD_TRANSPORT],
    ['UDP length beyond', udp4, (bytes) => bytes.writeUInt16BE(19, 24), PARSE_BAD_TRANSPORT],
    ['ICMP of 7 bytes', () => ipPacket(V4, 1, Buffer.alloc(7)), undefined, PARSE_TRUNCATED],
    ['csum_start elsewhere', gso4, (_, vnet) => vnet.writeUInt16LE(22, 6), PARSE_BAD_OFFLOAD],
    ['csum_offset elsewhere', gso4, (_, vnet) => vnet.writeUInt16LE(6, 8), PARSE_BAD_OFFLOAD],
    ['hdr_len beyond', gso4, (_, vnet) => vnet.writeUInt16LE(5000, 2), PARSE_BAD_OFFLOAD],
    ['gso_size 0', gso4, (_, vnet) => vnet.writeUInt16LE(0, 4), PARSE_BAD_OFFLOAD],
    ['TCPv6 type on IPv4', gso4, (_, vnet) => vnet.writeUInt8(4, 1), PARSE_BAD_OFFLOAD],
    ['UDP type on TCP', gso4, (_, vnet) => vnet.writeUInt8(5, 1), PARSE_BAD_OFFLOAD],
    ['UFO', uso6, (_, vnet) => vnet.writeUInt8(3, 1), PARSE_BAD_OFFLOAD],
    ['USO with the ECN bit', uso6, (_, vnet) => vnet.writeUInt8(0x85, 1), PARSE_BAD_OFFLOAD],
    ['GSO without partial checksum', gso4, (_, vnet) => vnet.writeUInt8(0, 0), PARSE_BAD_OFFLOAD],
    [
      'partial fragment',
      () => tcpPacket({ ...V4, ...PORTS, fragmentBits: 0x2000, partial: true }),
      undefined,
      PARSE_BAD_OFFLOAD,
    ],
    [
      'unknown protocol, field beyond',
      () => ipPacket({ ...V4, partial: true }, 132, Buffer.alloc(8)),
      (_, vnet) => vnet.writeUInt16LE(8, 8),
      PARSE_BAD_OFFLOAD,
    ],
    [
      'UDP length short in a super-packet',
      uso6,
      (bytes) => bytes.writeUInt16BE(1400, 44),
      PARSE_BAD_TRANSPORT,
    ],
  ])('judges: %s', (_name, build, edit, expected) => {
    expect(parse(build(), edit).result).toBe(expected);
  });

  it('refuses padding behind a super-packet', () => {
    expect(parse(gso4(), undefined, 4).result).toBe(PARSE_BAD_LENGTH);
  });

  it('names an existing counter for each fault', () => {
    expect(PARSE_COUNTERS.length).toBe(PARSE_BAD_OFFLOAD + 1);
    for (const name of PARSE_COUNTERS.slice(1)) expect(COUNTER[name!]).toBeGreaterThan(0);
  });
});

describe('parseQuote', () => {
  const quote = (bytes: Uint8Array, size: number) => {
    const arena = new Uint8Array(256).fill(0xa5);
    arena.set(bytes.subarray(0, size), 64);
    const parsed = new ParsedBatch(1);
    const result = parseQuote(new DataView(arena.buffer), 64, size, parsed, 0);
    return { result, row: rowOf(parsed, 0) };
  };

  it('reads 8 bytes of transport of a longer packet', () => {
    const packet = tcpPacket({ ...V4, ...PORTS, flags: 2, payload: Buffer.alloc(60) });
    packet.bytes.writeUInt16BE(0, 10);
    expect(quote(packet.bytes, 28)).toMatchObject({
      result: PARSED_OK,
      row: {
        length: 100,
        headerLength: 20,
        payloadLength: 0,
        ...PORTS,
        tcpFlags: 0,
        source: [0, 0, 0xffff, 0xc0000201],
      },
    });
    expect(quote(packet.bytes, 34).row.tcpFlags).toBe(2);
    expect(quote(packet.bytes, 27).result).toBe(PARSE_TRUNCATED);
  });

  it('reads IPv6 behind extension headers, and knows when they are cut', () => {
    const packet = udpPacket({ ...V6, ...PORTS, extensions: [extension(60, 2)], payload: Buffer.alloc(99) });
    expect(quote(packet.bytes, 64)).toMatchObject({
      result: PARSED_OK,
      row: { headerLength: 56, protocol: 17, ...PORTS },
    });
    for (let size = 0; size < 64; size++) expect(quote(packet.bytes, size).result).toBe(PARSE_TRUNCATED);
  });

  it('reads a quoted echo and a quoted later fragment', () => {
    expect(quote(icmpPacket({ ...V4, type: 8 }).bytes, 28).row).toMatchObject({ protocol: 1, icmpType: 8 });
    const later = ipPacket({ ...V4, fragmentBits: 3 }, 17, Buffer.alloc(2));
    expect(quote(later.bytes, 22)).toMatchObject({
      result: PARSED_OK,
      row: { fragment: FRAGMENT_LATER, sourcePort: 0 },
    });
  });
});
