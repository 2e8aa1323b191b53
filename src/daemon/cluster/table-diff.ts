/**
 * Compares the tables of dispatchers, entry by entry: key, incarnation, server.
 *
 * Closing entries and tombstones are left out, each dispatcher lets them go in its own time; so are entries younger than YOUNG_MS, whose
 * update may be under way. What differs is looked at again after a while and listed only if it still does. Of each entry some bytes of sums are
 * kept, of those that differ the first few thousand.
 */
import { randomBytes } from 'node:crypto';
import { setTimeout as pause } from 'node:timers/promises';
import { BIT_CLOSING, BIT_TOMBSTONE } from '../../cluster/entry.ts';
import type { ClusterSeed } from '../../cluster/identity.ts';
import { isControl } from '../../cluster/messages.ts';
import { readRecords } from '../../cluster/messages-read.ts';
import type { EntryRecord } from '../../cluster/records.ts';
import { KIND_SESSION, type SessionKey } from '../../cluster/session-key.ts';
import { formatAddress, formatEndpoint } from '../../wire/address.ts';
import type { DiffRow, DiffView } from './cluster-views.ts';
import { EntrySums, type KeySum, keySum, type SumSeeds } from './entry-sums.ts';

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

/** Keys whose details are kept while the second look goes on. */
const MAX_DETAILS = 4 * MAX_LISTED;

interface Told {
  readonly isn: number;
  readonly server: number;
}

/** What each table says of one key, by its number. */
interface Detail {
  readonly key: SessionKey;
  readonly said: Map<number, Told>;
}

/** One reading of all tables. */
class Look {
  readonly sums = new EntrySums();
  readonly entries: Record<string, number> = {};
  readonly silent: Record<string, string> = {};
  /** Numbers of those that were read to their end. */
  tables: readonly number[] = [];
  readonly #sources: readonly TableSource[];
  readonly #seeds: SumSeeds;
  /** Gets each entry that counts. */
  readonly #visit: (record: EntryRecord, sum: KeySum, table: number) => void;

  constructor(
    sources: readonly TableSource[],
    seeds: SumSeeds,
    visit: (record: EntryRecord, sum: KeySum, table: number) => void,
  ) {
    this.#sources = sources;
    this.#seeds = seeds;
    this.#visit = visit;
  }

  async read(): Promise<this> {
    await Promise.all(this.#sources.map((source, table) => this.#readOne(source, table)));
    this.tables = this.#sources.flatMap(({ name }, table) =>
      Object.hasOwn(this.silent, name) ? [] : [table],
    );
    return this;
  }

  async #readOne(source: TableSource, table: number): Promise<void> {
    let count = 0;
    try {
      for await (const piece of source.table()) {
        for (const record of readRecords(piece, source.node) ?? []) {
          if (isControl(record) || record.type !== 'entry' || !counts(record)) continue;
          const sum = keySum(this.#seeds, record.key);
          this.sums.add(sum, table, record.isn, record.server);
          this.#visit(record, sum, table);
          count++;
        }
      }
      this.entries[source.name] = count;
    } catch (error) {
      this.silent[source.name] = error instanceof Error ? error.message : String(error);
    }
  }
}

export async function compareTables(sources: readonly TableSource[], names: Names): Promise<DiffView> {
  const seeds = { first: randomSeed(), second: randomSeed() };
  const first = await new Look(sources, seeds, () => {}).read();
  if (!first.sums.hasSuspects(first.tables)) return view(first, [], 0);
  await pause(LOOK_AGAIN_MS);
  const details = new Map<string, Detail>();
  const keep = (record: EntryRecord, sum: KeySum, table: number): void => {
    if (!first.sums.isSuspect(sum, first.tables)) return;
    const { key, isn, server } = record;
    const known = details.get(key.text);
    if (known === undefined && details.size >= MAX_DETAILS) return;
    const detail = known ?? { key, said: new Map<number, Told>() };
    detail.said.set(table, { isn, server });
    details.set(key.text, detail);
  };
  const second = await new Look(sources, seeds, keep).read();
  const still = [...details.values()].filter(({ key }) =>
    second.sums.isSuspect(keySum(seeds, key), second.tables),
  );
  const listed = still.toSorted((a, b) => (a.key.text < b.key.text ? -1 : 1)).slice(0, MAX_LISTED);
  const count = second.sums.countSuspects(second.tables, first.sums, first.tables);
  const rows = listed.map((detail) => row(detail, sources, second.tables, names));
  return view(second, rows, Math.max(0, count - rows.length));
}

function randomSeed(): ClusterSeed {
  const bytes = randomBytes(8);
  return { low: bytes.readUInt32LE(0), high: bytes.readUInt32LE(4) };
}

function counts(record: EntryRecord): boolean {
  return (record.bits & (BIT_CLOSING | BIT_TOMBSTONE)) === 0 && record.ageMs >= YOUNG_MS;
}

function view({ entries, silent }: Look, differences: readonly DiffRow[], unlisted: number): DiffView {
  return { entries, silent, differences, unlisted };
}

function row(
  { key, said }: Detail,
  sources: readonly TableSource[],
  tables: readonly number[],
  names: Names,
): DiffRow {
  const says = Object.fromEntries(
    tables.map((table) => {
      const told = said.get(table);
      return [sources[table]!.name, told === undefined ? '-' : `${names.server(told.server)} (${told.isn})`];
    }),
  );
  const client =
    key.kind === KIND_SESSION ? formatAddress(key.client) : formatEndpoint(key.client, key.clientPort);
  return { service: names.service(key.service), client, vipPort: key.vipPort, says };
}
