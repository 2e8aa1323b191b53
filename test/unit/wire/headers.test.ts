import { describe, expect, it } from 'vitest';
import {
  ICMP_KIND_ECHO_REPLY,
  ICMP_KIND_ECHO_REQUEST,
  ICMP_KIND_ERROR,
  ICMP_KIND_OTHER,
  icmpChecksum,
  icmpCode,
  icmpKind,
  icmpMtu,
  icmpType,
} from '../../../src/wire/icmp.ts';
import {
  IPV4_DF,
  IPV4_MF,
  ipv4Checksum,
  ipv4ChecksumValid,
  ipv4DecrementTtl,
  ipv4Destination,
  ipv4DontFragment,
  ipv4FragmentBits,
  ipv4HeaderSize,
  ipv4Identification,
  ipv4Protocol,
  ipv4SetTotalLength,
  ipv4Source,
  ipv4Tos,
  ipv4TotalLength,
  ipv4Ttl,
  ipv4Write,
} from '../../../src/wire/ipv4.ts';
import {
  IPV6_DESTINATION,
  IPV6_SOURCE,
  ipv6DecrementHopLimit,
  ipv6Destination,
  ipv6FlowLabel,
  ipv6HopLimit,
  ipv6NextHeader,
  ipv6PayloadLength,
  ipv6Source,
  ipv6TrafficClass,
  ipv6Write,
  ipv6WriteAddress,
} from '../../../src/wire/ipv6.ts';
import {
  NO_MSS,
  TCP_ACK,
  TCP_CWR,
  TCP_ECE,
  TCP_FIN,
  TCP_PSH,
  TCP_RST,
  TCP_SYN,
  TCP_URG,
  tcpAcknowledgment,
  tcpChecksum,
  tcpClampMss,
  tcpDestinationPort,
  tcpFindMss,
  tcpFlags,
  tcpHeaderSize,
  tcpSequence,
  tcpSourcePort,
  tcpWrite,
} from '../../../src/wire/tcp.ts';
import {
  udpChecksum,
  udpDestinationPort,
  udpLength,
  udpSourcePort,
  udpWrite,
} from '../../../src/wire/udp.ts';
import {
  GSO_TCPV6,
  VNET_NEEDS_CSUM,
  vnetClear,
  vnetCsumOffset,
  vnetCsumStart,
  vnetFlags,
  vnetGsoSize,
  vnetGsoType,
  vnetHdrLen,
  vnetNeedsChecksum,
  vnetWrite,
} from '../../../src/wire/virtio.ts';
import { tcpPacket } from '../../support/packets.ts';

/** Poison, so that a field that a writer forgets shows. */
function poisoned(): DataView {
  return new DataView(new Uint8Array(128).fill(0xa5).buffer);
}

function hex(view: DataView, offset: number, size: number): string {
  return Buffer.from(view.buffer, offset, size).toString('hex');
}

