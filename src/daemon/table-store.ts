/**
 * The saved table on disk: written by the main thread when the daemon stops, read by the dispatcher thread before it forwards.
 *
 * The file is written beside its name and renamed, so that there is a whole one or none; it is removed once it has been read, so
 * that it is never loaded twice. Rows whose time is over, or whose service or server this configuration does not name, are left out.
 */
import { closeSync, mkdirSync, openSync, readSync, renameSync, rmSync, writeSync } from 'node:fs';
import { dirname } from 'node:path';
import { type Generation, PROTOCOL_UDP } from '../balance/generation.ts';
import { affinityMask } from '../balance/service-table.ts';
import type { DispatchTable } from '../table/dispatch-table.ts';
import { NO_ROW, STATE_FREE, STATE_SESSION, STATE_UDP, sessionMeta } from '../table/flow-row.ts';
import { timeoutsByState } from '../table/lifetimes.ts';
import { type RestoreTarget, restoreRow } from '../table/restore.ts';
import type { SharedTable } from '../table/shared-table.ts';
import { type SavedRow, TableDecoder, type TableFileResult } from '../table/table-decoder.ts';
import { encodeEnd, encodeHeader, encodeRows, rowsIn, type SavedHeader } from '../table/table-file.ts';

/** Rows written, or bytes read, in one piece. */
const ROWS_PER_CHUNK = 8192;
const READ_SIZE = 1 << 20;

/**
 * Writes the whole table. Nobody may be writing the table any more.
 * @param now monotonic ms. @returns rows written.
 * @throws Error of node:fs
 */
export function saveTable(file: string, table: SharedTable, generation: Generation, now: number): number {
  mkdirSync(dirname(file), { recursive: true, mode: 0o700 });
  const beside = `${file}.new`;
  const fd = openSync(beside, 'w', 0o600);
  let rows = 0;
  try {
    const services = generation.services.map(({ index, id }) => ({ index, id }));
    const servers = generation.services.flatMap((one) => one.servers.map(({ index, id }) => ({ index, id })));
    writeAll(fd, encodeHeader({ savedAtMs: Date.now(), services, servers }));
    for (let first = 0; first < table.usedRows; first += ROWS_PER_CHUNK) {
      const chunk = encodeRows(table, first, ROWS_PER_CHUNK, now);
      rows += rowsIn(chunk);
      writeAll(fd, chunk);
    }
    writeAll(fd, encodeEnd(rows));
  } finally {
    closeSync(fd);
  }
  renameSync(beside, file);
  return rows;
}

function writeAll(fd: number, bytes: Uint8Array): void {
  for (let at = 0; at < bytes.length; ) at += writeSync(fd, bytes, at);
}

export interface LoadOutcome {
  /** Rows that are in the table now, and rows that were left out. */
  readonly loaded: number;
  readonly skipped: number;
  /** Undefined when there was no file. */
  readonly result: TableFileResult | undefined;
}

/**
 * Reads a saved table into an empty one, and removes the file.
 * @param now monotonic ms.
 * @throws Error of node:fs, except that a missing file is an outcome.
 */
export function loadTable(
  file: string,
  table: DispatchTable,
  generation: Generation,
  now: number,
): LoadOutcome {
  let fd: number;
  try {
    fd = openSync(file, 'r');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT')
      return { loaded: 0, skipped: 0, result: undefined };
    throw error;
  }
  const loader = new TableLoader(table, generation, now);
  const decoder = new TableDecoder(loader);
  const buffer = new Uint8Array(READ_SIZE);
  try {
    for (;;) {
      const size = readSync(fd, buffer);
      if (size === 0 || !decoder.push(buffer.subarray(0, size))) break;
    }
  } finally {
    closeSync(fd);
  }
  loader.holdSessions();
  rmSync(file, { force: true });
  return { loaded: loader.loaded, skipped: loader.skipped, result: decoder.end() };
}

class TableLoader {
  loaded = 0;
  skipped = 0;
  readonly #table: DispatchTable;
  readonly #now: number;
  readonly #services: ReadonlyMap<string, Generation['services'][number]>;
  readonly #servers: ReadonlyMap<
    string,
    { readonly index: number; readonly endpoint: number; readonly service: number }
  >;
  readonly #timeouts = new Map<number, Uint32Array>();
  #sinceSaveMs = 0;
  /** By the saver's index. */
  #serviceIds = new Map<number, string>();
  #serverIds = new Map<number, string>();

  constructor(table: DispatchTable, generation: Generation, now: number) {
    this.#table = table;
    this.#now = now;
    this.#services = new Map(generation.services.map((service) => [service.id, service]));
    this.#servers = new Map(
      generation.services.flatMap((service) =>
        service.servers.map(
          ({ id, index, endpoint }) => [id, { index, endpoint, service: service.index }] as const,
        ),
      ),
    );
    for (const service of generation.services)
      this.#timeouts.set(service.index, timeoutsByState(service.timeoutsMs));
  }

  header(header: SavedHeader): void {
    this.#sinceSaveMs = Math.max(0, Date.now() - header.savedAtMs);
    this.#serviceIds = new Map(header.services.map(({ index, id }) => [index, id]));
    this.#serverIds = new Map(header.servers.map(({ index, id }) => [index, id]));
  }

  row(row: SavedRow): void {
    const target = this.#target(row);
    const restored =
      target !== undefined && restoreRow(this.#table, row, target, this.#sinceSaveMs, this.#now) >= 0;
    if (restored) this.loaded++;
    else this.skipped++;
  }

  #target(row: SavedRow): RestoreTarget | undefined {
    const service = this.#services.get(this.#serviceIds.get(row.service) ?? '');
    const server = this.#servers.get(this.#serverIds.get(row.server) ?? '');
    if (service === undefined || server === undefined || server.service !== service.index) return undefined;
    const kindFits =
      (service.protocol === PROTOCOL_UDP) === (row.state === STATE_UDP) || row.state === STATE_SESSION;
    const replies = row.serverPort !== 0 || row.session;
    if (!kindFits || (service.mode === 'nat') !== replies) return undefined;
    const timeout = this.#timeouts.get(service.index)?.[row.state] ?? 0;
    // A session is held by its flows, whatever its own age.
    if (!row.session && row.idleMs + this.#sinceSaveMs >= timeout) return undefined;
    return { service: service.index, server: server.index, endpoint: server.endpoint };
  }

  /** Counts for each session entry the flows that hold it: the file does not say. */
  holdSessions(): void {
    const table = this.#table;
    for (const service of this.#services.values()) {
      if (service.affinity.kind !== 'client') continue;
      this.#holdSessionsOf(table, service.index, affinityMask(service));
    }
  }

  #holdSessionsOf(table: DispatchTable, service: number, mask: Int32Array): void {
    for (let row = 0; row < table.usedRows; row++) {
      if (table.state(row) === STATE_FREE || table.isSession(row) || table.service(row) !== service) continue;
      const a0 = table.clientWord(row, 0) & mask[0]!;
      const a1 = table.clientWord(row, 1) & mask[1]!;
      const a2 = table.clientWord(row, 2) & mask[2]!;
      const a3 = table.clientWord(row, 3) & mask[3]!;
      const meta = sessionMeta(service);
      const session = table.findForward(table.hashForward(a0, a1, a2, a3, 0, meta), a0, a1, a2, a3, 0, meta);
      if (session !== NO_ROW && table.server(session) === table.server(row)) table.holdSession(session);
    }
  }
}
