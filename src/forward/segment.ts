/**
 * Segmentation in software: one GSO super-packet becomes the packets that it stands for, with complete checksums; and the
 * completion of a checksum that was left to do. For what leaves by a raw socket, or in an outer header: those know no vnet header.
 *
 * As the kernel does it (net/ipv4/tcp_offload.c, udp_offload.c): the headers are copied to each segment; lengths follow the
 * payload; IPv4 identification counts up; TCP sequence numbers advance, FIN and PSH stay on the last, CWR on the first (RFC 3168
 * section 6.1.2); an IPv6 chain is copied as it is. Segments go to the region for them in the batch, each with 64 bytes of
 * head-room, which holds a vnet header and an outer IPv6 header. Nothing here allocates or throws.
 */
import { type Batch, NO_ROOM } from '../wire/batch.ts';
import { foldSum, pseudoSum, sumBytes } from '../wire/checksum.ts';
import {
  IPV4_IDENTIFICATION,
  IPV4_TOTAL_LENGTH,
  ipv4Identification,
  ipv4WriteChecksum,
} from '../wire/ipv4.ts';
import { IPV6_HEADER_SIZE, IPV6_PAYLOAD_LENGTH } from '../wire/ipv6.ts';
import type { ParsedBatch } from '../wire/parsed-batch.ts';
import { PROTOCOL_TCP, PROTOCOL_UDP } from '../wire/protocol.ts';
import {
  TCP_CHECKSUM,
  TCP_CWR,
  TCP_FIN,
  TCP_FLAGS,
  TCP_PSH,
  TCP_SEQUENCE,
  tcpFlags,
  tcpHeaderSize,
  tcpSequence,
} from '../wire/tcp.ts';
import { UDP_CHECKSUM, UDP_HEADER_SIZE, UDP_LENGTH, udpLength } from '../wire/udp.ts';
import { vnetClear, vnetCsumOffset, vnetCsumStart, vnetGsoSize } from '../wire/virtio.ts';

/** Bytes before each segment: a multiple of 16 that holds 12 (vnet) + 40 (outer IPv6 header). */
const SEGMENT_HEADROOM = 64;
const SCTP = 132;

/** Where the segments of the last super-packet lie. One per thread, reused. */
export class SegmentList {
  readonly offset: Uint32Array;
  readonly length: Uint32Array;
  count = 0;

  /**
   * @param capacity the most segments of one super-packet; more of them are refused. 65,535 bytes by 48, the smallest MSS that
   * Linux sends by (net.ipv4.tcp_min_snd_mss), are 1,366.
   */
  constructor(capacity = 1366) {
    this.offset = new Uint32Array(capacity);
    this.length = new Uint32Array(capacity);
  }
}

/**
 * Cuts the parsed super-packet at `offset` into segments.
 * @param into is filled from index 0; its segments live in the batch until `resetOutput`.
 * @returns the number of segments (1 when there is no payload), or NO_ROOM when list or region is too small; then nothing is kept.
 */
export function segmentPacket(
  batch: Batch,
  offset: number,
  parsed: ParsedBatch,
  row: number,
  into: SegmentList,
): number {
  const view = batch.view;
  const headerLength = parsed.headerLength[row]!;
  const tcp = parsed.protocol[row] === PROTOCOL_TCP;
  const headerSize = headerLength + (tcp ? tcpHeaderSize(view, offset + headerLength) : UDP_HEADER_SIZE);
  const payload = parsed.length[row]! - headerSize;
  const gsoSize = vnetGsoSize(view, offset);
  const count = Math.max(1, Math.ceil(payload / gsoSize));
  into.count = 0;
  if (count > into.offset.length) return NO_ROOM;
  let to = batch.segmentOffset + SEGMENT_HEADROOM;
  for (let index = 0; index < count; index++) {
    const size = Math.min(gsoSize, payload - index * gsoSize);
    if (to + headerSize + size > batch.segmentEnd) return NO_ROOM;
    batch.bytes.copyWithin(to, offset, offset + headerSize);
    const from = offset + headerSize + index * gsoSize;
    batch.bytes.copyWithin(to + headerSize, from, from + size);
    finishIp(view, to, parsed.family[row]!, headerLength, headerSize + size, index);
    if (tcp) finishTcp(view, to + headerLength, index * gsoSize, index === 0, index === count - 1);
    else view.setUint16(to + headerLength + UDP_LENGTH, UDP_HEADER_SIZE + size);
    writeTransportChecksum(
      view,
      to,
      parsed.family[row]!,
      parsed.protocol[row]!,
      headerLength,
      headerSize + size,
    );
    into.offset[index] = to;
    into.length[index] = headerSize + size;
    to = (to + headerSize + size + SEGMENT_HEADROOM + 15) & ~15;
  }
  into.count = count;
  batch.keepSegments(to - SEGMENT_HEADROOM);
  return count;
}

/** Lengths, identification and header checksum of segment `index`; the vnet header says that nothing is left to do. */
function finishIp(
  view: DataView,
  to: number,
  family: number,
  headerLength: number,
  length: number,
  index: number,
): void {
  vnetClear(view, to);
  if (family === 4) {
    view.setUint16(to + IPV4_TOTAL_LENGTH, length);
    view.setUint16(to + IPV4_IDENTIFICATION, ipv4Identification(view, to) + index);
    ipv4WriteChecksum(view, to, headerLength);
  } else {
    view.setUint16(to + IPV6_PAYLOAD_LENGTH, length - IPV6_HEADER_SIZE);
  }
}

function finishTcp(view: DataView, tcp: number, advance: number, first: boolean, last: boolean): void {
  view.setUint32(tcp + TCP_SEQUENCE, tcpSequence(view, tcp) + advance);
  const notHere = (first ? 0 : TCP_CWR) | (last ? 0 : TCP_FIN | TCP_PSH);
  view.setUint8(tcp + TCP_FLAGS, tcpFlags(view, tcp) & ~notHere);
}

function writeTransportChecksum(
  view: DataView,
  offset: number,
  family: number,
  protocol: number,
  headerLength: number,
  length: number,
): void {
  const transport = offset + headerLength;
  const at = transport + (protocol === PROTOCOL_TCP ? TCP_CHECKSUM : UDP_CHECKSUM);
  const size = length - headerLength;
  view.setUint16(at, 0);
  const pseudo = pseudoSum(view, family, offset, protocol, size);
  const checksum = ~foldSum(pseudo + sumBytes(view, transport, size)) & 0xffff;
  view.setUint16(at, checksum === 0 && protocol === PROTOCOL_UDP ? 0xffff : checksum);
}

/**
 * Completes, in place, the checksum that the vnet header leaves to do, and clears the vnet header. The field holds the
 * pseudo-header sum, so the sum from csum_start to the end, field included, is the whole one (as skb_checksum_help has it).
 * @param length of the packet, which must have been parsed and be no super-packet.
 * @returns false for SCTP, whose CRC is not ours to make; the packet is then unchanged.
 */
export function completeChecksum(view: DataView, offset: number, length: number, protocol: number): boolean {
  if (protocol === SCTP) return false;
  const start = vnetCsumStart(view, offset);
  const at = offset + start + vnetCsumOffset(view, offset);
  // What lies behind a UDP datagram in its packet is not summed.
  const size = protocol === PROTOCOL_UDP ? udpLength(view, offset + start) : length - start;
  const checksum = ~sumBytes(view, offset + start, size) & 0xffff;
  view.setUint16(at, checksum === 0 && protocol === PROTOCOL_UDP ? 0xffff : checksum);
  vnetClear(view, offset);
  return true;
}
