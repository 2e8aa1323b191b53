/**
 * The UDP header, in place: | 0 | source port 16 | destination port 16 | 4 | length 16 | checksum 16 | 8 |.
 *
 * Checksum 0 means that the sender made none (over IPv6 only tunnels may, RFC 6935); a computed 0 is sent as 0xffff.
 * Source: RFC 768.
 */

export const UDP_HEADER_SIZE = 8;
const UDP_SOURCE_PORT = 0;
export const UDP_DESTINATION_PORT = 2;
export const UDP_LENGTH = 4;
export const UDP_CHECKSUM = 6;

export function udpSourcePort(view: DataView, offset: number): number {
  return view.getUint16(offset + UDP_SOURCE_PORT);
}

export function udpDestinationPort(view: DataView, offset: number): number {
  return view.getUint16(offset + UDP_DESTINATION_PORT);
}

/** Bytes of header and data. */
export function udpLength(view: DataView, offset: number): number {
  return view.getUint16(offset + UDP_LENGTH);
}

export function udpChecksum(view: DataView, offset: number): number {
  return view.getUint16(offset + UDP_CHECKSUM);
}

/** Writes a header with checksum 0. Allocates nothing, never throws. */
export function udpWrite(
  view: DataView,
  offset: number,
  sourcePort: number,
  destinationPort: number,
  length: number,
): void {
  view.setUint16(offset + UDP_SOURCE_PORT, sourcePort);
  view.setUint16(offset + UDP_DESTINATION_PORT, destinationPort);
  view.setUint16(offset + UDP_LENGTH, length);
  view.setUint16(offset + UDP_CHECKSUM, 0);
}
