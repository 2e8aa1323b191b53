import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { parseAddress } from '../../src/wire/address.ts';
import { ipv4DecrementTtl } from '../../src/wire/ipv4.ts';
import { parsePacket, parseQuote } from '../../src/wire/parse.ts';
import { PARSED_OK, ParsedBatch } from '../../src/wire/parsed-batch.ts';
import {
  rewriteEndpoint,
  rewriteIcmpAddress,
  rewritePort,
  rewriteQuote,
  SIDE_DESTINATION,
  SIDE_SOURCE,
} from '../../src/wire/rewrite.ts';
import { addressText, decodePacket } from '../support/decode.ts';
import {
  type BuiltPacket,
  extension,
  icmpPacket,
  putPacket,
  takePacket,
  tcpPacket,
  udpPacket,
} from '../support/packets.ts';

const OFFSET = 128;
const POISON = 0xa5;
const port = fc.integer({ min: 0, max: 0xffff });
const side = fc.constantFrom(SIDE_SOURCE, SIDE_DESTINATION);
const payload = fc.uint8Array({ maxLength: 64 });
const address4 = fc.uint8Array({ minLength: 4, maxLength: 4 }).map(addressText);
// Words of zeroes and of ones are where the two zeros of one's complement meet.
const address6 = fc
  .array(fc.constantFrom('0', 'ffff', '1', '2001', 'db8', '7fff'), { minLength: 7, maxLength: 7 })
  .map((groups) =>
    addressText(Buffer.from(['2001', ...groups].map((group) => group.padStart(4, '0')).join(''), 'hex')),
  );
const ends = fc.oneof(
  fc.record({ source: address4, destination: address4, other: address4 }),
  fc.record({ source: address6, destination: address6, other: address6 }),
);
const extensions = fc
  .array(fc.constantFrom(60, 43, 51, 44), { maxLength: 3 })
  .map((types) => types.map((type) => extension(type)));
const flow = fc.record({
  ends,
  sourcePort: port,
  destinationPort: port,
  port,
  side,
  payload,
  partial: fc.boolean(),
  extensions,
});

function wordsOf(text: string): readonly [number, number, number, number] {
  return parseAddress(text)!.words;
}

/** A poisoned arena with the packet in it, parsed. */
function place(packet: BuiltPacket) {
  const arena = new Uint8Array(OFFSET + packet.bytes.length + 64).fill(POISON);
  putPacket(arena, OFFSET, packet);
  const view = new DataView(arena.buffer);
  const parsed = new ParsedBatch(1);
  expect(parsePacket(view, OFFSET, packet.bytes.length, parsed, 0)).toBe(PARSED_OK);
  return { arena, view, parsed };
}

function take(arena: Uint8Array, size: number) {
  expect(arena.subarray(0, OFFSET - 12).every((byte) => byte === POISON)).toBe(true);
  expect(arena.subarray(OFFSET + size).every((byte) => byte === POISON)).toBe(true);
  return takePacket(arena, OFFSET, size);
}

