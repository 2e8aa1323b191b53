/**
 * The one parser: checks a packet once, at the boundary, and writes what later stages need to a row of columns
 * (parsed-batch.ts).
 *
 * What PARSED_OK promises: the IP header with its options or extension headers and, unless
 * the packet is a later fragment, the transport header lie inside `length` bytes; the IPv4 header checksum is right; `length`
 * is the length that the IP header gives (trailing bytes are none of the packet); the vnet header fits (virtio.ts). Transport
 * checksums are not verified: they are moved by deltas, so that wrong ones stay wrong and the receiver judges.
 *
 * Refused beyond the plain lies: an IPv6 header with addresses in ::ffff:0:0/96, which would mean IPv4 ones in here; a routing
 * header with segments left; jumbograms and other packets whose length fields are 0. Source: RFC 791, 8200, 9293, 768, 792, 4443.
 */
import { MAPPED_WORD } from './address.ts';
import { VNET_SIZE } from './batch.ts';
import { foldSum, sumBytes, sumWord } from './checksum.ts';
import { ICMP_HEADER_SIZE, isIcmp } from './icmp.ts';
import { IPV4_FRAGMENT_MASK, IPV4_HEADER_SIZE, IPV4_MF } from './ipv4.ts';
import {
  CHAIN_BAD,
  CHAIN_TRUNCATED,
  chainFragment,
  chainHeaderLength,
  chainProtocol,
  FRAGMENT_FIRST,
  FRAGMENT_LATER,
  FRAGMENT_NONE,
  IPV6_HEADER_SIZE,
  ipv6WalkChain,
} from './ipv6.ts';
import {
  PARSE_BAD_HEADER,
  PARSE_BAD_LENGTH,
  PARSE_BAD_OFFLOAD,
  PARSE_BAD_TRANSPORT,
  PARSE_BAD_VERSION,
  PARSE_TRUNCATED,
  PARSED_OK,
  type ParsedBatch,
} from './parsed-batch.ts';
import { PROTOCOL_TCP, PROTOCOL_UDP } from './protocol.ts';
import { TCP_DATA_OFFSET, TCP_FLAGS, TCP_HEADER_SIZE } from './tcp.ts';
import { UDP_HEADER_SIZE, UDP_LENGTH } from './udp.ts';
import { VNET_DATA_VALID, VNET_GSO_TYPE, vnetFits } from './virtio.ts';

/**
 * Parses the packet at `offset` into row `row`.
 * @param length bytes received from `offset` on; the 12-byte vnet header lies right before it.
 * @returns PARSED_OK or a fault, also in `result`. Reads nothing outside the vnet header and these bytes. Allocates nothing,
 * never throws.
 */
export function parsePacket(
  view: DataView,
  offset: number,
  length: number,
  into: ParsedBatch,
  row: number,
): number {
  let result = parseIp(view, offset, length, false, into, row);
  if (result === PARSED_OK) result = checkOffload(view, offset, length, into, row);
  into.result[row] = result;
  return result;
}

/**
 * Parses a packet quoted in an ICMP error, of which only a beginning may be there: the IP headers and 8 bytes of transport
 * header must be (RFC 792; none of a later fragment). Its header checksum and length are not held against it: routers on the
 * way quote what they have made of it. Ports, TCP flags (0 when cut off), type and code as in `parsePacket`; `payloadLength` is 0.
 * @param length bytes from `offset` to the end of the error.
 * @returns PARSED_OK or a fault. Allocates nothing, never throws.
 */
export function parseQuote(
  view: DataView,
  offset: number,
  length: number,
  into: ParsedBatch,
  row: number,
): number {
  const result = parseIp(view, offset, length, true, into, row);
  into.result[row] = result;
  return result;
}

