/**
 * The pcap file format, version 2.4, microseconds, little-endian, LINKTYPE_RAW: records of bare IP packets that tcpdump and
 * Wireshark read (draft-ietf-opsawg-pcap; link type 101).
 *
 * | file header | size | | record header | size |
 * | --- | --- | --- | --- | --- |
 * | magic a1b2c3d4 | 4 | | seconds since 1970 | 4 |
 * | version 2, 4 | 2 + 2 | | microseconds | 4 |
 * | reserved | 8 | | bytes kept | 4 |
 * | snap length | 4 | | bytes the packet had | 4 |
 * | link type | 4 | | the bytes kept | |
 */

const PCAP_HEADER_SIZE = 24;
export const PCAP_RECORD_SIZE = 16;
const MAGIC_MICROSECONDS = 0xa1b2c3d4;
const LINKTYPE_RAW = 101;
const MICROSECONDS = 1_000_000;

/** The header of a file. @param snapLength most bytes that a record keeps. */
export function pcapHeader(snapLength: number): Uint8Array {
  const view = new DataView(new ArrayBuffer(PCAP_HEADER_SIZE));
  view.setUint32(0, MAGIC_MICROSECONDS, true);
  view.setUint16(4, 2, true);
  view.setUint16(6, 4, true);
  view.setUint32(16, snapLength, true);
  view.setUint32(20, LINKTYPE_RAW, true);
  return new Uint8Array(view.buffer);
}

/**
 * Writes the header of a record at `at`.
 * @param timeUs microseconds since 1970; exact in a double for the next two centuries.
 * @param kept bytes of the packet that follow. @param length bytes that the packet had.
 */
export function pcapRecord(view: DataView, at: number, timeUs: number, kept: number, length: number): void {
  view.setUint32(at, Math.floor(timeUs / MICROSECONDS), true);
  view.setUint32(at + 4, Math.floor(timeUs % MICROSECONDS), true);
  view.setUint32(at + 8, kept, true);
  view.setUint32(at + 12, length, true);
}
