/**
 * IP in IP, in all four pairs of families: the outer header is written into the head-room, in place, and taken off again.
 *
 * | inner | protocol number in the outer header |
 * | --- | --- |
 * | IPv4 | 4 (RFC 2003 in IPv4, RFC 2473 in IPv6) |
 * | IPv6 | 41 (RFC 4213 in IPv4, RFC 2473 in IPv6) |
 *
 * The vnet header moves along with the front of the packet. A super-packet must be segmented first (forward/segment.ts): the
 * vnet header has no word for "segment the inner packet". DSCP and ECN are copied outward (RFC 6040 section 4.1, normal mode).
 */
import { VNET_SIZE } from './batch.ts';
import { IPV4_DF, IPV4_HEADER_SIZE, ipVersion, ipv4Tos, ipv4TotalLength, ipv4Write } from './ipv4.ts';
import {
  FRAGMENT_NONE,
  IPV6_DESTINATION,
  IPV6_HEADER_SIZE,
  IPV6_SOURCE,
  ipv6PayloadLength,
  ipv6TrafficClass,
  ipv6Write,
  ipv6WriteAddress,
} from './ipv6.ts';
import { PROTOCOL_IPIP, PROTOCOL_IPV6 } from './protocol.ts';
import {
  VNET_NEEDS_CSUM,
  vnetClear,
  vnetCsumOffset,
  vnetCsumStart,
  vnetHdrLen,
  vnetNeedsChecksum,
  vnetWrite,
} from './virtio.ts';

/** Returned by `innerOffset` when there is no sound packet inside. */
export const NO_INNER = -1;

/** Bytes that an outer header of the family adds. */
export function outerHeaderSize(family: number): number {
  return family === 4 ? IPV4_HEADER_SIZE : IPV6_HEADER_SIZE;
}

/** Protocol number that announces an inner packet of the family. */
export function innerProtocol(family: number): number {
  return family === 4 ? PROTOCOL_IPIP : PROTOCOL_IPV6;
}

/**
 * Writes an outer header in front of the packet at `offset`, and its vnet header in front of that (52 bytes of head-room at most).
 * @param length of the inner packet; with the outer header at most 65,535.
 * @param s0 to `s3`, `d0` to `d3`: outer source and destination, of `outerFamily`.
 * @param identification of an outer IPv4 packet, which routers may fragment unless `dontFragment`.
 * @returns offset of the outer packet, whose length is `length` plus `outerHeaderSize`. Allocates nothing, never throws.
 */
export function prependOuter(
  view: DataView,
  offset: number,
  length: number,
  outerFamily: number,
  s0: number,
  s1: number,
  s2: number,
  s3: number,
  d0: number,
  d1: number,
  d2: number,
  d3: number,
  ttl: number,
  identification: number,
  dontFragment: boolean,
): number {
  const innerFamily = ipVersion(view, offset);
  const protocol = innerProtocol(innerFamily);
  const tos = innerFamily === 4 ? ipv4Tos(view, offset) : ipv6TrafficClass(view, offset);
  const outer = offset - outerHeaderSize(outerFamily);
  moveVnet(view, offset, outer);
  if (outerFamily === 4) {
    const fragment = dontFragment ? IPV4_DF : 0;
    ipv4Write(view, outer, tos, IPV4_HEADER_SIZE + length, identification, fragment, ttl, protocol, s3, d3);
  } else {
    ipv6Write(view, outer, tos, length, protocol, ttl);
    ipv6WriteAddress(view, outer + IPV6_SOURCE, s0, s1, s2, s3);
    ipv6WriteAddress(view, outer + IPV6_DESTINATION, d0, d1, d2, d3);
  }
  return outer;
}

/**
 * Offset of the packet inside a parsed tunnel packet, if the protocol number, the version and the length of what is
 * inside agree; bytes behind the inner packet are allowed. The inner packet is to be parsed in its turn, after `stripOuter`.
 * @param headerLength of the outer packet, `length` its length, `protocol` its upper protocol, `fragment` its FRAGMENT_ constant.
 * @returns NO_INNER otherwise. Allocates nothing, never throws.
 */
export function innerOffset(
  view: DataView,
  offset: number,
  length: number,
  headerLength: number,
  protocol: number,
  fragment: number,
): number {
  if (fragment !== FRAGMENT_NONE) return NO_INNER;
  const inner = offset + headerLength;
  const size = length - headerLength;
  if (protocol === PROTOCOL_IPIP) {
    const sound =
      size >= IPV4_HEADER_SIZE && ipVersion(view, inner) === 4 && ipv4TotalLength(view, inner) <= size;
    return sound ? inner : NO_INNER;
  }
  if (protocol === PROTOCOL_IPV6) {
    if (size < IPV6_HEADER_SIZE || ipVersion(view, inner) !== 6) return NO_INNER;
    return IPV6_HEADER_SIZE + ipv6PayloadLength(view, inner) <= size ? inner : NO_INNER;
  }
  return NO_INNER;
}

/** Takes the outer header off: moves the vnet header back in front of the inner packet. Allocates nothing, never throws. */
export function stripOuter(view: DataView, outer: number, inner: number): void {
  moveVnet(view, outer, inner);
}

/** Moves the vnet header, which may overlap its new place, from one packet start to another, and shifts what counts from there. */
function moveVnet(view: DataView, from: number, to: number): void {
  const shift = from - to;
  if (!vnetNeedsChecksum(view, from)) {
    vnetClear(view, to);
    return;
  }
  const start = vnetCsumStart(view, from) + shift;
  const field = vnetCsumOffset(view, from);
  const hdrLen = vnetHdrLen(view, from);
  const gsoSize = view.getUint16(from - VNET_SIZE + 4, true);
  const gsoType = view.getUint8(from - VNET_SIZE + 1);
  vnetWrite(view, to, VNET_NEEDS_CSUM, gsoType, hdrLen === 0 ? 0 : hdrLen + shift, gsoSize, start, field);
}
