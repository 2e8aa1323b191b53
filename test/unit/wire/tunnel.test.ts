import { describe, expect, it } from 'vitest';
import { parseAddress } from '../../../src/wire/address.ts';
import { FRAGMENT_LATER, FRAGMENT_NONE } from '../../../src/wire/ipv6.ts';
import { parsePacket } from '../../../src/wire/parse.ts';
import { PARSED_OK, ParsedBatch } from '../../../src/wire/parsed-batch.ts';
import {
  innerOffset,
  NO_INNER,
  outerHeaderSize,
  prependOuter,
  stripOuter,
} from '../../../src/wire/tunnel.ts';
import { decodePacket } from '../../support/decode.ts';
import { ipPacket, putPacket, takePacket, tcpPacket } from '../../support/packets.ts';

const OFFSET = 128;
const INNER = {
  4: { source: '192.0.2.1', destination: '198.51.100.2' },
  6: { source: '2001:db8::1', destination: '2001:db8:1::2' },
};
const OUTER = { 4: ['10.0.0.1', '10.0.0.2'], 6: ['fd00::1', 'fd00::2'] } as const;
const PAIRS = [
  [4, 4],
  [4, 6],
  [6, 4],
  [6, 6],
] as const;

describe('IP in IP', () => {
  it.each(PAIRS)('wraps IPv%i in IPv%i in place, and takes it off again', (inner, outer) => {
    for (const partial of [false, true]) {
      const ports = { sourcePort: 1, destinationPort: 2, payload: Buffer.alloc(33, 7), tos: 0x2e, partial };
      const packet = tcpPacket({ ...INNER[inner], ...ports });
      const arena = new Uint8Array(512).fill(0xa5);
      putPacket(arena, OFFSET, packet);
      const view = new DataView(arena.buffer);
      const [source, destination] = OUTER[outer].map((text) => parseAddress(text)!.words);
      const size = packet.bytes.length;
      const at = prependOuter(view, OFFSET, size, outer, ...source!, ...destination!, 61, 0x77, false);
      expect(at).toBe(OFFSET - outerHeaderSize(outer));
      const length = size + outerHeaderSize(outer);
      expect(arena.subarray(0, at - 12).every((byte) => byte === 0xa5)).toBe(true);

      const wrapped = takePacket(arena, at, length);
      if (!partial) {
        const decoded = decodePacket(wrapped.bytes, wrapped.vnet);
        expect(decoded).toMatchObject({
          family: outer,
          source: OUTER[outer][0],
          destination: OUTER[outer][1],
          ttl: 61,
          tos: 0x2e,
        });
        expect(decoded.inner).toMatchObject({ ...INNER[inner], tcp: { sourcePort: 1, destinationPort: 2 } });
      }
      // csum_start counts from the start of the packet, which has moved.
      const start = partial ? outerHeaderSize(outer) + (inner === 4 ? 20 : 40) : 0;
      expect(wrapped.vnet.readUInt16LE(6)).toBe(start);
      const parsed = new ParsedBatch(1);
      expect(parsePacket(view, at, length, parsed, 0)).toBe(PARSED_OK);
      expect(parsed.protocol[0]).toBe(inner === 4 ? 4 : 41);
      const found = innerOffset(
        view,
        at,
        length,
        parsed.headerLength[0]!,
        parsed.protocol[0]!,
        parsed.fragment[0]!,
      );
      expect(found).toBe(OFFSET);
      stripOuter(view, at, found);
      const back = takePacket(arena, OFFSET, size);
      expect(back.bytes).toEqual(packet.bytes);
      expect(back.vnet).toEqual(packet.vnet);
      expect(decodePacket(back.bytes, back.vnet).tcp).toBeDefined();
    }
  });

  it('finds no inner packet that lies', () => {
    const inner = tcpPacket({ ...INNER[4], sourcePort: 1, destinationPort: 2 }).bytes;
    const inner6 = tcpPacket({ ...INNER[6], sourcePort: 1, destinationPort: 2 }).bytes;
    const find = (protocol: number, bytes: Uint8Array, fragment = FRAGMENT_NONE) => {
      const packet = ipPacket(INNER[4], protocol, bytes);
      const view = new DataView(Uint8Array.from(packet.bytes).buffer);
      return innerOffset(view, 0, packet.bytes.length, 20, protocol, fragment);
    };
    expect(find(4, inner)).toBe(20);
    expect(find(41, inner6)).toBe(20);
    expect(find(4, inner, FRAGMENT_LATER)).toBe(NO_INNER);
    expect(find(4, inner6)).toBe(NO_INNER);
    expect(find(41, inner)).toBe(NO_INNER);
    expect(find(4, inner.subarray(0, 19))).toBe(NO_INNER);
    expect(find(4, inner.subarray(0, 39))).toBe(NO_INNER);
    expect(find(41, inner6.subarray(0, 39))).toBe(NO_INNER);
    expect(find(41, inner6.subarray(0, 59))).toBe(NO_INNER);
    expect(find(47, inner)).toBe(NO_INNER);
  });
});
