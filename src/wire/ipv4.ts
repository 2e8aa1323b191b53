/**
 * The IPv4 header, in place.
 *
 * |  0 | version 4, ihl 4 | tos 8 | total length 16 |
 * |  4 | identification 16 | flags 3 (reserved, DF, MF), fragment offset 13 in units of 8 bytes |
 * |  8 | ttl 8 | protocol 8 | header checksum 16 |
 * | 12 | source 32 | 16 | destination 32 | 20 | options to ihl * 4 |
 *
 * Getters need 20 bytes from the offset and cannot fail. The header checksum is always full, whatever the vnet header says.
 * Source: RFC 791 section 3.1.
 */
import { deltaWord16, foldSum, sumBytes, updateChecksum } from './checksum.ts';

export const IPV4_HEADER_SIZE = 20;
export const IPV4_TOS = 1;
export const IPV4_TOTAL_LENGTH = 2;
export const IPV4_IDENTIFICATION = 4;
export const IPV4_FRAGMENT = 6;
export const IPV4_TTL = 8;
export const IPV4_PROTOCOL = 9;
export const IPV4_CHECKSUM = 10;
export const IPV4_SOURCE = 12;
export const IPV4_DESTINATION = 16;

/** Bits of the 16-bit flags and fragment offset field. */
export const IPV4_DF = 0x4000;
export const IPV4_MF = 0x2000;
export const IPV4_FRAGMENT_MASK = 0x1fff;

/** 4 or 6 for IP packets; any nibble for others. */
export function ipVersion(view: DataView, offset: number): number {
  return view.getUint8(offset) >>> 4;
}

/** Header size in bytes, options included: 0 to 60, below 20 in a header that lies. */
export function ipv4HeaderSize(view: DataView, offset: number): number {
  return (view.getUint8(offset) & 15) << 2;
}

export function ipv4Tos(view: DataView, offset: number): number {
  return view.getUint8(offset + IPV4_TOS);
}

export function ipv4TotalLength(view: DataView, offset: number): number {
  return view.getUint16(offset + IPV4_TOTAL_LENGTH);
}

export function ipv4Identification(view: DataView, offset: number): number {
  return view.getUint16(offset + IPV4_IDENTIFICATION);
}

/** Whether the sender forbids fragmentation. */
export function ipv4DontFragment(view: DataView, offset: number): boolean {
  return (view.getUint16(offset + IPV4_FRAGMENT) & IPV4_DF) !== 0;
}

/** MF and the fragment offset: zero for a packet that is no fragment. */
export function ipv4FragmentBits(view: DataView, offset: number): number {
  return view.getUint16(offset + IPV4_FRAGMENT) & (IPV4_MF | IPV4_FRAGMENT_MASK);
}

export function ipv4Ttl(view: DataView, offset: number): number {
  return view.getUint8(offset + IPV4_TTL);
}

export function ipv4Protocol(view: DataView, offset: number): number {
  return view.getUint8(offset + IPV4_PROTOCOL);
}

export function ipv4Checksum(view: DataView, offset: number): number {
  return view.getUint16(offset + IPV4_CHECKSUM);
}

/** Host order, unsigned. */
export function ipv4Source(view: DataView, offset: number): number {
  return view.getUint32(offset + IPV4_SOURCE);
}

/** Host order, unsigned. */
export function ipv4Destination(view: DataView, offset: number): number {
  return view.getUint32(offset + IPV4_DESTINATION);
}

/** Whether the sum over the header, checksum included, is right. */
export function ipv4ChecksumValid(view: DataView, offset: number, headerSize: number): boolean {
  return sumBytes(view, offset, headerSize) === 0xffff;
}

/** Computes and stores the header checksum. Allocates nothing, never throws. */
export function ipv4WriteChecksum(view: DataView, offset: number, headerSize: number): void {
  view.setUint16(offset + IPV4_CHECKSUM, 0);
  view.setUint16(offset + IPV4_CHECKSUM, ~sumBytes(view, offset, headerSize) & 0xffff);
}

/** Moves the header checksum by a delta of words in the header. */
export function ipv4MoveChecksum(view: DataView, offset: number, delta: number): void {
  view.setUint16(offset + IPV4_CHECKSUM, updateChecksum(view.getUint16(offset + IPV4_CHECKSUM), delta));
}

/**
 * Takes one from the TTL, which must not be 0, and moves the checksum: TTL is the high byte of its word, so its fall by one
 * adds 0x0100 to the checksum (RFC 1141's example, in RFC 1624 arithmetic). Allocates nothing, never throws.
 */
export function ipv4DecrementTtl(view: DataView, offset: number): void {
  view.setUint8(offset + IPV4_TTL, view.getUint8(offset + IPV4_TTL) - 1);
  const checksum = view.getUint16(offset + IPV4_CHECKSUM);
  view.setUint16(offset + IPV4_CHECKSUM, ~foldSum((~checksum & 0xffff) + 0xfeff) & 0xffff);
}

/** Stores the total length and moves the checksum. */
export function ipv4SetTotalLength(view: DataView, offset: number, length: number): void {
  const before = view.getUint16(offset + IPV4_TOTAL_LENGTH);
  view.setUint16(offset + IPV4_TOTAL_LENGTH, length);
  ipv4MoveChecksum(view, offset, deltaWord16(before, length));
}

/**
 * Writes a header without options and with its checksum.
 * @param fragment the flags and fragment offset field: IPV4_DF or 0.
 * Allocates nothing, never throws.
 */
export function ipv4Write(
  view: DataView,
  offset: number,
  tos: number,
  totalLength: number,
  identification: number,
  fragment: number,
  ttl: number,
  protocol: number,
  source: number,
  destination: number,
): void {
  view.setUint8(offset, 0x45);
  view.setUint8(offset + IPV4_TOS, tos);
  view.setUint16(offset + IPV4_TOTAL_LENGTH, totalLength);
  view.setUint16(offset + IPV4_IDENTIFICATION, identification);
  view.setUint16(offset + IPV4_FRAGMENT, fragment);
  view.setUint8(offset + IPV4_TTL, ttl);
  view.setUint8(offset + IPV4_PROTOCOL, protocol);
  view.setUint32(offset + IPV4_SOURCE, source);
  view.setUint32(offset + IPV4_DESTINATION, destination);
  ipv4WriteChecksum(view, offset, IPV4_HEADER_SIZE);
}
