/**
 * What the capturing child and its parent agree on: records on the child's standard output, messages beside it.
 *
 *     0  u32  length of the packet's bytes that follow the header
 *     4  u32  seconds since 1970
 *     8  u32  microseconds
 *
 * Little-endian, one record after the other, nothing between them.
 */

export const RECORD_HEADER_SIZE = 12;

/** From the child: it captures, or why it does not. */
export type CaptureMessage =
  | { readonly kind: 'open'; readonly linkType: LinkType }
  | { readonly kind: 'missing'; readonly detail: string }
  | { readonly kind: 'refused'; readonly detail: string };

/** What packets begin with, and its number in a pcap file (tcpdump.org/linktypes.html). */
export const LINK_TYPES = { RAW: 101, ETHERNET: 1 } as const;

export type LinkType = keyof typeof LINK_TYPES;

/** Longest packet that is kept whole; no IP packet is longer. */
export const SNAP_LENGTH = 65_535;

export interface Captured {
  readonly seconds: number;
  readonly microseconds: number;
  readonly bytes: Buffer;
}

/** Cuts the child's output into records, however it was cut on the way. */
export async function* readRecords(chunks: AsyncIterable<Buffer>): AsyncGenerator<Captured> {
  let rest: Buffer = Buffer.alloc(0);
  for await (const chunk of chunks) {
    rest = rest.length === 0 ? chunk : Buffer.concat([rest, chunk]);
    let at = 0;
    while (rest.length - at >= RECORD_HEADER_SIZE) {
      const end = at + RECORD_HEADER_SIZE + rest.readUInt32LE(at);
      if (end > rest.length) break;
      yield {
        seconds: rest.readUInt32LE(at + 4),
        microseconds: rest.readUInt32LE(at + 8),
        bytes: rest.subarray(at + RECORD_HEADER_SIZE, end),
      };
      at = end;
    }
    rest = rest.subarray(at);
  }
}
