/**
 * The saved form of the dispatch table, for a restart: bytes in, bytes out; files are somebody else's.
 *
 * A sequence of chunks, big-endian: type u32, body length u32, CRC-32 of the body u32, body.
 *
 *     "LWTB"  version u16, 0 u16, saved at (Unix ms) u64, the same as uptime (ms) u64 in the boot with this id 16
 *             (0: not known), then twice (services, servers): count u32, and for each its index u16, the length of
 *             its id u8, its id (UTF-8). Comes first, once.
 *     "ROWS"  any number of rows of 44 bytes: client address 16, client port u16, VIP port u16, service index u16,
 *             server index u16, server port u16, state u8, flags u8, client ISN u32, idle ms u32, age ms u32, 0 u32
 *     "TEND"  number of rows u32. Comes last; without it the file is cut short.
 *
 * Indexes are the saver's own and mean the ids in the first chunk. Times of rows are durations; the one moment, by
 * two clocks, tells the loader how long the table lay on disk.
 */

import { crc32 } from 'node:zlib';
import { elapsedMs } from '../base/clock.ts';
import { emptyFlowRow, MAX_IDLE_MS } from './flow-row.ts';
import type { SharedTable } from './shared-table.ts';

export const CHUNK_HEADER = 0x4c575442;
export const CHUNK_ROWS = 0x524f5753;
export const CHUNK_END = 0x54454e44;

/** Bytes before each body. */
export const CHUNK_PREFIX_SIZE = 12;
export const SAVED_ROW_SIZE = 44;
export const TABLE_FILE_VERSION = 2;
/** Bytes of the first chunk's body before its lists. */
export const HEADER_FIXED_SIZE = 36;
export const BOOT_ID_SIZE = 16;

/** An index of the saver, and the id that it stands for. */
export interface SavedName {
  readonly index: number;
  readonly id: string;
}

export interface SavedHeader {
  /** Unix time in ms. */
  readonly savedAtMs: number;
  /** ms since the kernel of the boot `bootId` started. */
  readonly uptimeMs: number;
  /** UUID in small letters; empty: not known. */
  readonly bootId: string;
  readonly services: readonly SavedName[];
  readonly servers: readonly SavedName[];
}

/**
 * The first chunk.
 * @throws RangeError when an id is longer than 255 bytes.
 */
export function encodeHeader(header: SavedHeader): Uint8Array {
  const encoder = new TextEncoder();
  const lists = [header.services, header.servers].map((names) =>
    names.map(({ index, id }) => ({ index, id: encoder.encode(id) })),
  );
  const size = lists.reduce(
    (sum, names) => names.reduce((all, { id }) => all + 3 + id.length, sum + 4),
    HEADER_FIXED_SIZE,
  );
  const body = new Uint8Array(size);
  const view = new DataView(body.buffer);
  view.setUint16(0, TABLE_FILE_VERSION);
  view.setBigUint64(4, BigInt(header.savedAtMs));
  view.setBigUint64(12, BigInt(header.uptimeMs));
  body.set(Buffer.from(header.bootId.replaceAll('-', ''), 'hex').subarray(0, BOOT_ID_SIZE), 20);
  let at = HEADER_FIXED_SIZE;
  for (const names of lists) {
    view.setUint32(at, names.length);
    at += 4;
    for (const { index, id } of names) {
      if (id.length > 255) throw new RangeError('an id is longer than 255 bytes');
      view.setUint16(at, index);
      view.setUint8(at + 2, id.length);
      body.set(id, at + 3);
      at += 3 + id.length;
    }
  }
  return chunk(CHUNK_HEADER, body);
}

/**
 * A chunk with the rows in use among `count` rows from `first` on; also while the table is being written.
 * @param now monotonic ms. @returns an empty array when none is in use.
 */
export function encodeRows(table: SharedTable, first: number, count: number, now: number): Uint8Array {
  const end = Math.min(first + count, table.usedRows);
  const body = new Uint8Array(Math.max(0, end - first) * SAVED_ROW_SIZE);
  const view = new DataView(body.buffer);
  const row = emptyFlowRow();
  let at = 0;
  for (let one = first; one < end; one++) {
    if (!table.readRow(one, row)) continue;
    view.setUint32(at, row.client0);
    view.setUint32(at + 4, row.client1);
    view.setUint32(at + 8, row.client2);
    view.setUint32(at + 12, row.client3);
    view.setUint16(at + 16, row.clientPort);
    view.setUint16(at + 18, row.vipPort);
    view.setUint16(at + 20, row.service);
    view.setUint16(at + 22, row.server);
    view.setUint16(at + 24, row.serverPort);
    view.setUint8(at + 26, row.state);
    view.setUint8(at + 27, row.flags);
    // The ISN word of a session entry counts the flows that hold it, which the loader counts anew.
    view.setUint32(at + 28, row.session ? 0 : row.isn);
    const idle = elapsedMs(now, row.lastSeen);
    view.setUint32(at + 32, idle > MAX_IDLE_MS ? 0 : idle);
    view.setUint32(at + 36, elapsedMs(now, row.openedAt));
    at += SAVED_ROW_SIZE;
  }
  return at === 0 ? new Uint8Array(0) : chunk(CHUNK_ROWS, body.subarray(0, at));
}

/** Rows in a chunk of `encodeRows`. */
export function rowsIn(rows: Uint8Array): number {
  return Math.max(0, rows.length - CHUNK_PREFIX_SIZE) / SAVED_ROW_SIZE;
}

/** The last chunk. @param rows how many were saved. */
export function encodeEnd(rows: number): Uint8Array {
  const body = new Uint8Array(4);
  new DataView(body.buffer).setUint32(0, rows);
  return chunk(CHUNK_END, body);
}

function chunk(type: number, body: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(CHUNK_PREFIX_SIZE + body.length);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, type);
  view.setUint32(4, body.length);
  view.setUint32(8, crc32(body));
  bytes.set(body, CHUNK_PREFIX_SIZE);
  return bytes;
}
