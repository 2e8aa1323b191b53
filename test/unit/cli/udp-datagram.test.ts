/** The UDP datagram in a packet, for captures. */
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { udpDatagram } from '../../../src/cli/udp-datagram.ts';
import { extension, tcpPacket, udpPacket } from '../../support/packets.ts';

const PORTS = { sourcePort: 7373, destinationPort: 7374, payload: Buffer.from('hello') };
const FOUR = { source: '10.0.9.1', destination: '10.0.9.2', ...PORTS };
const SIX = { source: '2001:db8:9::1', destination: '2001:db8:9::2', ...PORTS };

test.each([
  ['IPv4', udpPacket(FOUR), '10.0.9.2'],
  ['IPv4 with options', udpPacket({ ...FOUR, ipOptions: Buffer.from('01010101', 'hex') }), '10.0.9.2'],
  ['IPv6', udpPacket(SIX), '2001:db8:9::2'],
  ['IPv6 with an extension header', udpPacket({ ...SIX, extensions: [extension(0)] }), '2001:db8:9::2'],
])('%s', (_, { bytes }, destination) => {
  const padded = Buffer.concat([bytes, Buffer.alloc(6)]);
  for (const packet of [bytes, padded]) {
    expect(udpDatagram(packet)).toEqual({ destination, destinationPort: 7374, payload: PORTS.payload });
  }
});

test('a fragment, another protocol and what is cut off are none', () => {
  expect(udpDatagram(udpPacket({ ...FOUR, fragmentBits: 0x2000 }).bytes)).toBeUndefined();
  expect(udpDatagram(udpPacket({ ...FOUR, fragmentBits: 1 }).bytes)).toBeUndefined();
  expect(udpDatagram(tcpPacket(FOUR).bytes)).toBeUndefined();
  for (const { bytes } of [udpPacket(FOUR), udpPacket(SIX)]) {
    for (let size = 0; size < bytes.length; size++) {
      expect(udpDatagram(bytes.subarray(0, size))).toBeUndefined();
    }
  }
});

test('takes any bytes', () => {
  const first = fc.constantFrom(0x45, 0x4f, 0x60, 0x00);
  fc.assert(
    fc.property(first, fc.uint8Array({ maxLength: 100 }), (version, rest) => {
      udpDatagram(Buffer.from([version, ...rest]));
    }),
  );
});