describe('rewriteEndpoint', () => {
  it.each(['tcp', 'udp', 'udp without checksum'])(
    'leaves %s packets that decode, and nothing else changed',
    (kind) => {
      fc.assert(
        fc.property(flow, (spec) => {
          const base = { ...spec.ends, ...spec, flags: 0x18, ttl: 9 };
          const none = kind === 'udp without checksum';
          if (none && spec.partial) return;
          const packet = kind === 'tcp' ? tcpPacket(base) : udpPacket({ ...base, noChecksum: none });
          const before = decodePacket(packet.bytes, packet.vnet);
          const { arena, view, parsed } = place(packet);
          const [a0, a1, a2, a3] = wordsOf(spec.ends.other);
          const family = parsed.family[0]!;
          const header = parsed.headerLength[0]!;
          rewriteEndpoint(
            view,
            OFFSET,
            family,
            parsed.protocol[0]!,
            header,
            spec.side,
            a0,
            a1,
            a2,
            a3,
            spec.port,
            spec.partial,
          );
          const out = take(arena, packet.bytes.length);
          const after = decodePacket(out.bytes, out.vnet);
          const source = spec.side === SIDE_SOURCE;
          expect(after[source ? 'source' : 'destination']).toBe(spec.ends.other);
          expect(after[source ? 'destination' : 'source']).toBe(
            source ? spec.ends.destination : spec.ends.source,
          );
          const ports = after.tcp ?? after.udp!;
          expect(ports[source ? 'sourcePort' : 'destinationPort']).toBe(spec.port);
          expect(ports[source ? 'destinationPort' : 'sourcePort']).toBe(
            source ? spec.destinationPort : spec.sourcePort,
          );
          expect(after.payload).toEqual(before.payload);
          expect(after.tcp?.sequence).toBe(before.tcp?.sequence);
          if (kind !== 'tcp' && !spec.partial) expect(after.udp!.checksum === 0).toBe(none);
        }),
        { numRuns: 400 },
      );
    },
  );

  it('moves a wrong checksum to an equally wrong one', () => {
    fc.assert(
      fc.property(flow, (spec) => {
        const packet = tcpPacket({ ...spec.ends, ...spec, partial: false });
        const at = packet.bytes.length - spec.payload.length - 4;
        packet.bytes.writeUInt16BE((packet.bytes.readUInt16BE(at) + 1) & 0xffff, at);
        fc.pre(packet.bytes.readUInt16BE(at) !== 0);
        const { arena, view, parsed } = place(packet);
        const [a0, a1, a2, a3] = wordsOf(spec.ends.other);
        rewriteEndpoint(
          view,
          OFFSET,
          parsed.family[0]!,
          6,
          parsed.headerLength[0]!,
          spec.side,
          a0,
          a1,
          a2,
          a3,
          spec.port,
          false,
        );
        expect(() => decodePacket(take(arena, packet.bytes.length).bytes)).toThrow('TCP checksum');
      }),
      { numRuns: 100 },
    );
  });

  it('rewrites a super-packet once, its vnet header unchanged', () => {
    const spec = { source: '2001:db8::1', destination: '2001:db8::2', sourcePort: 1, destinationPort: 2 };
    const packet = tcpPacket({ ...spec, payload: Buffer.alloc(5000), gsoSize: 1000 });
    const { arena, view } = place(packet);
    rewriteEndpoint(view, OFFSET, 6, 6, 40, SIDE_DESTINATION, 1, 2, 3, 4, 99, true);
    const out = take(arena, packet.bytes.length);
    expect(out.vnet).toEqual(packet.vnet);
    expect(decodePacket(out.bytes, out.vnet)).toMatchObject({
      destination: '0:1:0:2:0:3:0:4',
      tcp: { destinationPort: 99 },
    });
  });

  it('sends a computed UDP checksum of 0 as 0xffff', () => {
    // The port that makes the full sum 0xffff: found by letting the sum decide.
    const spec = { source: '192.0.2.1', destination: '192.0.2.2', sourcePort: 1, destinationPort: 2 };
    const packet = udpPacket(spec);
    const checksum = packet.bytes.readUInt16BE(26);
    const { arena, view } = place(packet);
    rewritePort(view, OFFSET, 17, 20, SIDE_SOURCE, 1 + checksum, false);
    const out = take(arena, packet.bytes.length);
    expect(decodePacket(out.bytes).udp!.checksum).toBe(0xffff);
  });
});

