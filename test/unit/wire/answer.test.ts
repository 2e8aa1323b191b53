import { describe, expect, it } from 'vitest';
import {
  buildIcmpError,
  buildReset,
  ERROR_PORT_UNREACHABLE,
  ERROR_TIME_EXCEEDED,
  ERROR_TOO_BIG,
  mayAnswer,
  turnEcho,
} from '../../../src/wire/answer.ts';
import { Batch } from '../../../src/wire/batch.ts';
import { parsePacket } from '../../../src/wire/parse.ts';
import { PARSED_OK, ParsedBatch } from '../../../src/wire/parsed-batch.ts';
import { decodePacket } from '../../support/decode.ts';
import {
  type BuiltPacket,
  extension,
  icmpPacket,
  ipPacket,
  putPacket,
  takePacket,
  tcpPacket,
  udpPacket,
} from '../../support/packets.ts';

const V4 = { source: '192.0.2.1', destination: '198.51.100.2', sourcePort: 4000, destinationPort: 80 };
const V6 = { source: '2001:db8::1', destination: '2001:db8:1::2', sourcePort: 4000, destinationPort: 80 };
const POISON = 0xa5;

/** A poisoned batch with the packet in its first slot, parsed, and a scratch area. */
function place(packet: BuiltPacket) {
  const batch = new Batch(1);
  batch.bytes.fill(POISON);
  const offset = batch.rxOffset[0]!;
  putPacket(batch.bytes, offset, packet);
  const parsed = new ParsedBatch(1);
  expect(parsePacket(batch.view, offset, packet.bytes.length, parsed, 0)).toBe(PARSED_OK);
  return { batch, offset, parsed, to: batch.allocScratch() };
}

/** The packet at `to`, decoded with its vnet header; the poison around it must be whole. */
function takeAnswer(batch: Batch, to: number, length: number) {
  expect(batch.bytes[to - 13]).toBe(POISON);
  expect(batch.bytes.subarray(to + length, to + length + 64).every((byte) => byte === POISON)).toBe(true);
  const { bytes, vnet } = takePacket(batch.bytes, to, length);
  expect(vnet).toEqual(Buffer.alloc(12));
  return decodePacket(bytes, vnet);
}

describe('buildReset', () => {
  const segment = { sequence: 0xfffffffe, acknowledgment: 777 };
  it.each([
    ['a SYN', { flags: 0x02, size: 0 }, { flags: 0x14, sequence: 0, acknowledgment: 0xffffffff }],
    ['a SYN with data and FIN', { flags: 0x03, size: 10 }, { flags: 0x14, sequence: 0, acknowledgment: 10 }],
    ['data without ACK', { flags: 0x08, size: 3 }, { flags: 0x14, sequence: 0, acknowledgment: 1 }],
    ['an ACK', { flags: 0x10, size: 100 }, { flags: 0x04, sequence: 777, acknowledgment: 0 }],
    ['a FIN with ACK', { flags: 0x11, size: 0 }, { flags: 0x04, sequence: 777, acknowledgment: 0 }],
    ['a SYN with ACK', { flags: 0x12, size: 0 }, { flags: 0x04, sequence: 777, acknowledgment: 0 }],
  ])('answers %s as RFC 9293 section 3.10.7.1 says', (_name, given, expected) => {
    for (const ends of [V4, V6]) {
      for (const gso of [{}, { gsoSize: 40 }]) {
        const { flags, size } = given;
        const packet = tcpPacket({ ...ends, ...segment, ...gso, flags, payload: Buffer.alloc(size) });
        const { batch, offset, parsed, to } = place(packet);
        const answer = takeAnswer(batch, to, buildReset(batch, to, offset, parsed, 0));
        expect(answer).toMatchObject({ source: ends.destination, destination: ends.source, ttl: 64 });
        expect(answer.tcp).toMatchObject({
          ...expected,
          sourcePort: 80,
          destinationPort: 4000,
          window: 0,
          urgent: 0,
        });
        expect(answer.payload.length).toBe(0);
      }
    }
  });

  it('looks behind options and extension headers', () => {
    for (const packet of [
      tcpPacket({ ...V4, ...segment, ipOptions: Buffer.alloc(12, 1), options: Buffer.alloc(8, 1) }),
      tcpPacket({ ...V6, ...segment, extensions: [extension(60, 3)], options: Buffer.alloc(8, 1) }),
    ]) {
      const { batch, offset, parsed, to } = place(packet);
      const answer = takeAnswer(batch, to, buildReset(batch, to, offset, parsed, 0));
      expect(answer.tcp).toMatchObject({ flags: 4, sequence: 777, destinationPort: 4000 });
    }
  });
});

