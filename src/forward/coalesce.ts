/**
 * Joins TCP segments that follow each other in the output of a batch to one super-packet with a vnet header, as the kernel's GRO
 * does (net/ipv4/tcp_offload.c, af_inet.c): one write and one way through the kernel for up to 64 KiB, where each packet would have its own.
 *
 * A segment joins the frame of its flow if cutting that frame again (forward/segment.ts, the kernel's GSO) gives the very same
 * packets: next sequence number, next IPv4 identification, everything else equal; ACK alone as flag, PSH on the last; all of one
 * size but the last. Whatever else comes of a flow ends its frame, so that a flow's order never changes. No IP options, extension headers,
 * fragments, SYN, FIN, RST, URG, ECE or CWR. Super-packets that arrive as such join under the same rule.
 *
 * A super-packet's checksums are made anew where it is cut. So those of all its segments are verified first, unless the kernel
 * has (DATA_VALID) or has yet to make them (NEEDS_CSUM): a broken segment stays as it is, broken, for its receiver to see.
 * The bytes stay where they are: the frame is a gather list (`Batch.txParts`).
 */
import { type Batch, PACKET_SIZE_MAX, TX_PARTS_MAX, VNET_SIZE } from '../wire/batch.ts';
import { foldSum, pseudoSum, sumBytes } from '../wire/checksum.ts';
import { IPV4_HEADER_SIZE, IPV4_PROTOCOL, ipv4FragmentBits, ipv4SetTotalLength } from '../wire/ipv4.ts';
import { IPV6_HEADER_SIZE, IPV6_NEXT_HEADER, IPV6_PAYLOAD_LENGTH } from '../wire/ipv6.ts';
import { PROTOCOL_TCP, PROTOCOL_UDP } from '../wire/protocol.ts';
import { TCP_ACK, TCP_CHECKSUM, TCP_FLAGS, TCP_HEADER_SIZE, TCP_PSH, tcpSequence } from '../wire/tcp.ts';
import {
  GSO_ECN,
  GSO_NONE,
  GSO_TCPV4,
  GSO_TCPV6,
  VNET_DATA_VALID,
  VNET_GSO_TYPE,
  VNET_NEEDS_CSUM,
  vnetFlags,
  vnetGsoSize,
  vnetGsoType,
  vnetWrite,
} from '../wire/virtio.ts';

/** Places for frames that may grow; of two flows that meet in one, the later has it. A power of two. */
const PLACES = 256;
const PLACE_SHIFT = 24;
const NONE = -1;

/** What a packet of the list is, to this stage. */
const OTHER = 0;
/** Of a flow, and never joined. */
const ALONE = -1;
/** Its flow cannot be told: it may be any. */
const ANY_FLOW = -2;

/** Word 12 of a TCP header: data offset, flags, window. Reserved bits and all flags but ACK and PSH must be 0. */
const FLAGS_NOT_JOINED = 0x0fff & ~(TCP_ACK | TCP_PSH);

/** The columns of one thread, each by index in the list for the device. */
export class Coalescer {
  /** Frame that the flow of each place may join: index in the list of its first packet, or NONE. */
  readonly place: Int32Array = new Int32Array(PLACES);
  /** The next packet of its frame, or NONE. */
  readonly next: Int32Array;
  /** Packets of the frame that begins with this one; 0: it joined another. */
  readonly parts: Int32Array;
  // By first packet of a frame.
  readonly last: Int32Array;
  /** Payload bytes, and those of each segment. */
  readonly payload: Int32Array;
  readonly segmentSize: Int32Array;
  readonly headerSize: Int32Array;
  /** Segments, those inside super-packets counted. */
  readonly segments: Int32Array;
  /** The list as it is written. */
  readonly offset: Uint32Array;
  readonly length: Uint32Array;

  /** @param capacity entries of the list that are looked at; a longer one is left as it is. */
  constructor(capacity: number) {
    this.next = new Int32Array(capacity);
    this.last = new Int32Array(capacity);
    this.parts = new Int32Array(capacity);
    this.payload = new Int32Array(capacity);
    this.segmentSize = new Int32Array(capacity);
    this.headerSize = new Int32Array(capacity);
    this.segments = new Int32Array(capacity);
    this.offset = new Uint32Array(capacity);
    this.length = new Uint32Array(capacity);
  }
}

/**
 * Joins what can be joined on the list for the device, in place. Every packet on it must have been parsed or made here.
 * @returns packets that became part of the frame before them. Allocates nothing, never throws.
 */
export function coalesceOutput(batch: Batch, own: Coalescer): number {
  const count = batch.txCount;
  if (count < 2 || count > own.next.length) return 0;
  own.place.fill(NONE);
  let joined = 0;
  for (let index = 0; index < count; index++) {
    own.next[index] = NONE;
    own.last[index] = index;
    own.parts[index] = 1;
    if (placePacket(batch, own, index)) joined++;
  }
  if (joined > 0) writeFrames(batch, own);
  return joined;
}

