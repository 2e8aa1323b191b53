/**
 * ICMP and ICMPv6 headers, in place, and what the types mean to a dispatcher.
 *
 * |  0 | type 8 | code 8 | checksum 16 |
 * |  4 | rest 32: echo identifier and sequence, next-hop MTU, unused |
 * |  8 | echo data, or the quoted packet of an error |
 *
 * The ICMPv6 checksum covers a pseudo-header, that of ICMP does not. Source: RFC 792; RFC 1191 section 4 (next-hop MTU in the low
 * 16 bits of the rest); RFC 4443 (packet too big: MTU in all 32 bits). Redirects and source quench count as "other": nobody
 * behind a translator should believe them (RFC 5508 section 7, RFC 6633).
 */
import { deltaWord16, updateChecksum } from './checksum.ts';
import { PROTOCOL_ICMP, PROTOCOL_ICMPV6 } from './protocol.ts';

export const ICMP_HEADER_SIZE = 8;
const ICMP_TYPE = 0;
export const ICMP_CODE = 1;
export const ICMP_CHECKSUM = 2;
export const ICMP_REST = 4;

export const ICMP4_ECHO_REPLY = 0;
export const ICMP4_UNREACHABLE = 3;
export const ICMP4_ECHO_REQUEST = 8;
export const ICMP4_TIME_EXCEEDED = 11;
export const ICMP4_PARAMETER_PROBLEM = 12;
/** Codes of ICMP4_UNREACHABLE. */
export const ICMP4_CODE_PORT = 3;
export const ICMP4_CODE_FRAGMENTATION_NEEDED = 4;

export const ICMP6_UNREACHABLE = 1;
export const ICMP6_TOO_BIG = 2;
export const ICMP6_TIME_EXCEEDED = 3;
export const ICMP6_PARAMETER_PROBLEM = 4;
export const ICMP6_ECHO_REQUEST = 128;
export const ICMP6_ECHO_REPLY = 129;
/** Code of ICMP6_UNREACHABLE. */
export const ICMP6_CODE_PORT = 4;

export const ICMP_KIND_OTHER = 0;
export const ICMP_KIND_ECHO_REQUEST = 1;
export const ICMP_KIND_ECHO_REPLY = 2;
/** Quotes the packet that it is about; to be delivered to the end that sent it. */
export const ICMP_KIND_ERROR = 3;

export function icmpType(view: DataView, offset: number): number {
  return view.getUint8(offset + ICMP_TYPE);
}

export function icmpCode(view: DataView, offset: number): number {
  return view.getUint8(offset + ICMP_CODE);
}

export function icmpChecksum(view: DataView, offset: number): number {
  return view.getUint16(offset + ICMP_CHECKSUM);
}

/** Next-hop MTU of 'fragmentation needed' (0 from routers older than RFC 1191) or 'packet too big'. */
export function icmpMtu(view: DataView, offset: number, family: number): number {
  return family === 4 ? view.getUint16(offset + ICMP_REST + 2) : view.getUint32(offset + ICMP_REST);
}

/** ICMP_KIND_ constant of a type. Allocates nothing, never throws. */
export function icmpKind(family: number, type: number): number {
  if (family === 4) {
    if (type === ICMP4_ECHO_REQUEST) return ICMP_KIND_ECHO_REQUEST;
    if (type === ICMP4_ECHO_REPLY) return ICMP_KIND_ECHO_REPLY;
    const error =
      type === ICMP4_UNREACHABLE || type === ICMP4_TIME_EXCEEDED || type === ICMP4_PARAMETER_PROBLEM;
    return error ? ICMP_KIND_ERROR : ICMP_KIND_OTHER;
  }
  if (type === ICMP6_ECHO_REQUEST) return ICMP_KIND_ECHO_REQUEST;
  if (type === ICMP6_ECHO_REPLY) return ICMP_KIND_ECHO_REPLY;
  return type >= ICMP6_UNREACHABLE && type <= ICMP6_PARAMETER_PROBLEM ? ICMP_KIND_ERROR : ICMP_KIND_OTHER;
}

/** Whether the protocol is the ICMP of the family. */
export function isIcmp(family: number, protocol: number): boolean {
  return protocol === (family === 4 ? PROTOCOL_ICMP : PROTOCOL_ICMPV6);
}

/** Offset of the quoted packet in an error, from the ICMP header. */
export function icmpQuoteOffset(icmpOffset: number): number {
  return icmpOffset + ICMP_HEADER_SIZE;
}

/**
 * Stores the type and moves the checksum. The checksum keeps its mark: right stays right, wrong stays wrong.
 * @param partial the vnet header leaves the checksum to do: its field does not cover the type.
 */
export function icmpSetType(view: DataView, offset: number, type: number, partial: boolean): void {
  const before = view.getUint16(offset);
  const after = (type << 8) | (before & 0xff);
  view.setUint8(offset + ICMP_TYPE, type);
  if (partial) return;
  const checksum = updateChecksum(view.getUint16(offset + ICMP_CHECKSUM), deltaWord16(before, after));
  // An IPv4 echo reply may be all zeroes, the one sum that is truly 0: its checksum is 0xffff, and 0 would not verify. Where the
  // sum is 0xffff, 0xffff verifies as well as 0 does.
  view.setUint16(offset + ICMP_CHECKSUM, checksum === 0 ? 0xffff : checksum);
}
