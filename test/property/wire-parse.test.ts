import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { parsePacket, parseQuote } from '../../src/wire/parse.ts';
import { PARSE_BAD_OFFLOAD, PARSED_OK, ParsedBatch } from '../../src/wire/parsed-batch.ts';
import { TCP_HEADER_SIZE, tcpClampMss } from '../../src/wire/tcp.ts';
import { decodePacket } from '../support/decode.ts';
import { type BuiltPacket, extension, icmpPacket, tcpPacket, udpPacket } from '../support/packets.ts';

/** A view that ends where the packet ends and begins where its vnet header does: a read outside throws. */
function tightView(packet: BuiltPacket): DataView {
  const bytes = new Uint8Array(Buffer.concat([packet.vnet, packet.bytes]));
  return new DataView(bytes.buffer);
}

/** For a quote nothing lies in front that may be read. */
function tightQuote(bytes: Uint8Array): DataView {
  const copy = Uint8Array.from(bytes);
  return new DataView(copy.buffer);
}

const V4 = { source: '192.0.2.1', destination: '198.51.100.2', sourcePort: 7, destinationPort: 80 };
const V6 = { source: '2001:db8::1', destination: '2001:db8::2', sourcePort: 7, destinationPort: 80 };
const body = Buffer.alloc(40, 7);
const SAMPLES: readonly BuiltPacket[] = [
  tcpPacket({ ...V4, payload: body, ipOptions: Buffer.alloc(8, 1) }),
  tcpPacket({ ...V6, payload: body, extensions: [extension(0), extension(60), extension(44)] }),
  udpPacket({ ...V4, payload: body, gsoSize: 10 }),
  udpPacket({ ...V6, payload: body, partial: true }),
  icmpPacket({ ...V4, type: 3, code: 4, body: tcpPacket(V4).bytes }),
  icmpPacket({ ...V6, type: 2, body: udpPacket({ ...V6, extensions: [extension(51, 2)] }).bytes }),
];

/** One time in six; more of these would leave few sound packets. */
function rarely<T>(arbitrary: fc.Arbitrary<T>): fc.Arbitrary<T | null> {
  return fc.oneof({ weight: 5, arbitrary: fc.constant(null) }, { weight: 1, arbitrary });
}

const mutated = fc
  .record({
    sample: fc.constantFrom(...SAMPLES),
    edits: fc.array(fc.tuple(fc.nat(60), fc.integer({ min: 0, max: 255 })), { maxLength: 4 }),
    offload: rarely(fc.uint8Array({ minLength: 12, maxLength: 12 })),
    cut: rarely(fc.nat(80)),
  })
  .map(({ sample, edits, offload, cut }): BuiltPacket => {
    const bytes = Buffer.from(sample.bytes.subarray(0, cut ?? sample.bytes.length));
    for (const [at, value] of edits) if (at < bytes.length) bytes[at] = value;
    return { bytes, vnet: Buffer.from(offload ?? sample.vnet) };
  });
const random = fc
  .record({ first: fc.constantFrom(0x45, 0x46, 0x60, 0x6f, 0x12), rest: fc.uint8Array({ maxLength: 120 }) })
  .map(({ first, rest }): BuiltPacket => ({ bytes: Buffer.from([first, ...rest]), vnet: Buffer.alloc(12) }));

describe('parsing whatever comes', () => {
  const parsed = new ParsedBatch(1);

  it('never throws, reads nothing outside, and agrees with the independent decoder on what is sound', () => {
    let sound = 0;
    fc.assert(
      fc.property(fc.oneof(mutated, random), (packet) => {
        const result = parsePacket(tightView(packet), 12, packet.bytes.length, parsed, 0);
        expect(result).toBeLessThanOrEqual(PARSE_BAD_OFFLOAD);
        if (result !== PARSED_OK) return;
        sound++;
        const bytes = packet.bytes.subarray(0, parsed.length[0]);
        const icmpError = parsed.icmpType[0]! > 0 && parsed.icmpType[0]! !== 128;
        if (icmpError || parsed.protocol[0] === 4 || parsed.protocol[0] === 41) return;
        const decoded = decodePacket(bytes, undefined, { transportChecksums: 'ignore' });
        expect(decoded.family).toBe(parsed.family[0]);
        expect(decoded.protocol).toBe(parsed.protocol[0]);
        expect(decoded.headerLength).toBe(parsed.headerLength[0]);
        expect(decoded.fragmentOffset > 0 ? 2 : decoded.moreFragments ? 1 : 0).toBe(parsed.fragment[0]);
        if (parsed.fragment[0] !== 0) return;
        expect(decoded.payload.length).toBe(parsed.payloadLength[0]!);
        const ports = decoded.tcp ?? decoded.udp;
        expect(ports?.sourcePort ?? 0).toBe(parsed.sourcePort[0]);
        expect(ports?.destinationPort ?? 0).toBe(parsed.destinationPort[0]);
        expect(decoded.tcp?.flags ?? 0).toBe(parsed.tcpFlags[0]);
      }),
      { numRuns: 5000 },
    );
    expect(sound).toBeGreaterThan(200);
  });

  it('accepts what the samples are, and only those prefixes of them that are whole', () => {
    for (const sample of SAMPLES) {
      for (let size = 0; size <= sample.bytes.length; size++) {
        const packet = { bytes: sample.bytes.subarray(0, size), vnet: sample.vnet };
        const result = parsePacket(tightView(packet), 12, size, parsed, 0);
        expect(result === PARSED_OK).toBe(size === sample.bytes.length);
      }
    }
  });

  it('parses quotes of any bytes without a read outside', () => {
    fc.assert(
      fc.property(fc.oneof(mutated, random), ({ bytes }) => {
        const result = parseQuote(tightQuote(bytes), 0, bytes.length, parsed, 0);
        if (result === PARSED_OK) expect(parsed.headerLength[0]).toBeLessThanOrEqual(bytes.length);
      }),
      { numRuns: 3000 },
    );
  });

  it('walks any TCP options without a read outside, and clamps to packets that decode', () => {
    const options = fc
      .integer({ min: 0, max: 10 })
      .chain((words) => fc.uint8Array({ minLength: words * 4, maxLength: words * 4, max: 5 }));
    fc.assert(
      fc.property(options, fc.integer({ min: 0, max: 0xffff }), fc.boolean(), (bytes, mss, partial) => {
        const packet = tcpPacket({ ...V4, flags: 2, options: bytes, partial });
        const view = tightView(packet);
        const before = decodePacket(packet.bytes, packet.vnet).tcp!.mss;
        const lowered = tcpClampMss(view, 12 + 20, mss, partial);
        const after = Buffer.from(view.buffer, 12);
        const decoded = decodePacket(after, packet.vnet).tcp!;
        expect(decoded.options.length).toBe(after.length - 20 - TCP_HEADER_SIZE);
        if (lowered) expect(decoded.mss).toBe(mss);
        else expect(decoded.mss).toBe(before);
        if (before !== undefined) expect(decoded.mss!).toBeLessThanOrEqual(mss);
      }),
      { numRuns: 2000 },
    );
  });
});
