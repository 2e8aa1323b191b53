/**
 * Changing an end of a packet in place: address and port of the source or destination, with every checksum that covers them.
 *
 * `partial` is the NEEDS_CSUM flag of the packet's vnet header. Partial: the transport field holds the folded pseudo-header sum,
 * so addresses move it, uncomplemented, and ports do not. Full: RFC 1624; a UDP checksum of 0 stays 0, and a result of 0 becomes
 * 0xffff. The IPv4 header checksum is always full. The packet must have been parsed (parse.ts). Getting partial and full mixed up
 * is invisible on virtual links, whose receivers trust the mark: test with the receiver's checksum offload off.
 *
 * The functions allocate nothing and never throw.
 */
import { deltaWord16, deltaWord32, foldSum, updateChecksum, updatePartialSum } from './checksum.ts';
import { ICMP_CHECKSUM, ICMP_HEADER_SIZE } from './icmp.ts';
import { IPV4_CHECKSUM, IPV4_DESTINATION, IPV4_SOURCE } from './ipv4.ts';
import { IPV6_DESTINATION, IPV6_SOURCE, ipv6WriteAddress } from './ipv6.ts';
import { PROTOCOL_ICMPV6, PROTOCOL_TCP, PROTOCOL_UDP } from './protocol.ts';
import { TCP_CHECKSUM } from './tcp.ts';
import { UDP_CHECKSUM } from './udp.ts';

/** Which end a rewrite changes. */
export const SIDE_SOURCE = 0;
export const SIDE_DESTINATION = 1;

/**
 * Changes address and port of one end of a TCP or UDP packet that is no later fragment.
 * @param headerLength bytes from the IP header to the transport header.
 * @param side SIDE_SOURCE or SIDE_DESTINATION.
 * @param a0 to `a3`: the new address, of the packet's family.
 */
export function rewriteEndpoint(
  view: DataView,
  offset: number,
  family: number,
  protocol: number,
  headerLength: number,
  side: number,
  a0: number,
  a1: number,
  a2: number,
  a3: number,
  port: number,
  partial: boolean,
): void {
  const delta = rewriteAddress(view, offset, family, side, a0, a1, a2, a3);
  const transport = offset + headerLength;
  const portAt = transport + side * 2;
  const portDelta = deltaWord16(view.getUint16(portAt), port);
  view.setUint16(portAt, port);
  moveTransportChecksum(view, transport, protocol, delta, portDelta, partial);
}

/**
 * Changes one address in the IP header, and the IPv4 header checksum, but no transport checksum.
 * @returns the delta that a transport checksum with a pseudo-header has to move by.
 */
export function rewriteAddress(
  view: DataView,
  offset: number,
  family: number,
  side: number,
  a0: number,
  a1: number,
  a2: number,
  a3: number,
): number {
  if (family === 4) {
    const at = offset + (side === SIDE_SOURCE ? IPV4_SOURCE : IPV4_DESTINATION);
    const delta = deltaWord32(view.getInt32(at), a3);
    view.setUint32(at, a3);
    const checksum = view.getUint16(offset + IPV4_CHECKSUM);
    view.setUint16(offset + IPV4_CHECKSUM, updateChecksum(checksum, delta));
    return delta;
  }
  const at = offset + (side === SIDE_SOURCE ? IPV6_SOURCE : IPV6_DESTINATION);
  const delta =
    deltaWord32(view.getInt32(at), a0) +
    deltaWord32(view.getInt32(at + 4), a1) +
    deltaWord32(view.getInt32(at + 8), a2) +
    deltaWord32(view.getInt32(at + 12), a3);
  ipv6WriteAddress(view, at, a0, a1, a2, a3);
  return delta;
}

/** Changes the port of one end of a TCP or UDP packet that is no later fragment. */
export function rewritePort(
  view: DataView,
  offset: number,
  protocol: number,
  headerLength: number,
  side: number,
  port: number,
  partial: boolean,
): void {
  const transport = offset + headerLength;
  const portAt = transport + side * 2;
  const portDelta = deltaWord16(view.getUint16(portAt), port);
  view.setUint16(portAt, port);
  moveTransportChecksum(view, transport, protocol, 0, portDelta, partial);
}

