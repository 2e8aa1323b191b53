/**
 * Writing to standard output: whole texts, long streams, tables. A reader who has seen enough (`| head`) ends the
 * program quietly with exit code 0.
 */
import { once } from 'node:events';
import Table from 'cli-table3';

/** Prints a text; a line end is added. */
export function print(text: string): void {
  endWithReader();
  process.stdout.write(`${text}\n`);
}

export function printJson(value: unknown): void {
  print(JSON.stringify(value, undefined, 2));
}

/** Prints pieces as they come, no faster than they are read. */
export async function printStream(pieces: AsyncIterable<string | Uint8Array>): Promise<void> {
  endWithReader();
  for await (const piece of pieces) if (!process.stdout.write(piece)) await once(process.stdout, 'drain');
}

let watching = false;

/** Ends the process when standard output is closed at its other end; to be called before anything is written by others, as help is. */
export function endWithReader(): void {
  if (watching) return;
  watching = true;
  process.stdout.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code === 'EPIPE') process.exit(0);
    throw error;
  });
}

const NO_LINES = {
  top: '',
  'top-mid': '',
  'top-left': '',
  'top-right': '',
  bottom: '',
  'bottom-mid': '',
  'bottom-left': '',
  'bottom-right': '',
  left: '',
  'left-mid': '',
  mid: '',
  'mid-mid': '',
  right: '',
  'right-mid': '',
  middle: ' ',
};

/** A row: its cells, or one text over the whole width. */
export type Row = readonly (string | number)[] | string;

/** Columns under their heads, without lines or colours; `right` columns are aligned to the right. */
export function formatTable(
  head: readonly string[],
  rows: readonly Row[],
  right: readonly number[] = [],
): string {
  const table = new Table({
    chars: NO_LINES,
    style: { head: [], border: [], 'padding-left': 0, 'padding-right': 1 },
    colAligns: head.map((_, index) => (right.includes(index) ? 'right' : 'left')),
  });
  table.push([...head]);
  for (const row of rows)
    table.push(typeof row === 'string' ? [{ content: row, colSpan: head.length }] : [...row]);
  return table.toString().replace(/ +$/gm, '');
}
