import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { completeChecksum, SegmentList, segmentPacket } from '../../../src/forward/segment.ts';
import { Batch, NO_ROOM } from '../../../src/wire/batch.ts';
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
const batch = new Batch(2);

/** Segments of a packet, out of a poisoned batch; each is checked to keep 52 bytes of poison in front. */
function cut(packet: BuiltPacket, list = new SegmentList()) {
  batch.reset();
  batch.bytes.fill(0xa5);
  const offset = batch.rxOffset[0]!;
  putPacket(batch.bytes, offset, packet);
  const parsed = new ParsedBatch(1);
  expect(parsePacket(batch.view, offset, packet.bytes.length, parsed, 0)).toBe(PARSED_OK);
  const count = segmentPacket(batch, offset, parsed, 0, list);
  expect(list.count).toBe(Math.max(count, 0));
  const segments = Array.from({ length: list.count }, (_, index) => {
    const at = list.offset[index]!;
    expect(batch.bytes.subarray(at - 52, at - 12).every((byte) => byte === 0xa5)).toBe(true);
    const { bytes, vnet } = takePacket(batch.bytes, at, list.length[index]!);
    expect(vnet).toEqual(Buffer.alloc(12));
    return bytes;
  });
  expect(takePacket(batch.bytes, offset, packet.bytes.length).bytes).toEqual(packet.bytes);
  return { count, segments };
}

/** What the segments have to be, byte for byte: each built as a packet of its own by the test's builders. */
function reference(kind: 'tcp' | 'udp', spec: Parameters<typeof tcpPacket>[0], gsoSize: number): Buffer[] {
  const payload = Buffer.from(spec.payload ?? []);
  const count = Math.max(1, Math.ceil(payload.length / gsoSize));
  return Array.from({ length: count }, (_, index) => {
    const flags = (spec.flags ?? 0x10) & ~(index === 0 ? 0 : 0x80) & ~(index === count - 1 ? 0 : 0x09);
    const one = {
      ...spec,
      flags,
      sequence: ((spec.sequence ?? 1) + index * gsoSize) >>> 0,
      identification: ((spec.identification ?? 0) + index) & 0xffff,
      payload: payload.subarray(index * gsoSize, (index + 1) * gsoSize),
    };
    return (kind === 'tcp' ? tcpPacket(one) : udpPacket(one)).bytes;
  });
}