describe('header views, put together and taken apart', () => {
  it('IPv4', () => {
    const view = poisoned();
    ipv4Write(view, 4, 0x2e, 1500, 0x1234, IPV4_DF, 63, 17, 0xc0000201, 0xc6336402);
    expect(hex(view, 0, 28)).toBe('a5a5a5a5452e05dc123440003f113778c0000201c6336402a5a5a5a5');
    expect(ipv4ChecksumValid(view, 4, 20)).toBe(true);
    expect([ipv4HeaderSize(view, 4), ipv4Tos(view, 4), ipv4TotalLength(view, 4)]).toEqual([20, 0x2e, 1500]);
    expect([ipv4Identification(view, 4), ipv4Ttl(view, 4), ipv4Protocol(view, 4)]).toEqual([0x1234, 63, 17]);
    expect([ipv4Source(view, 4), ipv4Destination(view, 4)]).toEqual([0xc0000201, 0xc6336402]);
    expect([ipv4DontFragment(view, 4), ipv4FragmentBits(view, 4)]).toEqual([true, 0]);
    for (let ttl = 62; ttl >= 0; ttl--) {
      ipv4DecrementTtl(view, 4);
      expect(ipv4Ttl(view, 4)).toBe(ttl);
      expect(ipv4ChecksumValid(view, 4, 20)).toBe(true);
    }
    ipv4SetTotalLength(view, 4, 20);
    expect(ipv4ChecksumValid(view, 4, 20)).toBe(true);
    ipv4Write(view, 4, 0, 20, 0, IPV4_MF | 7, 1, 6, 1, 2);
    expect([ipv4DontFragment(view, 4), ipv4FragmentBits(view, 4)]).toEqual([false, IPV4_MF | 7]);
  });

  it('the IPv4 checksum of a published header', () => {
    // The example header of Wikipedia's "Internet checksum": 4500 0073 0000 4000 4011 b861 c0a8 0001 c0a8 00c7.
    const view = poisoned();
    ipv4Write(view, 0, 0, 0x73, 0, IPV4_DF, 64, 17, 0xc0a80001, 0xc0a800c7);
    expect(ipv4Checksum(view, 0)).toBe(0xb861);
  });

  it('IPv6', () => {
    const view = poisoned();
    ipv6Write(view, 4, 0xb8, 1232, 58, 2);
    ipv6WriteAddress(view, 4 + IPV6_SOURCE, 1, 2, 3, 4);
    ipv6WriteAddress(view, 4 + IPV6_DESTINATION, 0xfffffff0, 6, 7, 8);
    expect(hex(view, 0, 12)).toBe('a5a5a5a56b80000004d03a02');
    expect([ipv6TrafficClass(view, 4), ipv6FlowLabel(view, 4)]).toEqual([0xb8, 0]);
    expect([ipv6PayloadLength(view, 4), ipv6NextHeader(view, 4), ipv6HopLimit(view, 4)]).toEqual([
      1232, 58, 2,
    ]);
    expect([0, 1, 2, 3].map((word) => ipv6Source(view, 4, word))).toEqual([1, 2, 3, 4]);
    expect([0, 1, 2, 3].map((word) => ipv6Destination(view, 4, word))).toEqual([0xfffffff0, 6, 7, 8]);
    ipv6DecrementHopLimit(view, 4);
    expect(ipv6HopLimit(view, 4)).toBe(1);
    expect(hex(view, 44, 2)).toBe('a5a5');
  });

  it('TCP and UDP', () => {
    const view = poisoned();
    tcpWrite(view, 4, 80, 65_535, 0xfffffffe, 0x80000000, 0x12, 512);
    expect(hex(view, 2, 24)).toBe('a5a50050fffffffffffe8000000050120200' + '00000000' + 'a5a5');
    expect([tcpSourcePort(view, 4), tcpDestinationPort(view, 4), tcpFlags(view, 4)]).toEqual([
      80, 65_535, 0x12,
    ]);
    expect([tcpSequence(view, 4), tcpAcknowledgment(view, 4), tcpHeaderSize(view, 4)]).toEqual([
      0xfffffffe, 0x80000000, 20,
    ]);
    const other = poisoned();
    udpWrite(other, 4, 53, 40_000, 512);
    expect(hex(other, 2, 12)).toBe('a5a500359c4002000000a5a5');
    expect([
      udpSourcePort(other, 4),
      udpDestinationPort(other, 4),
      udpLength(other, 4),
      udpChecksum(other, 4),
    ]).toEqual([53, 40_000, 512, 0]);
  });

  it('TCP flags and checksum field', () => {
    const view = poisoned();
    const all = [TCP_FIN, TCP_SYN, TCP_RST, TCP_PSH, TCP_ACK, TCP_URG, TCP_ECE, TCP_CWR];
    expect(all).toEqual([1, 2, 4, 8, 16, 32, 64, 128]);
    tcpWrite(view, 0, 1, 2, 3, 4, TCP_CWR | TCP_FIN, 5);
    expect(view.getUint8(13)).toBe(0x81);
    view.setUint16(16, 0x1234);
    expect(tcpChecksum(view, 0)).toBe(0x1234);
  });

  it('ICMP', () => {
    const view = poisoned();
    view.setUint32(8, 0x0304_b861);
    expect([icmpType(view, 8), icmpCode(view, 8), icmpChecksum(view, 8)]).toEqual([3, 4, 0xb861]);
  });

  it('the vnet header, little-endian, before the packet', () => {
    const view = poisoned();
    vnetWrite(view, 16, VNET_NEEDS_CSUM, GSO_TCPV6 | 0x80, 60, 1440, 40, 16);
    expect(hex(view, 3, 14)).toBe('a501843c00a005280010000000a5');
    expect([vnetFlags(view, 16), vnetNeedsChecksum(view, 16), vnetGsoType(view, 16)]).toEqual([
      1,
      true,
      GSO_TCPV6,
    ]);
    expect([
      vnetHdrLen(view, 16),
      vnetGsoSize(view, 16),
      vnetCsumStart(view, 16),
      vnetCsumOffset(view, 16),
    ]).toEqual([60, 1440, 40, 16]);
    vnetClear(view, 16);
    expect(hex(view, 3, 14)).toBe('a5000000000000000000000000a5');
  });
});