/** @returns whether the packet joined a frame. */
function placePacket(batch: Batch, own: Coalescer, index: number): boolean {
  const { view } = batch;
  const offset = batch.txOffset[index]!;
  const payload = joinable(view, offset, batch.txLength[index]!);
  if (payload === OTHER) return false;
  if (payload === ANY_FLOW) {
    own.place.fill(NONE);
    return false;
  }
  const place = placeOf(view, offset);
  const head = own.place[place]!;
  own.place[place] = NONE;
  if (payload === ALONE) return false;
  const gso = vnetGsoType(view, offset) !== GSO_NONE;
  const size = gso ? vnetGsoSize(view, offset) : payload;
  const ended =
    payload % size !== 0 || (view.getUint8(offset + headerOf(view, offset) + TCP_FLAGS) & TCP_PSH) !== 0;
  if (
    head !== NONE &&
    continues(batch, own, head, index, payload, size, gso) &&
    verifyBoth(batch, own, head, index)
  ) {
    append(own, head, index, payload);
    if (!ended && payload % own.segmentSize[head]! === 0) own.place[place] = head;
    return true;
  }
  own.payload[index] = payload;
  own.segmentSize[index] = size;
  own.headerSize[index] = batch.txLength[index]! - payload;
  own.segments[index] = Math.ceil(payload / size);
  if (!ended) own.place[place] = index;
  return false;
}

function append(own: Coalescer, head: number, index: number, payload: number): void {
  own.next[own.last[head]!] = index;
  own.last[head] = index;
  own.parts[index] = 0;
  own.parts[head] = own.parts[head]! + 1;
  own.segments[head] = own.segments[head]! + Math.ceil(payload / own.segmentSize[head]!);
  own.payload[head] = own.payload[head]! + payload;
}

/** Bytes from the IP header to the TCP header, of a packet that `joinable` knows. */
function headerOf(view: DataView, offset: number): number {
  return view.getUint8(offset) === 0x45 ? IPV4_HEADER_SIZE : IPV6_HEADER_SIZE;
}

/** @returns payload bytes of a segment that may be joined, or OTHER, ALONE, ANY_FLOW. */
function joinable(view: DataView, offset: number, length: number): number {
  const first = view.getUint8(offset);
  let header: number;
  let protocol: number;
  if (first === 0x45) {
    if (ipv4FragmentBits(view, offset) !== 0) return ANY_FLOW;
    header = IPV4_HEADER_SIZE;
    protocol = view.getUint8(offset + IPV4_PROTOCOL);
  } else if (first >>> 4 === 6) {
    header = IPV6_HEADER_SIZE;
    protocol = view.getUint8(offset + IPV6_NEXT_HEADER);
  } else return ANY_FLOW;
  if (protocol !== PROTOCOL_TCP) return protocol === PROTOCOL_UDP ? OTHER : ANY_FLOW;
  const flags = view.getUint16(offset + header + 12);
  if ((flags & FLAGS_NOT_JOINED) !== 0 || (flags & TCP_ACK) === 0) return ALONE;
  if ((view.getUint8(offset - VNET_SIZE + VNET_GSO_TYPE) & GSO_ECN) !== 0) return ALONE;
  const payload = length - header - ((flags >>> 12) << 2);
  return payload > 0 ? payload : ALONE;
}

function placeOf(view: DataView, offset: number): number {
  // Addresses of IPv6 differ in their last words, if the ports do not.
  const header = headerOf(view, offset);
  const ends = view.getInt32(offset + header) ^ view.getInt32(offset + header - 4);
  return Math.imul(ends ^ Math.imul(view.getInt32(offset + 12), 0x85ebca6b), 0x9e3779b1) >>> PLACE_SHIFT;
}

/** Whether packet `index`, with `payload` bytes in segments of `size`, is what cutting the frame of `head` would give next. */
function continues(
  batch: Batch,
  own: Coalescer,
  head: number,
  index: number,
  payload: number,
  size: number,
  gso: boolean,
): boolean {
  const { view } = batch;
  const from = batch.txOffset[head]!;
  const offset = batch.txOffset[index]!;
  const segmentSize = own.segmentSize[head]!;
  const headerSize = own.headerSize[head]!;
  if (gso ? size !== segmentSize : size > segmentSize) return false;
  if (headerSize + own.payload[head]! + payload > PACKET_SIZE_MAX || own.parts[head]! >= TX_PARTS_MAX)
    return false;
  if (batch.txLength[index]! - payload !== headerSize) return false;
  const header = headerOf(view, from);
  if (!sameIp(view, from, offset, header, own.segments[head]!)) return false;
  return sameTcp(view, from + header, offset + header, headerSize - header, own.payload[head]!);
}

