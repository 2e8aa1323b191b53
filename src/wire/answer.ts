/**
 * Packets that a dispatcher makes itself: resets, ICMP errors and echo replies.
 *
 * Resets and errors are built into a scratch area of the batch, with full checksums and a cleared vnet header, and go from the
 * answered packet's destination (the VIP) to its source. They must be built before the packet is rewritten: an error quotes
 * what its sender sent. A packet that came with its checksum left to do is quoted so; receivers match on addresses and ports.
 * Ask `mayAnswer` first. A whole answer is at most 1,280 bytes (576 over IPv4).
 *
 * Source: RFC 9293 section 3.10.7.1 (reset), RFC 792 and RFC 1191 (IPv4 errors; RFC 1812 section 4.3.2.3: as much as fits in 576
 * bytes), RFC 4443 section 2.4 (IPv6 errors: as much as fits in 1,280), RFC 1122 section 3.2.2 (what is never answered).
 * The functions allocate nothing and never throw.
 */
import type { Batch } from './batch.ts';
import { foldSum, pseudoSum, sumBytes } from './checksum.ts';
import {
  ICMP_CHECKSUM,
  ICMP_HEADER_SIZE,
  ICMP_KIND_ECHO_REPLY,
  ICMP_KIND_ECHO_REQUEST,
  ICMP_REST,
  ICMP4_CODE_FRAGMENTATION_NEEDED,
  ICMP4_CODE_PORT,
  ICMP4_ECHO_REPLY,
  ICMP4_TIME_EXCEEDED,
  ICMP4_UNREACHABLE,
  ICMP6_CODE_PORT,
  ICMP6_ECHO_REPLY,
  ICMP6_TIME_EXCEEDED,
  ICMP6_TOO_BIG,
  ICMP6_UNREACHABLE,
  icmpKind,
  icmpSetType,
  isIcmp,
} from './icmp.ts';
import {
  IPV4_DESTINATION,
  IPV4_DF,
  IPV4_HEADER_SIZE,
  IPV4_SOURCE,
  IPV4_TTL,
  ipv4Destination,
  ipv4Source,
  ipv4Write,
  ipv4WriteChecksum,
} from './ipv4.ts';
import {
  FRAGMENT_LATER,
  IPV6_DESTINATION,
  IPV6_HEADER_SIZE,
  IPV6_HOP_LIMIT,
  IPV6_SOURCE,
  ipv6Destination,
  ipv6Source,
  ipv6Write,
} from './ipv6.ts';
import type { ParsedBatch } from './parsed-batch.ts';
import { PROTOCOL_ICMP, PROTOCOL_ICMPV6, PROTOCOL_TCP } from './protocol.ts';
import {
  TCP_CHECKSUM,
  TCP_HEADER_SIZE,
  tcpAcknowledgment,
  tcpDestinationPort,
  tcpResetAcknowledgment,
  tcpResetFlags,
  tcpResetSequence,
  tcpSequence,
  tcpSourcePort,
  tcpWrite,
} from './tcp.ts';
import { vnetClear, vnetNeedsChecksum } from './virtio.ts';

/** What an ICMP error says, for both families. */
export const ERROR_TOO_BIG = 0;
export const ERROR_TIME_EXCEEDED = 1;
export const ERROR_PORT_UNREACHABLE = 2;

/** TTL and hop limit of packets made here (RFC 1700's recommended default). */
export const ANSWER_TTL = 64;
/** Internetwork control, as RFC 1812 section 4.3.2.5 wants for ICMP errors. */
const ERROR_TOS = 0xc0;
/** Bytes of an IPv4 error (RFC 1812 section 4.3.2.3), and of an IPv6 one (RFC 4443 section 2.4 c: the minimum MTU). */
const ERROR_SIZE_4 = 576;
const ERROR_SIZE_6 = 1280;

/**
 * Whether a packet may be answered with an ICMP error: never later fragments, ICMP other than echo, or packets whose source is no single
 * host (RFC 1122 section 3.2.2, RFC 4443 section 2.4 e).
 */