describe('MSS', () => {
  const at = (options: number[]) => new DataView(Uint8Array.from(syn(options)).buffer);
  const syn = (options: number[]) =>
    tcpPacket({
      source: '192.0.2.1',
      destination: '192.0.2.2',
      sourcePort: 1,
      destinationPort: 2,
      flags: 2,
      options: Buffer.from(options),
    }).bytes;

  it.each<[string, number[], number]>([
    ['first', [2, 4, 5, 0xb4], 42],
    ['behind NOPs, at an odd offset', [1, 2, 4, 5, 0xb4, 0, 0, 0], 43],
    ['behind other options', [3, 3, 7, 4, 2, 2, 4, 5, 0xb4, 0, 0, 0], 47],
    ['behind the end of the list', [0, 2, 4, 5], NO_MSS],
    ['cut', [1, 1, 2, 4], NO_MSS],
    ['of no length', [3, 0, 2, 4, 5, 0xb4, 0, 0], NO_MSS],
    ['of a wrong size', [2, 3, 5, 0], NO_MSS],
    ['a kind without its length', [1, 1, 1, 2], NO_MSS],
    ['none', [], NO_MSS],
  ])('finds it: %s', (_name, options, expected) => {
    expect(tcpFindMss(at(options), 20)).toBe(expected);
  });

  it('lowers, never raises', () => {
    const view = at([2, 4, 5, 0xb4]);
    expect(tcpClampMss(view, 20, 1460, false)).toBe(false);
    expect(tcpClampMss(view, 20, 1400, false)).toBe(true);
    expect(view.getUint16(42)).toBe(1400);
    expect(tcpClampMss(view, 20, 1401, false)).toBe(false);
  });
});

describe('ICMP kinds', () => {
  it('tells echo, errors and the rest apart', () => {
    const kinds = (family: number) => Array.from({ length: 256 }, (_, type) => icmpKind(family, type));
    const where = (family: number, kind: number) =>
      kinds(family).flatMap((one, type) => (one === kind ? [type] : []));
    expect(where(4, ICMP_KIND_ECHO_REQUEST)).toEqual([8]);
    expect(where(4, ICMP_KIND_ECHO_REPLY)).toEqual([0]);
    expect(where(4, ICMP_KIND_ERROR)).toEqual([3, 11, 12]);
    expect(where(6, ICMP_KIND_ECHO_REQUEST)).toEqual([128]);
    expect(where(6, ICMP_KIND_ECHO_REPLY)).toEqual([129]);
    expect(where(6, ICMP_KIND_ERROR)).toEqual([1, 2, 3, 4]);
    expect(where(6, ICMP_KIND_OTHER).length).toBe(250);
  });

  it('reads the MTU where each family keeps it', () => {
    const view = poisoned();
    view.setUint32(4, 0x0001_05dc);
    expect(icmpMtu(view, 0, 4)).toBe(1500);
    expect(icmpMtu(view, 0, 6)).toBe(0x1_05dc);
  });
});
