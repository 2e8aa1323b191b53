/**
 * Compares the tables of dispatchers, entry by entry: key, incarnation, server.
 *
 * Closing entries and tombstones are left out, each dispatcher lets them go in its own time; so are entries younger than YOUNG_MS, whose
 * update may be under way, and idle ones near their end. What differs is looked at again after a while and listed only if it still does.
 */
import { setTimeout as pause } from 'node:timers/promises';
import { BIT_CLOSING } from '../../cluster/entry.ts';
import { isControl } from '../../cluster/messages.ts';
import { readRecords } from '../../cluster/messages-read.ts';
import type { EntryRecord } from '../../cluster/records.ts';
import { KIND_SESSION, type SessionKey } from '../../cluster/session-key.ts';
import { formatAddress, formatEndpoint } from '../../wire/address.ts';
import type { DiffRow, DiffView } from './cluster-views.ts';

export interface TableSource {
  readonly name: string;
  readonly node: number;
  /** Pieces of records. */
  table(): AsyncGenerator<Buffer>;
}

/** Names for ids. */
export interface Names {
  service(id: number): string;
  server(id: number): string;
}

const YOUNG_MS = 1_000;
const LOOK_AGAIN_MS = 1_500;
const MAX_LISTED = 1_000;

interface Told {
  readonly key: SessionKey;
  readonly isn: number;
  readonly server: number;
}

type Table = Map<string, Told>;

export async function compareTables(sources: readonly TableSource[], names: Names): Promise<DiffView> {
  const first = await readAll(sources);
  const suspects = differing(first.tables);
  if (suspects.size === 0) return view(first, [], names);
  await pause(LOOK_AGAIN_MS);
  const second = await readAll(sources);
  const still = [...differing(second.tables)].filter((text) => suspects.has(text));
  return view(second, still, names);
}

interface Read {
  readonly tables: ReadonlyMap<string, Table>;
  readonly silent: Record<string, string>;
}

async function readAll(sources: readonly TableSource[]): Promise<Read> {
  const tables = new Map<string, Table>();
  const silent: Record<string, string> = {};
  await Promise.all(
    sources.map(async (source) => {
      try {
        tables.set(source.name, await readTable(source));
      } catch (error) {
        silent[source.name] = error instanceof Error ? error.message : String(error);
      }
    }),
  );
  return { tables, silent };
}

async function readTable(source: TableSource): Promise<Table> {
  const table: Table = new Map();
  for await (const piece of source.table()) {
    for (const record of readRecords(piece, source.node) ?? []) {
      if (isControl(record) || record.type !== 'entry' || !counts(record)) continue;
      table.set(record.key.text, { key: record.key, isn: record.isn, server: record.server });
    }
  }
  return table;
}

function counts(record: EntryRecord): boolean {
  return (record.bits & BIT_CLOSING) === 0 && record.ageMs >= YOUNG_MS;
}

function differing(tables: ReadonlyMap<string, Table>): Set<string> {
  const all = [...tables.values()];
  const found = new Set<string>();
  for (const table of all) {
    for (const [text, told] of table) {
      for (const other of all) {
        const theirs = other.get(text);
        if (theirs === undefined || theirs.server !== told.server || theirs.isn !== told.isn) found.add(text);
      }
    }
  }
  return found;
}

function view(read: Read, texts: readonly string[], names: Names): DiffView {
  const entries: Record<string, number> = {};
  for (const [name, table] of read.tables) entries[name] = table.size;
  const listed = texts.toSorted().slice(0, MAX_LISTED);
  return {
    entries,
    silent: read.silent,
    differences: listed.map((text) => row(read.tables, text, names)),
    unlisted: texts.length - listed.length,
  };
}

function row(tables: ReadonlyMap<string, Table>, text: string, names: Names): DiffRow {
  const says: Record<string, string> = {};
  let key: SessionKey | undefined;
  for (const [name, table] of tables) {
    const told = table.get(text);
    key ??= told?.key;
    says[name] = told === undefined ? '-' : `${names.server(told.server)} (${told.isn})`;
  }
  const client =
    key!.kind === KIND_SESSION ? formatAddress(key!.client) : formatEndpoint(key!.client, key!.clientPort);
  return { service: names.service(key!.service), client, vipPort: key!.vipPort, says };
}