export function mayAnswer(parsed: ParsedBatch, row: number): boolean {
  if (parsed.fragment[row] === FRAGMENT_LATER) return false;
  const family = parsed.family[row]!;
  if (isIcmp(family, parsed.protocol[row]!)) {
    const kind = icmpKind(family, parsed.icmpType[row]!);
    if (kind !== ICMP_KIND_ECHO_REQUEST && kind !== ICMP_KIND_ECHO_REPLY) return false;
  }
  if (family === 4) {
    // 0.0.0.0/8, 127.0.0.0/8, and 224.0.0.0/3: multicast, reserved, broadcast.
    const first = parsed.source3[row]! >>> 24;
    return first !== 0 && first !== 127 && first < 224;
  }
  if (parsed.source0[row]! >>> 24 === 0xff) return false;
  const upper = parsed.source0[row]! | parsed.source1[row]! | parsed.source2[row]!;
  return upper !== 0 || parsed.source3[row]! > 1;
}

/**
 * Builds the reset that answers a TCP packet.
 * @param to offset of a scratch area in the batch.
 * @param offset of the parsed TCP packet, no reset itself and no later fragment.
 * @returns length of the reset at `to`: 40 or 60.
 */
export function buildReset(
  batch: Batch,
  to: number,
  offset: number,
  parsed: ParsedBatch,
  row: number,
): number {
  const view = batch.view;
  const family = parsed.family[row]!;
  const header = writeReturnHeader(view, to, offset, family, 0, PROTOCOL_TCP, TCP_HEADER_SIZE);
  const from = offset + parsed.headerLength[row]!;
  const flags = parsed.tcpFlags[row]!;
  const transport = to + header;
  tcpWrite(
    view,
    transport,
    tcpDestinationPort(view, from),
    tcpSourcePort(view, from),
    // Signed, since V8 boxes unsigned numbers from 2^31 on when it passes them on.
    tcpResetSequence(flags, tcpAcknowledgment(view, from) | 0),
    tcpResetAcknowledgment(flags, tcpSequence(view, from) | 0, parsed.payloadLength[row]!),
    tcpResetFlags(flags),
    0,
  );
  const pseudo = pseudoSum(view, family, to, PROTOCOL_TCP, TCP_HEADER_SIZE);
  const sum = foldSum(pseudo + sumBytes(view, transport, TCP_HEADER_SIZE));
  view.setUint16(transport + TCP_CHECKSUM, ~sum & 0xffff);
  return header + TCP_HEADER_SIZE;
}

/**
 * Builds an ICMP error about a packet.
 * @param to offset of a scratch area in the batch.
 * @param offset of the parsed packet, as its sender sent it.
 * @param error an ERROR_ constant.
 * @param mtuBytes the largest packet that would have passed, for ERROR_TOO_BIG; otherwise unused.
 * @returns length of the error at `to`.
 */
export function buildIcmpError(
  batch: Batch,
  to: number,
  offset: number,
  parsed: ParsedBatch,
  row: number,
  error: number,
  mtuBytes: number,
): number {
  const view = batch.view;
  const family = parsed.family[row]!;
  const protocol = family === 4 ? PROTOCOL_ICMP : PROTOCOL_ICMPV6;
  const room =
    family === 4
      ? ERROR_SIZE_4 - IPV4_HEADER_SIZE - ICMP_HEADER_SIZE
      : ERROR_SIZE_6 - IPV6_HEADER_SIZE - ICMP_HEADER_SIZE;
  const quoted = Math.min(parsed.length[row]!, room);
  const size = ICMP_HEADER_SIZE + quoted;
  const header = writeReturnHeader(view, to, offset, family, ERROR_TOS, protocol, size);
  const icmp = to + header;
  view.setUint16(icmp, family === 4 ? errorType4(error) : errorType6(error));
  view.setUint16(icmp + ICMP_CHECKSUM, 0);
  view.setUint32(icmp + ICMP_REST, error === ERROR_TOO_BIG ? errorMtu(family, mtuBytes) : 0);
  batch.bytes.copyWithin(icmp + ICMP_HEADER_SIZE, offset, offset + quoted);
  const pseudo = family === 4 ? 0 : pseudoSum(view, family, to, protocol, size);
  view.setUint16(icmp + ICMP_CHECKSUM, ~foldSum(pseudo + sumBytes(view, icmp, size)) & 0xffff);
  return header + size;
}