describe('ports, TTL and ICMP', () => {
  it('rewritePort and ipv4DecrementTtl leave packets that decode', () => {
    fc.assert(
      fc.property(flow, fc.integer({ min: 1, max: 255 }), (spec, ttl) => {
        const packet = tcpPacket({ ...spec.ends, ...spec, ttl });
        const { arena, view, parsed } = place(packet);
        rewritePort(view, OFFSET, 6, parsed.headerLength[0]!, spec.side, spec.port, spec.partial);
        if (parsed.family[0] === 4) ipv4DecrementTtl(view, OFFSET);
        const out = take(arena, packet.bytes.length);
        const after = decodePacket(out.bytes, out.vnet);
        expect(after.tcp![spec.side === SIDE_SOURCE ? 'sourcePort' : 'destinationPort']).toBe(spec.port);
        expect(after.ttl).toBe(parsed.family[0] === 4 ? ttl - 1 : ttl);
      }),
      { numRuns: 200 },
    );
  });

  it('rewriteQuote and rewriteIcmpAddress leave errors that decode, whole quotes and cut ones', () => {
    const cut = fc.integer({ min: 8, max: 80 });
    fc.assert(
      fc.property(flow, fc.boolean(), cut, fc.boolean(), (spec, udp, size, noChecksum) => {
        const quotedSpec = { ...spec.ends, ...spec, partial: false };
        const inner = udp ? udpPacket({ ...quotedSpec, noChecksum }) : tcpPacket(quotedSpec);
        const innerHeader = inner.bytes.length - (udp ? 8 : 20) - spec.payload.length;
        const family = spec.ends.source.includes(':') ? 6 : 4;
        const error = icmpPacket({
          source: spec.ends.destination,
          destination: spec.ends.source,
          type: family === 4 ? 3 : 2,
          rest: 1400,
          body: inner.bytes.subarray(0, innerHeader + size),
        });
        const { arena, view, parsed } = place(error);
        const icmp = OFFSET + parsed.headerLength[0]!;
        const end = OFFSET + error.bytes.length;
        const quote = new ParsedBatch(1);
        expect(parseQuote(view, icmp + 8, end - icmp - 8, quote, 0)).toBe(PARSED_OK);
        const [a0, a1, a2, a3] = wordsOf(spec.ends.other);
        rewriteQuote(
          view,
          icmp,
          end,
          family,
          quote.protocol[0]!,
          quote.headerLength[0]!,
          spec.side,
          a0,
          a1,
          a2,
          a3,
          spec.port,
          false,
        );
        rewriteIcmpAddress(view, OFFSET, family, parsed.headerLength[0]!, SIDE_SOURCE, a0, a1, a2, a3, false);
        const { bytes } = take(arena, error.bytes.length);
        const after = decodePacket(bytes);
        expect(after.source).toBe(spec.ends.other);
        const source = spec.side === SIDE_SOURCE;
        const quoted = after.icmp!.quoted!;
        expect(quoted[source ? 'source' : 'destination']).toBe(spec.ends.other);
        expect(quoted[source ? 'sourcePort' : 'destinationPort']).toBe(spec.port);
        expect(quoted[source ? 'destinationPort' : 'sourcePort']).toBe(
          source ? spec.destinationPort : spec.sourcePort,
        );
        if (quoted.checksumRight !== undefined) expect(quoted.checksumRight).toBe(true);
      }),
      { numRuns: 500 },
    );
  });

  it('leaves the field of a partial ICMPv6 checksum to the addresses', () => {
    const inner = udpPacket({
      source: '2001:db8::1',
      destination: '2001:db8::2',
      sourcePort: 1,
      destinationPort: 2,
    });
    const error = icmpPacket({
      source: '2001:db8::9',
      destination: '2001:db8::1',
      type: 1,
      body: inner.bytes,
      partial: true,
    });
    const { arena, view } = place(error);
    rewriteQuote(
      view,
      OFFSET + 40,
      OFFSET + error.bytes.length,
      6,
      17,
      40,
      SIDE_DESTINATION,
      9,
      9,
      9,
      9,
      77,
      true,
    );
    rewriteIcmpAddress(view, OFFSET, 6, 40, SIDE_SOURCE, 5, 5, 5, 5, true);
    const out = take(arena, error.bytes.length);
    expect(decodePacket(out.bytes, out.vnet)).toMatchObject({
      source: '0:5:0:5:0:5:0:5',
      icmp: { quoted: { destination: '0:9:0:9:0:9:0:9', destinationPort: 77, checksumRight: true } },
    });
  });
});
