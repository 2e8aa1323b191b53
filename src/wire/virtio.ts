/**
 * The vnet header: 12 bytes right before each packet, by which the kernel and a TUN owner tell each other about unfinished
 * checksums and super-packets. All fields are little-endian (`TUNSETVNETLE`, or native on the hosts we run on).
 *
 * | offset | field | range |
 * | --- | --- | --- |
 * | 0 | flags | NEEDS_CSUM 1, DATA_VALID 2 |
 * | 1 | gso_type | 0 none, 1 TCPv4, 4 TCPv6, 5 UDP_L4; bit 7 ECN |
 * | 2 | hdr_len | a hint: the kernel sends the size of its linear part, not that of the headers |
 * | 4 | gso_size | payload bytes of each segment |
 * | 6 | csum_start | where the sum begins, from the start of the packet: the transport header |
 * | 8 | csum_offset | where the field lies, from csum_start |
 * | 10 | num_buffers | not written by TUN reads, ignored by writes |
 *
 * Accessors take the offset of the *packet*. Source: linux/virtio_net.h; virtio 1.2 section 5.1.6.
 */
import { VNET_SIZE } from './batch.ts';
import { PROTOCOL_ICMPV6, PROTOCOL_TCP, PROTOCOL_UDP } from './protocol.ts';

export const VNET_NEEDS_CSUM = 1;
export const VNET_DATA_VALID = 2;
export const GSO_NONE = 0;
export const GSO_TCPV4 = 1;
export const GSO_TCPV6 = 4;
export const GSO_UDP_L4 = 5;
/** Set beside a TCP type when the first segment carries CWR. */
export const GSO_ECN = 0x80;

export const VNET_FLAGS = 0;
export const VNET_GSO_TYPE = 1;
export const VNET_HDR_LEN = 2;
export const VNET_GSO_SIZE = 4;
export const VNET_CSUM_START = 6;
export const VNET_CSUM_OFFSET = 8;

/** Flags byte. */
export function vnetFlags(view: DataView, packet: number): number {
  return view.getUint8(packet - VNET_SIZE + VNET_FLAGS);
}

/** Whether the transport checksum field holds only the folded pseudo-header sum. */
export function vnetNeedsChecksum(view: DataView, packet: number): boolean {
  return (view.getUint8(packet - VNET_SIZE + VNET_FLAGS) & VNET_NEEDS_CSUM) !== 0;
}

/** GSO type without the ECN bit: a GSO_ constant, if the header was checked. */
export function vnetGsoType(view: DataView, packet: number): number {
  return view.getUint8(packet - VNET_SIZE + VNET_GSO_TYPE) & ~GSO_ECN;
}

export function vnetHdrLen(view: DataView, packet: number): number {
  return view.getUint16(packet - VNET_SIZE + VNET_HDR_LEN, true);
}

/** Payload bytes a segment. */
export function vnetGsoSize(view: DataView, packet: number): number {
  return view.getUint16(packet - VNET_SIZE + VNET_GSO_SIZE, true);
}

/** Offset from the start of the packet. */
export function vnetCsumStart(view: DataView, packet: number): number {
  return view.getUint16(packet - VNET_SIZE + VNET_CSUM_START, true);
}

/** Offset from csum_start. */
export function vnetCsumOffset(view: DataView, packet: number): number {
  return view.getUint16(packet - VNET_SIZE + VNET_CSUM_OFFSET, true);
}

/** Writes "nothing is left to do": full checksums, one packet. Allocates nothing, never throws. */
export function vnetClear(view: DataView, packet: number): void {
  view.setUint32(packet - 12, 0);
  view.setUint32(packet - 8, 0);
  view.setUint32(packet - 4, 0);
}

/** Writes a whole vnet header; num_buffers becomes 0. Allocates nothing, never throws. */
export function vnetWrite(
  view: DataView,
  packet: number,
  flags: number,
  gsoType: number,
  hdrLen: number,
  gsoSize: number,
  csumStart: number,
  csumOffset: number,
): void {
  const at = packet - VNET_SIZE;
  view.setUint8(at + VNET_FLAGS, flags);
  view.setUint8(at + VNET_GSO_TYPE, gsoType);
  view.setUint16(at + VNET_HDR_LEN, hdrLen, true);
  view.setUint16(at + VNET_GSO_SIZE, gsoSize, true);
  view.setUint16(at + VNET_CSUM_START, csumStart, true);
  view.setUint16(at + VNET_CSUM_OFFSET, csumOffset, true);
  view.setUint16(at + 10, 0);
}

/** Offset of the checksum field in a transport header, or -1 for protocols without one that we know. */
export function checksumFieldOffset(protocol: number): number {
  if (protocol === PROTOCOL_TCP) return 16;
  if (protocol === PROTOCOL_UDP) return 6;
  return protocol === PROTOCOL_ICMPV6 ? 2 : -1;
}

/**
 * Whether the vnet header fits the packet behind it.
 *
 * NEEDS_CSUM: csum_start is the transport header and csum_offset its checksum field; for protocols that we do not know both lie in
 * the packet. GSO: the type fits family and protocol, gso_size is not 0, and the checksum is left to do, as it is in each
 * super-packet that Linux makes. hdr_len never exceeds the packet.
 * @param headerLength offset of the transport header in the packet.
 * @param fragment whether the packet is a fragment: those have nothing left to do.
 * Allocates nothing, never throws.
 */
export function vnetFits(
  view: DataView,
  packet: number,
  length: number,
  family: number,
  protocol: number,
  headerLength: number,
  fragment: boolean,
): boolean {
  const flags = vnetFlags(view, packet);
  const gsoType = view.getUint8(packet - VNET_SIZE + VNET_GSO_TYPE);
  if ((flags & VNET_NEEDS_CSUM) === 0) return gsoType === GSO_NONE;
  if (fragment || vnetHdrLen(view, packet) > length) return false;
  const start = vnetCsumStart(view, packet);
  const field = vnetCsumOffset(view, packet);
  const known = checksumFieldOffset(protocol);
  if (known >= 0 ? start !== headerLength || field !== known : start + field + 2 > length) return false;
  if (gsoType === GSO_NONE) return true;
  if (vnetGsoSize(view, packet) === 0) return false;
  switch (gsoType & ~GSO_ECN) {
    case GSO_TCPV4:
      return family === 4 && protocol === PROTOCOL_TCP;
    case GSO_TCPV6:
      return family === 6 && protocol === PROTOCOL_TCP;
    default:
      return gsoType === GSO_UDP_L4 && protocol === PROTOCOL_UDP;
  }
}