/** Type in the high byte, code in the low one. */
function errorType4(error: number): number {
  if (error === ERROR_TOO_BIG) return (ICMP4_UNREACHABLE << 8) | ICMP4_CODE_FRAGMENTATION_NEEDED;
  if (error === ERROR_TIME_EXCEEDED) return ICMP4_TIME_EXCEEDED << 8;
  return (ICMP4_UNREACHABLE << 8) | ICMP4_CODE_PORT;
}

function errorType6(error: number): number {
  if (error === ERROR_TOO_BIG) return ICMP6_TOO_BIG << 8;
  if (error === ERROR_TIME_EXCEEDED) return ICMP6_TIME_EXCEEDED << 8;
  return (ICMP6_UNREACHABLE << 8) | ICMP6_CODE_PORT;
}

function errorMtu(family: number, mtuBytes: number): number {
  return family === 4 ? Math.min(mtuBytes, 0xffff) : mtuBytes;
}

/**
 * Writes the IP header of an answer, from the answered packet's destination to its source, and clears the vnet header.
 * @param size bytes behind the IP header.
 * @returns size of the IP header.
 */
function writeReturnHeader(
  view: DataView,
  to: number,
  offset: number,
  family: number,
  tos: number,
  protocol: number,
  size: number,
): number {
  vnetClear(view, to);
  if (family === 4) {
    const source = ipv4Destination(view, offset);
    const destination = ipv4Source(view, offset);
    // DF and identification 0: an atomic datagram (RFC 6864).
    ipv4Write(view, to, tos, IPV4_HEADER_SIZE + size, 0, IPV4_DF, ANSWER_TTL, protocol, source, destination);
    return IPV4_HEADER_SIZE;
  }
  ipv6Write(view, to, 0, size, protocol, ANSWER_TTL);
  for (let word = 0; word < 4; word++) {
    view.setUint32(to + IPV6_SOURCE + word * 4, ipv6Destination(view, offset, word));
    view.setUint32(to + IPV6_DESTINATION + word * 4, ipv6Source(view, offset, word));
  }
  return IPV6_HEADER_SIZE;
}

/**
 * Turns an echo request into its reply, in place: addresses change places (which leaves every checksum over them as it is), the
 * type becomes a reply, the TTL starts anew. IP options and extension headers stay as they came. The packet must be whole.
 */
export function turnEcho(view: DataView, offset: number, family: number, headerLength: number): void {
  const partial = vnetNeedsChecksum(view, offset);
  if (family === 4) {
    const source = ipv4Source(view, offset);
    view.setUint32(offset + IPV4_SOURCE, ipv4Destination(view, offset));
    view.setUint32(offset + IPV4_DESTINATION, source);
    view.setUint8(offset + IPV4_TTL, ANSWER_TTL);
    ipv4WriteChecksum(view, offset, headerLength);
  } else {
    for (let word = 0; word < 4; word++) {
      const source = ipv6Source(view, offset, word);
      view.setUint32(offset + IPV6_SOURCE + word * 4, ipv6Destination(view, offset, word));
      view.setUint32(offset + IPV6_DESTINATION + word * 4, source);
    }
    view.setUint8(offset + IPV6_HOP_LIMIT, ANSWER_TTL);
  }
  icmpSetType(view, offset + headerLength, family === 4 ? ICMP4_ECHO_REPLY : ICMP6_ECHO_REPLY, partial);
}
