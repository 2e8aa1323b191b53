/**
 * The IPv6 header, in place, and the walk over its extension headers.
 *
 * |  0 | version 4, traffic class 8, flow label 20 |
 * |  4 | payload length 16 | next header 8 | hop limit 8 |
 * |  8 | source 128 | 24 | destination 128 | 40 |
 *
 * The walk passes hop-by-hop options (first only), routing headers that are used up (segments left 0), destination options,
 * fragment and authentication headers; it ends at anything else, or after IPV6_CHAIN_LIMIT of them. A routing header with
 * segments left is refused: the destination is then not the one that the transport checksum covers, and a dispatcher is not
 * the router that it names. Source: RFC 8200 sections 3 and 4; RFC 4302 (AH length in units of 4); RFC 6946 (atomic fragments).
 */
import {
  PROTOCOL_AUTHENTICATION,
  PROTOCOL_DESTINATION_OPTIONS,
  PROTOCOL_FRAGMENT,
  PROTOCOL_HOP_BY_HOP,
  PROTOCOL_ROUTING,
} from './protocol.ts';

export const IPV6_HEADER_SIZE = 40;
export const IPV6_PAYLOAD_LENGTH = 4;
export const IPV6_NEXT_HEADER = 6;
export const IPV6_HOP_LIMIT = 7;
export const IPV6_SOURCE = 8;
export const IPV6_DESTINATION = 24;

/** Extension headers passed in one packet; real ones have one or two, RFC 8883 lets a node stop at a limit of its own. */
export const IPV6_CHAIN_LIMIT = 8;

/** Traffic class: DSCP and ECN, as the TOS byte of IPv4. */
export function ipv6TrafficClass(view: DataView, offset: number): number {
  return (view.getUint16(offset) >>> 4) & 0xff;
}

/** 20 bits. */
export function ipv6FlowLabel(view: DataView, offset: number): number {
  return view.getUint32(offset) & 0xfffff;
}

/** Bytes after the 40 of the header. */
export function ipv6PayloadLength(view: DataView, offset: number): number {
  return view.getUint16(offset + IPV6_PAYLOAD_LENGTH);
}

/** Protocol number of the first header after the fixed one. */
export function ipv6NextHeader(view: DataView, offset: number): number {
  return view.getUint8(offset + IPV6_NEXT_HEADER);
}

export function ipv6HopLimit(view: DataView, offset: number): number {
  return view.getUint8(offset + IPV6_HOP_LIMIT);
}

/** Word `index` (0 to 3) of the source, host order, unsigned. */
export function ipv6Source(view: DataView, offset: number, index: number): number {
  return view.getUint32(offset + IPV6_SOURCE + index * 4);
}

/** Word `index` (0 to 3) of the destination, host order, unsigned. */
export function ipv6Destination(view: DataView, offset: number, index: number): number {
  return view.getUint32(offset + IPV6_DESTINATION + index * 4);
}

/** Takes one from the hop limit, which must not be 0. No checksum covers it. */
export function ipv6DecrementHopLimit(view: DataView, offset: number): void {
  view.setUint8(offset + IPV6_HOP_LIMIT, view.getUint8(offset + IPV6_HOP_LIMIT) - 1);
}

/** Stores an address at IPV6_SOURCE or IPV6_DESTINATION. */
export function ipv6WriteAddress(
  view: DataView,
  at: number,
  a0: number,
  a1: number,
  a2: number,
  a3: number,
): void {
  view.setUint32(at, a0);
  view.setUint32(at + 4, a1);
  view.setUint32(at + 8, a2);
  view.setUint32(at + 12, a3);
}

/** Writes the first 8 bytes of a header (flow label 0); the addresses are the caller's. Allocates nothing, never throws. */
export function ipv6Write(
  view: DataView,
  offset: number,
  trafficClass: number,
  payloadLength: number,
  nextHeader: number,
  hopLimit: number,
): void {
  view.setUint32(offset, 0x60000000 | (trafficClass << 20));
  view.setUint16(offset + IPV6_PAYLOAD_LENGTH, payloadLength);
  view.setUint8(offset + IPV6_NEXT_HEADER, nextHeader);
  view.setUint8(offset + IPV6_HOP_LIMIT, hopLimit);
}

/** Outcome of a walk: packed as below, or one of these. */
export const CHAIN_TRUNCATED = -1;
export const CHAIN_BAD = -2;

/** Fragment part of a walk's outcome, and of a parsed packet. */
export const FRAGMENT_NONE = 0;
export const FRAGMENT_FIRST = 1;
export const FRAGMENT_LATER = 2;

/**
 * Walks the extension headers of a packet.
 * @param end offset at which the packet's bytes end; nothing is read from there on.
 * @returns protocol | fragment << 8 | header length << 10 (take it apart with chainProtocol, chainFragment, chainHeaderLength), CHAIN_TRUNCATED
 * when a header lies beyond the end, CHAIN_BAD for one that is misplaced, refused or one too many. Needs the 40 bytes of the
 * fixed header. A later fragment ends the walk: what follows its header is payload. Allocates nothing, never throws.
 */
export function ipv6WalkChain(view: DataView, offset: number, end: number): number {
  let protocol = ipv6NextHeader(view, offset);
  let at = offset + IPV6_HEADER_SIZE;
  let fragment = FRAGMENT_NONE;
  for (let steps = 0; isExtension(protocol); steps++) {
    if (at + 8 > end) return CHAIN_TRUNCATED;
    if (steps === IPV6_CHAIN_LIMIT) return CHAIN_BAD;
    if (protocol === PROTOCOL_HOP_BY_HOP && steps > 0) return CHAIN_BAD;
    if (protocol === PROTOCOL_ROUTING && view.getUint8(at + 3) !== 0) return CHAIN_BAD;
    const size = extensionSize(view, at, protocol);
    if (size < 8) return CHAIN_BAD;
    if (at + size > end) return CHAIN_TRUNCATED;
    if (protocol === PROTOCOL_FRAGMENT) {
      const bits = view.getUint16(at + 2);
      if ((bits & 0xfff8) !== 0) fragment = FRAGMENT_LATER;
      else if ((bits & 1) !== 0) fragment = FRAGMENT_FIRST;
    }
    protocol = view.getUint8(at);
    at += size;
    if (fragment === FRAGMENT_LATER) break;
  }
  return protocol | (fragment << 8) | ((at - offset) << 10);
}

/** Upper protocol of a walk's outcome; after a later fragment, the one that its header names. */
export function chainProtocol(packed: number): number {
  return packed & 0xff;
}

/** FRAGMENT_ constant of a walk's outcome; an atomic fragment (RFC 6946) is none. */
export function chainFragment(packed: number): number {
  return (packed >>> 8) & 3;
}

/** Bytes from the start of the IPv6 header to the upper-layer header. */
export function chainHeaderLength(packed: number): number {
  return packed >>> 10;
}

function isExtension(protocol: number): boolean {
  return (
    protocol === PROTOCOL_HOP_BY_HOP ||
    protocol === PROTOCOL_ROUTING ||
    protocol === PROTOCOL_FRAGMENT ||
    protocol === PROTOCOL_AUTHENTICATION ||
    protocol === PROTOCOL_DESTINATION_OPTIONS
  );
}

function extensionSize(view: DataView, at: number, protocol: number): number {
  if (protocol === PROTOCOL_FRAGMENT) return 8;
  const units = view.getUint8(at + 1);
  return protocol === PROTOCOL_AUTHENTICATION ? (units + 2) * 4 : (units + 1) * 8;
}