describe('segmentPacket', () => {
  const spec = fc.record({
    ends: fc.constantFrom(V4, V6),
    payload: fc.uint8Array({ maxLength: 700 }),
    gsoSize: fc.integer({ min: 8, max: 300 }),
    flags: fc.constantFrom(0x10, 0x18, 0x19, 0x98, 0xd9, 0x30),
    sequence: fc.constantFrom(1, 0xffffff00),
    identification: fc.constantFrom(7, 0xffff),
    options: fc.constantFrom(Buffer.alloc(0), Buffer.alloc(12, 1)),
    ipOptions: fc.constantFrom(Buffer.alloc(0), Buffer.alloc(8, 1)),
    extensions: fc.constantFrom([], [extension(60, 2)]),
    tos: fc.constantFrom(0, 0x03),
  });

  it.each(['tcp', 'udp'] as const)('equals the reference, byte for byte: %s', (kind) => {
    fc.assert(
      fc.property(spec, (random) => {
        const { gsoSize, ends, ...rest } = random;
        const whole = { ...ends, ...rest };
        const built = kind === 'tcp' ? tcpPacket({ ...whole, gsoSize }) : udpPacket({ ...whole, gsoSize });
        const { count, segments } = cut(built);
        const expected = reference(kind, whole, gsoSize);
        expect(count).toBe(expected.length);
        expect(segments).toEqual(expected);
        for (const segment of segments) decodePacket(segment);
      }),
      { numRuns: 150 },
    );
  });

  it('cuts a 64 KiB super-packet, and gives up with nothing kept when there is no room', () => {
    const payload = Buffer.alloc(65_535 - 40, 9);
    const big = (gsoSize: number) => tcpPacket({ ...V4, payload, gsoSize });
    const { count, segments } = cut(big(1448));
    expect(count).toBe(46);
    expect(Buffer.concat(segments.map((segment) => decodePacket(segment).payload))).toEqual(payload);
    batch.reset();
    const start = batch.segmentOffset;
    expect(cut(big(40)).count).toBe(NO_ROOM);
    expect(cut(big(600), new SegmentList(109)).count).toBe(NO_ROOM);
    expect(cut(big(600), new SegmentList(110)).count).toBe(110);
    expect(cut(big(1), new SegmentList(70_000)).count).toBe(NO_ROOM);
    expect(batch.segmentOffset).toBe(start);
  });

  it('keeps earlier segments when the next super-packet is cut', () => {
    const list = new SegmentList();
    const packet = tcpPacket({ ...V6, payload: Buffer.alloc(2000, 3), gsoSize: 900 });
    cut(packet, list);
    const end = list.offset[2]! + list.length[2]!;
    const second = new ParsedBatch(1);
    const offset = batch.rxOffset[0]!;
    parsePacket(batch.view, offset, packet.bytes.length, second, 0);
    const other = new SegmentList();
    expect(segmentPacket(batch, offset, second, 0, other)).toBe(3);
    expect(other.offset[0]! - 12).toBeGreaterThanOrEqual(end);
    for (let index = 0; index < 3; index++) {
      decodePacket(takePacket(batch.bytes, list.offset[index]!, list.length[index]!).bytes);
      decodePacket(takePacket(batch.bytes, other.offset[index]!, other.length[index]!).bytes);
    }
  });
});

describe('completeChecksum', () => {
  it('makes full checksums of partial ones', () => {
    const build = [
      (partial: boolean) =>
        tcpPacket({ ...V4, payload: Buffer.alloc(11, 5), ipOptions: Buffer.alloc(4, 1), partial }),
      (partial: boolean) =>
        tcpPacket({ ...V6, payload: Buffer.alloc(1400, 5), extensions: [extension(60)], partial }),
      (partial: boolean) => udpPacket({ ...V4, payload: Buffer.alloc(1), partial }),
      (partial: boolean) => icmpPacket({ ...V6, type: 128, body: Buffer.alloc(7, 1), partial }),
    ];
    for (const one of build) {
      const packet = one(true);
      putPacket(batch.bytes, 128, packet);
      expect(
        completeChecksum(
          batch.view,
          128,
          packet.bytes.length,
          decodePacket(packet.bytes, packet.vnet).protocol,
        ),
      ).toBe(true);
      const done = takePacket(batch.bytes, 128, packet.bytes.length);
      expect(done.bytes).toEqual(one(false).bytes);
      expect(done.vnet).toEqual(Buffer.alloc(12));
    }
  });

  it('sends a UDP checksum of 0 as 0xffff', () => {
    const sum = decodePacket(udpPacket(V4).bytes).udp!.checksum;
    // The source port takes up what was missing, so that the sum becomes 0xffff and the checksum 0.
    const packet = udpPacket({
      ...V4,
      sourcePort: V4.sourcePort + sum > 0xffff ? V4.sourcePort + sum - 0xffff : V4.sourcePort + sum,
      partial: true,
    });
    putPacket(batch.bytes, 128, packet);
    completeChecksum(batch.view, 128, packet.bytes.length, 17);
    expect(decodePacket(takePacket(batch.bytes, 128, packet.bytes.length).bytes).udp!.checksum).toBe(0xffff);
  });

  it('leaves SCTP alone, whose CRC is another thing', () => {
    const packet = ipPacket({ ...V4, partial: true }, 132, Buffer.alloc(12, 1), 8);
    putPacket(batch.bytes, 128, packet);
    expect(completeChecksum(batch.view, 128, packet.bytes.length, 132)).toBe(false);
    expect(takePacket(batch.bytes, 128, packet.bytes.length)).toEqual(packet);
  });
});
