/**
 * The TCP header, in place. Offsets are those of the TCP header itself.
 *
 * |  0 | source port 16 | destination port 16 |
 * |  4 | sequence number 32 |  8 | acknowledgment number 32 |
 * | 12 | data offset 4, reserved 4 | flags 8 | window 16 |
 * | 16 | checksum 16 | urgent pointer 16 | 20 | options to data offset * 4 |
 *
 * Getters need 20 bytes and cannot fail. Source: RFC 9293 section 3.1.
 */
import { deltaWord16, swapBytes16, updateChecksum } from './checksum.ts';

export const TCP_HEADER_SIZE = 20;
const TCP_SOURCE_PORT = 0;
export const TCP_DESTINATION_PORT = 2;
export const TCP_SEQUENCE = 4;
export const TCP_ACKNOWLEDGMENT = 8;
export const TCP_DATA_OFFSET = 12;
export const TCP_FLAGS = 13;
export const TCP_WINDOW = 14;
export const TCP_CHECKSUM = 16;

export const TCP_FIN = 0x01;
export const TCP_SYN = 0x02;
export const TCP_RST = 0x04;
export const TCP_PSH = 0x08;
export const TCP_ACK = 0x10;
export const TCP_URG = 0x20;
export const TCP_ECE = 0x40;
export const TCP_CWR = 0x80;

const OPTION_END = 0;
const OPTION_NOP = 1;
const OPTION_MSS = 2;

/** Returned by `tcpFindMss` when the option is not there. */
export const NO_MSS = -1;

export function tcpSourcePort(view: DataView, offset: number): number {
  return view.getUint16(offset + TCP_SOURCE_PORT);
}

export function tcpDestinationPort(view: DataView, offset: number): number {
  return view.getUint16(offset + TCP_DESTINATION_PORT);
}

/** On a SYN: the initial sequence number. */
export function tcpSequence(view: DataView, offset: number): number {
  return view.getUint32(offset + TCP_SEQUENCE);
}

export function tcpAcknowledgment(view: DataView, offset: number): number {
  return view.getUint32(offset + TCP_ACKNOWLEDGMENT);
}

/** Header size in bytes, options included: 0 to 60, below 20 in a header that lies. */
export function tcpHeaderSize(view: DataView, offset: number): number {
  return (view.getUint8(offset + TCP_DATA_OFFSET) >>> 4) << 2;
}

/** The eight TCP_ flag bits. */
export function tcpFlags(view: DataView, offset: number): number {
  return view.getUint8(offset + TCP_FLAGS);
}

export function tcpChecksum(view: DataView, offset: number): number {
  return view.getUint16(offset + TCP_CHECKSUM);
}

/**
 * Writes a header without options, checksum 0. Allocates nothing, never throws.
 */
export function tcpWrite(
  view: DataView,
  offset: number,
  sourcePort: number,
  destinationPort: number,
  sequence: number,
  acknowledgment: number,
  flags: number,
  window: number,
): void {
  view.setUint16(offset + TCP_SOURCE_PORT, sourcePort);
  view.setUint16(offset + TCP_DESTINATION_PORT, destinationPort);
  view.setUint32(offset + TCP_SEQUENCE, sequence);
  view.setUint32(offset + TCP_ACKNOWLEDGMENT, acknowledgment);
  view.setUint8(offset + TCP_DATA_OFFSET, (TCP_HEADER_SIZE / 4) << 4);
  view.setUint8(offset + TCP_FLAGS, flags);
  view.setUint16(offset + TCP_WINDOW, window);
  view.setUint32(offset + TCP_CHECKSUM, 0);
}

/** Sequence numbers that a segment uses: its payload, and one each for SYN and FIN (RFC 9293 section 3.4). */
export function tcpSegmentLength(flags: number, payloadLength: number): number {
  return payloadLength + ((flags & TCP_SYN) !== 0 ? 1 : 0) + ((flags & TCP_FIN) !== 0 ? 1 : 0);
}

/**
 * Flags of the reset that answers a segment for which there is no connection: RST alone if it had ACK, else RST and ACK
 * (RFC 9293 section 3.10.7.1). The answered segment must not be a reset.
 */
export function tcpResetFlags(flags: number): number {
  return (flags & TCP_ACK) !== 0 ? TCP_RST : TCP_RST | TCP_ACK;
}

/** Sequence number of that reset: what the segment acknowledged, or 0. */
export function tcpResetSequence(flags: number, acknowledgment: number): number {
  return (flags & TCP_ACK) !== 0 ? acknowledgment : 0;
}

/** Acknowledgment number of that reset: the end of the segment, or 0 where the reset has no ACK. */
export function tcpResetAcknowledgment(flags: number, sequence: number, payloadLength: number): number {
  return (flags & TCP_ACK) !== 0 ? 0 : (sequence + tcpSegmentLength(flags, payloadLength)) >>> 0;
}

/**
 * Offset (in the view) of the value of the MSS option, or NO_MSS. The data offset must have been checked; options that lie
 * about their length end the search, an MSS option of another size than 4 is passed over, as Linux does. At most 40 steps. Allocates nothing, never throws.
 */
export function tcpFindMss(view: DataView, offset: number): number {
  const end = offset + tcpHeaderSize(view, offset);
  let at = offset + TCP_HEADER_SIZE;
  while (at < end) {
    const kind = view.getUint8(at);
    if (kind === OPTION_END) return NO_MSS;
    if (kind === OPTION_NOP) {
      at++;
      continue;
    }
    if (at + 1 >= end) return NO_MSS;
    const size = view.getUint8(at + 1);
    if (size < 2 || at + size > end) return NO_MSS;
    if (kind === OPTION_MSS && size === 4) return at + 2;
    at += size;
  }
  return NO_MSS;
}

/**
 * Lowers the MSS option of a SYN to `mss` if it asks for more, and moves the checksum, unless that is left to do (`partial`:
 * its field then covers no options). A SYN without the option stays as it is: its default of 536 or 1,220 bytes is small.
 * @returns whether the option was lowered. Allocates nothing, never throws.
 */
export function tcpClampMss(view: DataView, offset: number, mss: number, partial: boolean): boolean {
  const at = tcpFindMss(view, offset);
  if (at === NO_MSS) return false;
  const before = view.getUint16(at);
  if (before <= mss) return false;
  view.setUint16(at, mss);
  if (!partial) {
    // Options may begin at odd offsets; there a word adds to the sum with its bytes exchanged.
    const odd = ((at - offset) & 1) !== 0;
    const delta = odd ? deltaWord16(swapBytes16(before), swapBytes16(mss)) : deltaWord16(before, mss);
    view.setUint16(offset + TCP_CHECKSUM, updateChecksum(view.getUint16(offset + TCP_CHECKSUM), delta));
  }
  return true;
}
