/**
 * Reading a saved table (`table-file.ts`): takes any bytes in pieces of any size, and throws for none of them.
 *
 * State: the bytes of a chunk that is not whole yet, and where in the order header, rows, end the file is. The first
 * fault ends the reading; rows before it were good (each chunk is checked as a whole before its rows are given out).
 */

import { crc32 } from 'node:zlib';
import { STATE_COUNT, STATE_FREE, STATE_SESSION } from './flow-row.ts';
import {
  BOOT_ID_SIZE,
  CHUNK_END,
  CHUNK_HEADER,
  CHUNK_PREFIX_SIZE,
  CHUNK_ROWS,
  HEADER_FIXED_SIZE,
  SAVED_ROW_SIZE,
  type SavedHeader,
  type SavedName,
  TABLE_FILE_VERSION,
} from './table-file.ts';

/** Longest body that is believed; a header with 65,535 servers and long ids has 17 MB. */
const MAX_BODY_SIZE = 32 * 1024 * 1024;

/** One row as saved; reused from row to row. Indexes are the saver's. */
export interface SavedRow {
  client0: number;
  client1: number;
  client2: number;
  client3: number;
  clientPort: number;
  vipPort: number;
  session: boolean;
  service: number;
  server: number;
  serverPort: number;
  state: number;
  flags: number;
  isn: number;
  /** At the time of saving. */
  idleMs: number;
  ageMs: number;
}

export type TableFileFault =
  | 'not-a-table'
  | 'unknown-version'
  | 'bad-header'
  | 'bad-chunk'
  | 'bad-checksum'
  | 'bad-row'
  | 'wrong-count'
  | 'trailing-bytes'
  | 'truncated';

export type TableFileResult =
  | { readonly ok: true; readonly rows: number }
  /** `rows` good rows came before the fault. */
  | { readonly ok: false; readonly fault: TableFileFault; readonly rows: number };

/** What is made of the contents, called from within `push`. */
export interface TableFileSink {
  header(header: SavedHeader): void;
  /** @param row valid until the next call only. */
  row(row: SavedRow): void;
}

export class TableDecoder {
  readonly #sink: TableFileSink;
  #pending: Uint8Array<ArrayBufferLike> = new Uint8Array(0);
  #stage: 'header' | 'rows' | 'ended' = 'header';
  #fault: TableFileFault | undefined;
  #rows = 0;
  readonly #row: SavedRow = emptySavedRow();

  constructor(sink: TableFileSink) {
    this.#sink = sink;
  }