/** Moves the TCP or UDP checksum by what changed in the pseudo-header and in the header itself. */
function moveTransportChecksum(
  view: DataView,
  transport: number,
  protocol: number,
  addressDelta: number,
  portDelta: number,
  partial: boolean,
): void {
  const at = transport + (protocol === PROTOCOL_TCP ? TCP_CHECKSUM : UDP_CHECKSUM);
  const before = view.getUint16(at);
  if (partial) {
    view.setUint16(at, updatePartialSum(before, addressDelta));
  } else if (protocol === PROTOCOL_TCP) {
    view.setUint16(at, updateChecksum(before, addressDelta + portDelta));
  } else if (before !== 0) {
    const after = updateChecksum(before, addressDelta + portDelta);
    view.setUint16(at, after === 0 ? 0xffff : after);
  }
}

/**
 * Changes one address of an ICMP packet's own IP header, and what covers it: ICMPv6 has a pseudo-header, ICMP has none.
 */
export function rewriteIcmpAddress(
  view: DataView,
  offset: number,
  family: number,
  headerLength: number,
  side: number,
  a0: number,
  a1: number,
  a2: number,
  a3: number,
  partial: boolean,
): void {
  const delta = rewriteAddress(view, offset, family, side, a0, a1, a2, a3);
  if (family === 4) return;
  moveIcmpChecksum(view, offset + headerLength, PROTOCOL_ICMPV6, delta, partial);
}

function moveIcmpChecksum(
  view: DataView,
  icmp: number,
  protocol: number,
  delta: number,
  partial: boolean,
): void {
  const at = icmp + ICMP_CHECKSUM;
  const before = view.getUint16(at);
  if (!partial) view.setUint16(at, updateChecksum(before, delta));
  else if (protocol === PROTOCOL_ICMPV6) view.setUint16(at, updatePartialSum(before, delta));
}

/**
 * Changes one end of the packet that an ICMP error quotes, as the end that is to receive the error knows it, with the quoted
 * IPv4 header checksum, the quoted transport checksum where the quote reaches that far (RFC 5508 section 4.2), and the
 * checksum of the error, which covers all of it.
 *
 * A quoted checksum that was 0 in UDP stays 0. Each changed word moves the error's checksum, so a wrong one stays wrong.
 * @param icmp offset of the ICMP header; the quote begins 8 bytes later.
 * @param end offset where the error ends, exclusive.
 * @param family of both packets.
 * @param protocol of the quoted packet: TCP or UDP.
 * @param headerLength of the quoted packet, from `parseQuote`.
 * @param partial the error's own checksum is left to do: its field does not cover the quote and stays.
 */
export function rewriteQuote(
  view: DataView,
  icmp: number,
  end: number,
  family: number,
  protocol: number,
  headerLength: number,
  side: number,
  a0: number,
  a1: number,
  a2: number,
  a3: number,
  port: number,
  partial: boolean,
): void {
  const quote = icmp + ICMP_HEADER_SIZE;
  const headerChecksum = family === 4 ? view.getUint16(quote + IPV4_CHECKSUM) : 0;
  const addressDelta = rewriteAddress(view, quote, family, side, a0, a1, a2, a3);
  let delta = addressDelta;
  if (family === 4) delta += deltaWord16(headerChecksum, view.getUint16(quote + IPV4_CHECKSUM));

  const transport = quote + headerLength;
  const portAt = transport + side * 2;
  const portDelta = deltaWord16(view.getUint16(portAt), port);
  view.setUint16(portAt, port);
  delta += portDelta;

  const fieldAt = transport + (protocol === PROTOCOL_TCP ? TCP_CHECKSUM : UDP_CHECKSUM);
  if ((protocol === PROTOCOL_TCP || protocol === PROTOCOL_UDP) && fieldAt + 2 <= end) {
    const field = view.getUint16(fieldAt);
    moveTransportChecksum(view, transport, protocol, addressDelta, portDelta, false);
    delta += deltaWord16(field, view.getUint16(fieldAt));
  }
  if (!partial) moveIcmpChecksum(view, icmp, 0, foldSum(delta), false);
}