describe('buildIcmpError', () => {
  it.each([
    ['too big', ERROR_TOO_BIG, { type: 3, code: 4, rest: 1400 }, { type: 2, code: 0, rest: 1400 }],
    ['time exceeded', ERROR_TIME_EXCEEDED, { type: 11, code: 0, rest: 0 }, { type: 3, code: 0, rest: 0 }],
    [
      'port unreachable',
      ERROR_PORT_UNREACHABLE,
      { type: 3, code: 3, rest: 0 },
      { type: 1, code: 4, rest: 0 },
    ],
  ])('says %s, quoting as much as may be', (_name, error, four, six) => {
    for (const [ends, expected, most] of [
      [V4, four, 576],
      [V6, six, 1280],
    ] as const) {
      for (const size of [0, 1, 100, 503, 520, 521, 1191, 1192, 1193, 9000]) {
        const packet = udpPacket({ ...ends, payload: Buffer.alloc(size, 0x5a) });
        const { batch, offset, parsed, to } = place(packet);
        const length = buildIcmpError(batch, to, offset, parsed, 0, error, 1400);
        const headers = most === 576 ? 28 : 48;
        expect(length).toBe(Math.min(most, headers + packet.bytes.length));
        const answer = takeAnswer(batch, to, length);
        expect(answer).toMatchObject({ source: ends.destination, destination: ends.source, icmp: expected });
        expect(answer.icmp!.quoted!.bytes).toEqual(packet.bytes.subarray(0, length - headers));
      }
    }
  });

  it('quotes the packet without its padding', () => {
    const packet = tcpPacket(V4);
    const { batch, offset, to } = place(packet);
    const parsed = new ParsedBatch(1);
    expect(parsePacket(batch.view, offset, packet.bytes.length + 6, parsed, 0)).toBe(PARSED_OK);
    expect(buildIcmpError(batch, to, offset, parsed, 0, ERROR_TIME_EXCEEDED, 0)).toBe(28 + 40);
  });

  it('says no MTU above what 16 bits hold', () => {
    const { batch, offset, parsed, to } = place(tcpPacket(V4));
    const length = buildIcmpError(batch, to, offset, parsed, 0, ERROR_TOO_BIG, 70_000);
    expect(takeAnswer(batch, to, length).icmp!.rest).toBe(0xffff);
  });
});

describe('mayAnswer', () => {
  const at = (source: string) => tcpPacket({ ...(source.includes(':') ? V6 : V4), source });
  it.each<[string, BuiltPacket, boolean]>([
    ['TCP', tcpPacket(V4), true],
    ['UDP over IPv6', udpPacket(V6), true],
    ['a first fragment', tcpPacket({ ...V4, fragmentBits: 0x2000 }), true],
    ['a later fragment', ipPacket({ ...V4, fragmentBits: 1 }, 17, Buffer.alloc(8)), false],
    ['an echo request', icmpPacket({ ...V4, type: 8 }), true],
    ['an ICMP error', icmpPacket({ ...V4, type: 3 }), false],
    ['a redirect', icmpPacket({ ...V4, type: 5 }), false],
    ['an ICMPv6 error', icmpPacket({ ...V6, type: 1 }), false],
    ['router advertisement', icmpPacket({ ...V6, type: 134 }), false],
    ['0.0.0.0', at('0.0.0.0'), false],
    ['127.0.0.1', at('127.0.0.1'), false],
    ['224.0.0.1', at('224.0.0.1'), false],
    ['255.255.255.255', at('255.255.255.255'), false],
    ['223.255.255.255', at('223.255.255.255'), true],
    ['::', at('::'), false],
    ['::1', at('::1'), false],
    ['::2', at('::2'), true],
    ['ff02::1', at('ff02::1'), false],
  ])('%s', (_name, packet, expected) => {
    expect(mayAnswer(place(packet).parsed, 0)).toBe(expected);
  });
});

describe('turnEcho', () => {
  it.each([
    icmpPacket({ ...V4, type: 8, rest: 0x12345678, body: Buffer.alloc(57, 3), ttl: 3 }),
    icmpPacket({ ...V4, type: 8, ipOptions: Buffer.alloc(4, 1) }),
    icmpPacket({ ...V6, type: 128, rest: 0x12345678, body: Buffer.alloc(1400, 3), ttl: 1 }),
    icmpPacket({ ...V6, type: 128, extensions: [extension(60)] }),
    icmpPacket({ ...V6, type: 128, partial: true }),
  ])('answers', (packet) => {
    const before = decodePacket(packet.bytes, packet.vnet);
    const { batch, offset, parsed } = place(packet);
    turnEcho(batch.view, offset, parsed.family[0]!, parsed.headerLength[0]!);
    const { bytes, vnet } = takePacket(batch.bytes, offset, packet.bytes.length);
    expect(decodePacket(bytes, vnet)).toMatchObject({
      source: before.destination,
      destination: before.source,
      ttl: 64,
      icmp: { type: before.family === 4 ? 0 : 129, code: 0, rest: before.icmp!.rest },
      payload: before.payload,
    });
  });

  it('keeps a wrong checksum wrong', () => {
    const packet = icmpPacket({ ...V4, type: 8, body: Buffer.alloc(8) });
    packet.bytes[30] = 1;
    const { batch, offset } = place(packet);
    turnEcho(batch.view, offset, 4, 20);
    expect(() => decodePacket(takePacket(batch.bytes, offset, packet.bytes.length).bytes)).toThrow(
      'ICMP checksum',
    );
  });
});