  /** Takes the next bytes. @returns false once there is a fault: nothing more will be read. */
  push(bytes: Uint8Array): boolean {
    if (this.#fault !== undefined) return false;
    let input = bytes;
    if (this.#pending.length > 0) {
      input = new Uint8Array(this.#pending.length + bytes.length);
      input.set(this.#pending);
      input.set(bytes, this.#pending.length);
    }
    let at = 0;
    while (this.#fault === undefined) {
      const size = this.#takeChunk(input.subarray(at));
      if (size === 0) break;
      at += size;
    }
    this.#pending = input.slice(at);
    return this.#fault === undefined;
  }

  /** The outcome, when there are no more bytes. */
  end(): TableFileResult {
    const fault = this.#fault ?? (this.#stage === 'ended' ? undefined : 'truncated');
    return fault === undefined ? { ok: true, rows: this.#rows } : { ok: false, fault, rows: this.#rows };
  }

  /** @returns bytes taken, 0 when the chunk is not whole yet or faulty. */
  #takeChunk(input: Uint8Array): number {
    if (this.#stage === 'ended') return input.length === 0 ? 0 : this.#fail('trailing-bytes');
    if (input.length < CHUNK_PREFIX_SIZE) return 0;
    const view = new DataView(input.buffer, input.byteOffset, input.byteLength);
    const type = view.getUint32(0);
    const length = view.getUint32(4);
    if (this.#stage === 'header' && type !== CHUNK_HEADER) return this.#fail('not-a-table');
    if (length > MAX_BODY_SIZE) return this.#fail('bad-chunk');
    if (input.length < CHUNK_PREFIX_SIZE + length) return 0;
    const body = input.subarray(CHUNK_PREFIX_SIZE, CHUNK_PREFIX_SIZE + length);
    if (crc32(body) !== view.getUint32(8)) return this.#fail('bad-checksum');
    const fault = this.#takeBody(type, body);
    return fault === undefined ? CHUNK_PREFIX_SIZE + length : this.#fail(fault);
  }

  #takeBody(type: number, body: Uint8Array): TableFileFault | undefined {
    const view = new DataView(body.buffer, body.byteOffset, body.byteLength);
    if (this.#stage === 'header') return this.#takeHeader(view);
    if (type === CHUNK_ROWS) return this.#takeRows(view);
    if (type !== CHUNK_END || view.byteLength !== 4) return 'bad-chunk';
    if (view.getUint32(0) !== this.#rows) return 'wrong-count';
    this.#stage = 'ended';
    return undefined;
  }

  #takeHeader(view: DataView): TableFileFault | undefined {
    if (view.byteLength < 2) return 'bad-header';
    if (view.getUint16(0) !== TABLE_FILE_VERSION) return 'unknown-version';
    if (view.byteLength < HEADER_FIXED_SIZE) return 'bad-header';
    const savedAtMs = Number(view.getBigUint64(4));
    const uptimeMs = Number(view.getBigUint64(12));
    const bootId = readBootId(view, 20);
    const services = readNames(view, HEADER_FIXED_SIZE);
    if (services === undefined) return 'bad-header';
    const servers = readNames(view, services.end);
    if (servers === undefined || servers.end !== view.byteLength) return 'bad-header';
    this.#stage = 'rows';
    this.#sink.header({ savedAtMs, uptimeMs, bootId, services: services.names, servers: servers.names });
    return undefined;
  }

  #takeRows(view: DataView): TableFileFault | undefined {
    if (view.byteLength % SAVED_ROW_SIZE !== 0) return 'bad-chunk';
    for (let at = 0; at < view.byteLength; at += SAVED_ROW_SIZE) {
      readRow(view, at, this.#row);
      if (!this.#isSound(this.#row)) return 'bad-row';
      this.#rows++;
      this.#sink.row(this.#row);
    }
    return undefined;
  }

  #isSound(row: SavedRow): boolean {
    if (row.state === STATE_FREE || row.state >= STATE_COUNT) return false;
    // A service or server that the header does not name has left while the row had not gone: the sink leaves the row out.
    return !row.session || (row.clientPort === 0 && row.vipPort === 0 && row.serverPort === 0);
  }

  #fail(fault: TableFileFault): 0 {
    this.#fault = fault;
    return 0;
  }
}

function readBootId(view: DataView, at: number): string {
  const bytes = Buffer.from(view.buffer, view.byteOffset + at, BOOT_ID_SIZE);
  if (bytes.every((byte) => byte === 0)) return '';
  return bytes.toString('hex').replace(/^(.{8})(.{4})(.{4})(.{4})/, '$1-$2-$3-$4-');
}

function readNames(view: DataView, start: number): { names: SavedName[]; end: number } | undefined {
  if (start + 4 > view.byteLength) return undefined;
  const count = view.getUint32(start);
  const decoder = new TextDecoder();
  const names: SavedName[] = [];
  let at = start + 4;
  for (let left = count; left > 0; left--) {
    if (at + 3 > view.byteLength) return undefined;
    const end = at + 3 + view.getUint8(at + 2);
    if (end > view.byteLength) return undefined;
    const id = new Uint8Array(view.buffer, view.byteOffset + at + 3, end - at - 3);
    names.push({ index: view.getUint16(at), id: decoder.decode(id) });
    at = end;
  }
  return { names, end: at };
}

function readRow(view: DataView, at: number, into: SavedRow): void {
  into.client0 = view.getUint32(at);
  into.client1 = view.getUint32(at + 4);
  into.client2 = view.getUint32(at + 8);
  into.client3 = view.getUint32(at + 12);
  into.clientPort = view.getUint16(at + 16);
  into.vipPort = view.getUint16(at + 18);
  into.service = view.getUint16(at + 20);
  into.server = view.getUint16(at + 22);
  into.serverPort = view.getUint16(at + 24);
  into.state = view.getUint8(at + 26);
  into.flags = view.getUint8(at + 27);
  into.isn = view.getUint32(at + 28);
  into.idleMs = view.getUint32(at + 32);
  into.ageMs = view.getUint32(at + 36);
  into.session = into.state === STATE_SESSION;
}

function emptySavedRow(): SavedRow {
  return {
    client0: 0,
    client1: 0,
    client2: 0,
    client3: 0,
    clientPort: 0,
    vipPort: 0,
    session: false,
    service: 0,
    server: 0,
    serverPort: 0,
    state: STATE_FREE,
    flags: 0,
    isn: 0,
    idleMs: 0,
    ageMs: 0,
  };
}