function parseIp(
  view: DataView,
  offset: number,
  length: number,
  quote: boolean,
  into: ParsedBatch,
  row: number,
): number {
  if (length < 1) return PARSE_TRUNCATED;
  const version = view.getUint8(offset) >>> 4;
  if (version === 4) return parseIpv4(view, offset, length, quote, into, row);
  if (version === 6) return parseIpv6(view, offset, length, quote, into, row);
  return PARSE_BAD_VERSION;
}

function parseIpv4(
  view: DataView,
  offset: number,
  length: number,
  quote: boolean,
  into: ParsedBatch,
  row: number,
): number {
  if (length < IPV4_HEADER_SIZE) return PARSE_TRUNCATED;
  const word0 = view.getInt32(offset);
  const word1 = view.getInt32(offset + 4);
  const word2 = view.getInt32(offset + 8);
  const source = view.getInt32(offset + 12);
  const destination = view.getInt32(offset + 16);

  const headerLength = (word0 >>> 22) & 0x3c;
  const total = word0 & 0xffff;
  if (headerLength < IPV4_HEADER_SIZE) return PARSE_BAD_HEADER;
  if (headerLength > length) return PARSE_TRUNCATED;
  if (!quote) {
    if (total < headerLength || total > length) return PARSE_BAD_LENGTH;
    let sum = sumWord(word0) + sumWord(word1) + sumWord(word2) + sumWord(source) + sumWord(destination);
    if (headerLength > IPV4_HEADER_SIZE) sum += sumBytes(view, offset + 20, headerLength - 20);
    if (foldSum(sum) !== 0xffff) return PARSE_BAD_HEADER;
  }

  into.family[row] = 4;
  into.length[row] = total;
  into.source0[row] = 0;
  into.source1[row] = 0;
  into.source2[row] = MAPPED_WORD;
  into.source3[row] = source;
  into.destination0[row] = 0;
  into.destination1[row] = 0;
  into.destination2[row] = MAPPED_WORD;
  into.destination3[row] = destination;
  let fragment = FRAGMENT_NONE;
  if ((word1 & (IPV4_MF | IPV4_FRAGMENT_MASK)) !== 0) {
    fragment = (word1 & IPV4_FRAGMENT_MASK) === 0 ? FRAGMENT_FIRST : FRAGMENT_LATER;
  }
  const protocol = (word2 >>> 16) & 0xff;
  return parseTransport(
    view,
    offset,
    quote ? length : total,
    protocol,
    fragment,
    headerLength,
    quote,
    into,
    row,
  );
}

function parseIpv6(
  view: DataView,
  offset: number,
  length: number,
  quote: boolean,
  into: ParsedBatch,
  row: number,
): number {
  if (length < IPV6_HEADER_SIZE) return PARSE_TRUNCATED;
  const total = view.getUint16(offset + 4) + IPV6_HEADER_SIZE;
  if (!quote && (total > length || total > 0xffff)) return PARSE_BAD_LENGTH;
  const end = quote ? length : total;
  // A jumbogram (RFC 2675) and a super-packet above 64 KiB have payload length 0 and bytes behind it all the same.
  if (!quote && total === IPV6_HEADER_SIZE && length > total) return PARSE_BAD_LENGTH;
  const chain = ipv6WalkChain(view, offset, offset + end);
  if (chain === CHAIN_TRUNCATED) return PARSE_TRUNCATED;
  if (chain === CHAIN_BAD) return PARSE_BAD_HEADER;

  const source0 = view.getInt32(offset + 8);
  const source1 = view.getInt32(offset + 12);
  const source2 = view.getInt32(offset + 16);
  const destination0 = view.getInt32(offset + 24);
  const destination1 = view.getInt32(offset + 28);
  const destination2 = view.getInt32(offset + 32);
  if (source2 === MAPPED_WORD && (source0 | source1) === 0) return PARSE_BAD_HEADER;
  if (destination2 === MAPPED_WORD && (destination0 | destination1) === 0) return PARSE_BAD_HEADER;

  into.family[row] = 6;
  into.length[row] = total;
  into.source0[row] = source0;
  into.source1[row] = source1;
  into.source2[row] = source2;
  into.source3[row] = view.getInt32(offset + 20);
  into.destination0[row] = destination0;
  into.destination1[row] = destination1;
  into.destination2[row] = destination2;
  into.destination3[row] = view.getInt32(offset + 36);
  const protocol = chainProtocol(chain);
  const headerLength = chainHeaderLength(chain);
  return parseTransport(view, offset, end, protocol, chainFragment(chain), headerLength, quote, into, row);
}

