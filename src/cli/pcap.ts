/**
 * The pcap file format that tcpdump and Wireshark read (draft-ietf-opsawg-pcap): one header of 24 bytes, then a record
 * of 16 bytes and the packet for each. Little-endian, microseconds.
 */
import { type Captured, LINK_TYPES, type LinkType, SNAP_LENGTH } from './capture-link.ts';

const MAGIC = 0xa1b2c3d4;
const HEADER_SIZE = 24;
const RECORD_SIZE = 16;

export function pcapHeader(linkType: LinkType): Buffer {
  const header = Buffer.alloc(HEADER_SIZE);
  header.writeUInt32LE(MAGIC, 0);
  header.writeUInt16LE(2, 4);
  header.writeUInt16LE(4, 6);
  // Time zone and accuracy of time stamps: 0 in every file.
  header.writeUInt32LE(SNAP_LENGTH, 16);
  header.writeUInt32LE(LINK_TYPES[linkType], 20);
  return header;
}

/** The record of one packet, its bytes included. */
export function pcapRecord({ seconds, microseconds, bytes }: Captured): Buffer {
  const record = Buffer.alloc(RECORD_SIZE + bytes.length);
  record.writeUInt32LE(seconds, 0);
  record.writeUInt32LE(microseconds, 4);
  record.writeUInt32LE(bytes.length, 8);
  record.writeUInt32LE(bytes.length, 12);
  bytes.copy(record, RECORD_SIZE);
  return record;
}
