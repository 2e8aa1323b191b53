/**
 * The saved table on disk: written by the main thread when the daemon stops, read by the dispatcher thread before it forwards.
 *
 * Writing: beside the name, synced, renamed, so that there is a whole one or none; a fault leaves nothing beside it. Reading
 * believes only a regular file that nobody else could have written, and changes nothing: the main thread removes the file
 * once the daemon is ready, so that a fault on the way does not lose it, and it is never loaded twice.
 */
import {
  closeSync,
  constants,
  fstatSync,
  fsyncSync,
  lstatSync,
  mkdirSync,
  openSync,
  readSync,
  renameSync,
  rmSync,
  type Stats,
  unlinkSync,
  writeSync,
} from 'node:fs';
import { dirname } from 'node:path';
import type { Generation } from '../../balance/generation.ts';
import type { DispatchTable } from '../../table/dispatch-table.ts';
import type { SharedTable } from '../../table/shared-table.ts';
import { TableDecoder, type TableFileResult } from '../../table/table-decoder.ts';
import { encodeEnd, encodeHeader, encodeRows, rowsIn } from '../../table/table-file.ts';
import { type BootMoment, bootMoment } from './boot-clock.ts';
import { TableLoader } from './loader.ts';

/** Rows written, or bytes read, in one piece. */
const ROWS_PER_CHUNK = 8192;
const READ_SIZE = 1 << 20;

const { O_CREAT, O_EXCL, O_NOFOLLOW, O_NONBLOCK, O_RDONLY, O_WRONLY } = constants;
/** Write permission of group and others. */
const FOREIGN_WRITE = 0o022;

/**
 * Writes the whole table. Nobody may be writing the table any more.
 * @param now monotonic ms. @returns rows written.
 * @throws Error of node:fs; what was saved before is then still there.
 */
export function saveTable(
  file: string,
  table: SharedTable,
  generation: Generation,
  now: number,
  moment: BootMoment = bootMoment(),
): number {
  const folder = dirname(file);
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  const beside = `${file}.new`;
  // Of a run that was killed while it saved.
  rmSync(beside, { force: true });
  const fd = openSync(beside, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0o600);
  try {
    let rows: number;
    try {
      rows = writeTable(fd, table, generation, now, moment);
      fsyncSync(fd);
    } finally {
      closeSync(fd);
    }
    renameSync(beside, file);
    syncFolder(folder);
    return rows;
  } catch (error) {
    rmSync(beside, { force: true });
    throw error;
  }
}

/** So that the new name outlives a loss of power, too. */
function syncFolder(folder: string): void {
  const fd = openSync(folder, O_RDONLY);
  try {
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
}

function writeTable(
  fd: number,
  table: SharedTable,
  generation: Generation,
  now: number,
  moment: BootMoment,
): number {
  const services = generation.services.map(({ index, id }) => ({ index, id }));
  const servers = generation.services.flatMap((one) => one.servers.map(({ index, id }) => ({ index, id })));
  const { unixMs: savedAtMs, uptimeMs, bootId } = moment;
  writeAll(fd, encodeHeader({ savedAtMs, uptimeMs, bootId, services, servers }));
  let rows = 0;
  for (let first = 0; first < table.usedRows; first += ROWS_PER_CHUNK) {
    const chunk = encodeRows(table, first, ROWS_PER_CHUNK, now);
    rows += rowsIn(chunk);
    writeAll(fd, chunk);
  }
  writeAll(fd, encodeEnd(rows));
  return rows;
}

function writeAll(fd: number, bytes: Uint8Array): void {
  for (let at = 0; at < bytes.length; ) at += writeSync(fd, bytes, at);
}

export interface LoadOutcome {
  /** Rows that are in the table now, and rows that were left out. */
  readonly loaded: number;
  readonly skipped: number;
  /** Undefined when there was no file, or none that could be read to its end. */
  readonly result: TableFileResult | undefined;
  /** Why there is a file that was not read, in words; undefined when there was none, or all of it was read. */
  readonly problem: string | undefined;
}

/**
 * Reads a saved table into an empty one; the file stays. Does not throw for what it finds.
 * @param now monotonic ms.
 */
export function loadTable(
  file: string,
  table: DispatchTable,
  generation: Generation,
  now: number,
  moment: BootMoment = bootMoment(),
): LoadOutcome {
  const loader = new TableLoader(table, generation, now, moment);
  const outcome = (result: TableFileResult | undefined, problem: string | undefined): LoadOutcome => {
    loader.holdSessions();
    return { loaded: loader.loaded, skipped: loader.skipped, result, problem };
  };
  let fd: number;
  try {
    // Without O_NONBLOCK opening a FIFO would wait for a writer.
    fd = openSync(file, O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return outcome(undefined, undefined);
    return outcome(undefined, problemOf(file, error));
  }
  try {
    const reason = distrust(fstatSync(fd));
    if (reason !== undefined) return outcome(undefined, `${file} ${reason}: left alone`);
    return outcome(readTable(fd, loader), undefined);
  } catch (error) {
    return outcome(undefined, problemOf(file, error));
  } finally {
    closeSync(fd);
  }
}

function readTable(fd: number, loader: TableLoader): TableFileResult {
  const decoder = new TableDecoder(loader);
  const buffer = new Uint8Array(READ_SIZE);
  for (;;) {
    const size = readSync(fd, buffer);
    if (size === 0 || !decoder.push(buffer.subarray(0, size))) return decoder.end();
  }
}

/** Why a file is not believed: somebody else could have written it. */
function distrust(stats: Stats): string | undefined {
  if (!stats.isFile()) return 'is no regular file';
  if (stats.uid !== process.geteuid!() && stats.uid !== 0) return `belongs to user ${stats.uid}`;
  if ((stats.mode & FOREIGN_WRITE) !== 0) return 'may be written by group or others';
  return undefined;
}

function problemOf(file: string, error: unknown): string {
  const { code, message } = error as NodeJS.ErrnoException;
  return code === 'ELOOP' ? `${file} is a symbolic link: left alone` : `${file} cannot be read: ${message}`;
}

/**
 * Removes a saved table, so that it is never loaded again. What `loadTable` left alone stays; a missing file is as good.
 * @throws Error of node:fs when it cannot be removed
 */
export function removeTable(file: string): void {
  const stats = lstatSync(file, { throwIfNoEntry: false });
  if (stats !== undefined && distrust(stats) === undefined) unlinkSync(file);
}
