/**
 * Reads pcap files, as tcpdump and `latchway capture` write them (draft-ietf-opsawg-pcap): either byte order, microseconds or nanoseconds, and of link
 * types Ethernet, raw IP, and what tcpdump calls LINUX_SLL and LINUX_SLL2 (`-i any`). Takes any bytes; what is cut off ends the file.
 */
import { LatchwayError } from '../base/fault.ts';
import type { Captured } from './capture-link.ts';

const MAGIC_MICROSECONDS = 0xa1b2c3d4;
const MAGIC_NANOSECONDS = 0xa1b23c4d;
const MAGIC_PCAPNG = 0x0a0d0d0a;
const HEADER_SIZE = 24;
const RECORD_SIZE = 16;
/** tcpdump's own bound of what a record may hold (MAXIMUM_SNAPLEN). */
const MAX_RECORD = 262_144;

/** Where the EtherType lies and how long the header is, by number of the link type (tcpdump.org/linktypes.html). */
const LINKS: ReadonlyMap<number, { readonly type: number; readonly size: number }> = new Map([
  [1, { type: 12, size: 14 }],
  [113, { type: 14, size: 16 }],
  [276, { type: 0, size: 20 }],
]);
const RAW = 101;
const ETHERTYPES_IP = [0x0800, 0x86dd];
const ETHERTYPES_VLAN = [0x8100, 0x88a8];
const VLAN_SIZE = 4;

/** Cuts bytes into pieces of the sizes that are asked for, however they come. */
class Pieces {
  readonly #chunks: AsyncIterator<Buffer>;
  #rest: Buffer = Buffer.alloc(0);

  constructor(chunks: AsyncIterable<Buffer>) {
    this.#chunks = chunks[Symbol.asyncIterator]();
  }

  /** @returns undefined when there are not so many bytes left */
  async take(size: number): Promise<Buffer | undefined> {
    const parts = [this.#rest];
    let have = this.#rest.length;
    while (have < size) {
      const { value, done } = await this.#chunks.next();
      if (done) return undefined;
      parts.push(value);
      have += value.length;
    }
    const all = parts.length === 1 ? this.#rest : Buffer.concat(parts);
    this.#rest = all.subarray(size);
    return all.subarray(0, size);
  }
}

/**
 * The IP packets of a file, without what is before them on the link; frames of other kinds are left out.
 * @param name of the file, for what is said about it
 * @throws LatchwayError `file` for what is no such file
 */
export async function* readPcap(chunks: AsyncIterable<Buffer>, name: string): AsyncGenerator<Captured> {
  const fail = (detail: string): never => {
    throw new LatchwayError({ code: 'file', file: name, detail });
  };
  const pieces = new Pieces(chunks);
  const header = (await pieces.take(HEADER_SIZE)) ?? fail('is no pcap file (it is too short)');
  if (header.readUInt32LE(0) === MAGIC_PCAPNG)
    fail(`is a pcapng file: make it a pcap file with 'tcpdump -r ${name} -w NEW'`);
  const magics = [MAGIC_MICROSECONDS, MAGIC_NANOSECONDS];
  const little = magics.includes(header.readUInt32LE(0));
  if (!little && !magics.includes(header.readUInt32BE(0))) fail('is no pcap file');
  const u32 = (bytes: Buffer, at: number): number =>
    little ? bytes.readUInt32LE(at) : bytes.readUInt32BE(at);
  const perMicrosecond = u32(header, 0) === MAGIC_NANOSECONDS ? 1000 : 1;
  // The upper bits say how long frame check sequences are.
  const linkType = u32(header, 20) & 0xffff;
  if (linkType !== RAW && !LINKS.has(linkType)) fail(`has link type ${linkType}, which is not known here`);
  for (;;) {
    const record = await pieces.take(RECORD_SIZE);
    if (record === undefined) return;
    const size = u32(record, 8);
    if (size > MAX_RECORD) fail(`is damaged: a packet of ${size} bytes`);
    const frame = await pieces.take(size);
    if (frame === undefined) return;
    const bytes = ipPacket(frame, linkType);
    if (bytes === undefined) continue;
    yield { seconds: u32(record, 0), microseconds: Math.floor(u32(record, 4) / perMicrosecond), bytes };
  }
}

function ipPacket(frame: Buffer, linkType: number): Buffer | undefined {
  const link = LINKS.get(linkType);
  if (link === undefined) return frame;
  let { type: at, size } = link;
  if (frame.length < size) return undefined;
  while (linkType === 1 && ETHERTYPES_VLAN.includes(frame.readUInt16BE(at))) {
    at += VLAN_SIZE;
    size += VLAN_SIZE;
    if (frame.length < size) return undefined;
  }
  return ETHERTYPES_IP.includes(frame.readUInt16BE(at)) ? frame.subarray(size) : undefined;
}