/** The part that both families share. `end` counts bytes from the IP header. */
function parseTransport(
  view: DataView,
  offset: number,
  end: number,
  protocol: number,
  fragment: number,
  headerLength: number,
  quote: boolean,
  into: ParsedBatch,
  row: number,
): number {
  into.protocol[row] = protocol;
  into.fragment[row] = fragment;
  into.headerLength[row] = headerLength;
  const size = end - headerLength;
  const at = offset + headerLength;
  let payload = size;
  let ports = 0;
  let flags = 0;
  let icmp = 0;
  if (fragment !== FRAGMENT_LATER) {
    if (protocol === PROTOCOL_TCP) {
      if (size < (quote ? 8 : TCP_HEADER_SIZE)) return PARSE_TRUNCATED;
      ports = view.getInt32(at);
      flags = size > TCP_FLAGS ? view.getUint8(at + TCP_FLAGS) : 0;
      if (!quote) {
        payload = size - ((view.getUint8(at + TCP_DATA_OFFSET) >>> 4) << 2);
        if (payload < 0 || payload > size - TCP_HEADER_SIZE) return PARSE_BAD_TRANSPORT;
      }
    } else if (protocol === PROTOCOL_UDP) {
      if (size < UDP_HEADER_SIZE) return PARSE_TRUNCATED;
      ports = view.getInt32(at);
      const udpSize = view.getUint16(at + UDP_LENGTH);
      // A first fragment carries the length of the whole datagram.
      if (!quote && (udpSize < UDP_HEADER_SIZE || (udpSize > size && fragment === FRAGMENT_NONE))) {
        return PARSE_BAD_TRANSPORT;
      }
      payload = Math.min(size, udpSize) - UDP_HEADER_SIZE;
    } else if (isIcmp(into.family[row]!, protocol)) {
      if (size < ICMP_HEADER_SIZE) return PARSE_TRUNCATED;
      icmp = view.getUint16(at);
      payload = size - ICMP_HEADER_SIZE;
    }
  }
  into.sourcePort[row] = ports >>> 16;
  into.destinationPort[row] = ports;
  into.tcpFlags[row] = flags;
  into.icmpType[row] = icmp >>> 8;
  into.icmpCode[row] = icmp;
  into.payloadLength[row] = quote ? 0 : payload;
  return PARSED_OK;
}

/** The vnet header against the parsed packet; a super-packet has no padding and fills its UDP length. */
function checkOffload(
  view: DataView,
  offset: number,
  length: number,
  into: ParsedBatch,
  row: number,
): number {
  // Flags and GSO type in one load; DATA_VALID leaves nothing to do.
  if ((view.getUint16(offset - VNET_SIZE, true) & ~VNET_DATA_VALID) === 0) return PARSED_OK;
  const protocol = into.protocol[row]!;
  const headerLength = into.headerLength[row]!;
  const fragment = into.fragment[row] !== FRAGMENT_NONE;
  const total = into.length[row]!;
  if (!vnetFits(view, offset, total, into.family[row]!, protocol, headerLength, fragment))
    return PARSE_BAD_OFFLOAD;
  if (view.getUint8(offset - VNET_SIZE + VNET_GSO_TYPE) === 0) return PARSED_OK;
  if (total !== length) return PARSE_BAD_LENGTH;
  if (protocol === PROTOCOL_UDP && into.payloadLength[row]! + UDP_HEADER_SIZE !== total - headerLength) {
    return PARSE_BAD_TRANSPORT;
  }
  return PARSED_OK;
}