function sameIp(view: DataView, from: number, offset: number, header: number, segments: number): boolean {
  if (header === IPV4_HEADER_SIZE) {
    const differs =
      (view.getUint16(from) ^ view.getUint16(offset)) |
      (((view.getUint16(from + 4) + segments) & 0xffff) ^ view.getUint16(offset + 4)) |
      (view.getUint16(from + 6) ^ view.getUint16(offset + 6)) |
      (view.getUint16(from + 8) ^ view.getUint16(offset + 8)) |
      (view.getInt32(from + 12) ^ view.getInt32(offset + 12)) |
      (view.getInt32(from + 16) ^ view.getInt32(offset + 16));
    return differs === 0;
  }
  let differs =
    (view.getInt32(from) ^ view.getInt32(offset)) | (view.getUint16(from + 6) ^ view.getUint16(offset + 6));
  for (let at = 8; at < IPV6_HEADER_SIZE; at += 4) {
    differs |= view.getInt32(from + at) ^ view.getInt32(offset + at);
  }
  return differs === 0;
}

/** @param size of both TCP headers. @param advance payload bytes of the frame so far. */
function sameTcp(view: DataView, from: number, tcp: number, size: number, advance: number): boolean {
  let differs =
    (view.getInt32(from) ^ view.getInt32(tcp)) |
    (((tcpSequence(view, from) + advance) | 0) ^ view.getInt32(tcp + 4)) |
    (view.getInt32(from + 8) ^ view.getInt32(tcp + 8)) |
    ((view.getInt32(from + 12) ^ view.getInt32(tcp + 12)) & ~(TCP_PSH << 16)) |
    (view.getUint16(from + 18) ^ view.getUint16(tcp + 18));
  for (let at = TCP_HEADER_SIZE; at < size; at += 4)
    differs |= view.getInt32(from + at) ^ view.getInt32(tcp + at);
  return differs === 0;
}

/** Whether the checksums of a frame's first packet and of packet `index` are right; those between were asked before. */
function verifyBoth(batch: Batch, own: Coalescer, head: number, index: number): boolean {
  if (own.parts[head] === 1 && !verify(batch, head)) return false;
  return verify(batch, index);
}

/** Whether the packet's TCP checksum is right, or will be made. */
function verify(batch: Batch, index: number): boolean {
  const { view } = batch;
  const offset = batch.txOffset[index]!;
  const length = batch.txLength[index]!;
  if ((vnetFlags(view, offset) & (VNET_NEEDS_CSUM | VNET_DATA_VALID)) !== 0) return true;
  const header = headerOf(view, offset);
  const size = length - header;
  const pseudo = pseudoSum(view, header === IPV4_HEADER_SIZE ? 4 : 6, offset, PROTOCOL_TCP, size);
  return foldSum(pseudo + sumBytes(view, offset + header, size)) === 0xffff;
}

/** Lays the list out anew, frame by frame in the order of their first packets, and finishes the headers of those that grew. */
function writeFrames(batch: Batch, own: Coalescer): void {
  const count = batch.txCount;
  const { view, txOffset, txLength, txParts } = batch;
  for (let index = 0; index < count; index++) {
    own.offset[index] = txOffset[index]!;
    own.length[index] = txLength[index]!;
  }
  let at = 0;
  for (let head = 0; head < count; head++) {
    const parts = own.parts[head]!;
    if (parts === 0) continue;
    txOffset[at] = own.offset[head]!;
    txLength[at] = own.length[head]!;
    txParts[at] = parts;
    at++;
    if (parts === 1) continue;
    const headerSize = own.headerSize[head]!;
    for (let part = own.next[head]!; part !== NONE; part = own.next[part]!) {
      txOffset[at] = own.offset[part]! + headerSize;
      txLength[at] = own.length[part]! - headerSize;
      at++;
    }
    finish(view, own, head);
  }
}

/** Makes the first packet's headers those of the whole frame. */
function finish(view: DataView, own: Coalescer, head: number): void {
  const offset = own.offset[head]!;
  const headerSize = own.headerSize[head]!;
  const length = headerSize + own.payload[head]!;
  const header = headerOf(view, offset);
  const tcp = offset + header;
  view.setUint8(tcp + TCP_FLAGS, view.getUint8(own.offset[own.last[head]!]! + header + TCP_FLAGS));
  const family = header === IPV4_HEADER_SIZE ? 4 : 6;
  if (family === 4) ipv4SetTotalLength(view, offset, length);
  else view.setUint16(offset + IPV6_PAYLOAD_LENGTH, length - IPV6_HEADER_SIZE);
  const pseudo = pseudoSum(view, family, offset, PROTOCOL_TCP, length - header);
  view.setUint16(tcp + TCP_CHECKSUM, foldSum(pseudo));
  const type = family === 4 ? GSO_TCPV4 : GSO_TCPV6;
  vnetWrite(view, offset, VNET_NEEDS_CSUM, type, headerSize, own.segmentSize[head]!, header, TCP_CHECKSUM);
}
