/** Comparing tables, against one made of Maps: what some have not, what they say differently, and nothing else. */
import { describe, expect, test } from 'vitest';
import { Prng } from '../../../../src/base/prng.ts';
import { BIT_CLOSING, BIT_ESTABLISHED, NO_ISN } from '../../../../src/cluster/entry.ts';
import { MAX_RECORD_SIZE } from '../../../../src/cluster/message-layout.ts';
import { RecordWriter } from '../../../../src/cluster/messages.ts';
import { KIND_FLOW, SessionKey } from '../../../../src/cluster/session-key.ts';
import { compareTables, type TableSource } from '../../../../src/daemon/cluster/table-diff.ts';

interface Row {
  readonly flow: number;
  readonly server: number;
  readonly isn: number;
  readonly bits?: number;
  readonly ageMs?: number;
}

const PIECE = 500;

function pieces(rows: readonly Row[], node: number): Buffer[] {
  const found: Buffer[] = [];
  for (let at = 0; at < rows.length; at += PIECE) {
    const writer = new RecordWriter(PIECE * MAX_RECORD_SIZE, node);
    for (const { flow, server, isn, bits = BIT_ESTABLISHED, ageMs = 60_000 } of rows.slice(at, at + PIECE)) {
      const key = new SessionKey(7, KIND_FLOW, [0, 0, 0xffff, (0xc633_0000 + flow) >>> 0], 1000, 80);
      const claim = { key, isn, previousIsn: NO_ISN, generation: 0, server, origin: node };
      writer.write({ type: 'entry', cause: 'copy', attempt: 0, ...claim, bits, ageMs, idleMs: 0 });
    }
    found.push(Buffer.from(writer.writer.bytes.subarray(0, writer.end)));
  }
  return found;
}

/** @param looks its rows at each look; the last stay */
function source(name: string, node: number, ...looks: readonly (readonly Row[])[]): TableSource {
  let look = 0;
  return {
    name,
    node,
    async *table() {
      yield* pieces(looks[Math.min(look++, looks.length - 1)]!, node);
    },
  };
}

const NAMES = { service: () => 'web', server: (id: number) => `s${id}` };

const rowsOf = (count: number): Row[] =>
  Array.from({ length: count }, (_, flow) => ({ flow, server: 1 + (flow % 3), isn: flow }));

describe('tables', () => {
  test('that are the same, in whatever order, do not differ', async () => {
    const rows = rowsOf(20_000);
    const diff = await compareTables([source('d1', 1, rows), source('d2', 2, rows.toReversed())], NAMES);
    expect(diff).toEqual({ entries: { d1: 20_000, d2: 20_000 }, silent: {}, differences: [], unlisted: 0 });
  });

  test('differ where one has no entry, another server, another connection', async () => {
    const rows = rowsOf(3000);
    const other = rows.flatMap((row) => {
      if (row.flow === 5) return [];
      if (row.flow === 6) return [{ ...row, server: 9 }];
      return [row.flow === 7 ? { ...row, isn: 77 } : row];
    });
    const { differences, unlisted } = await compareTables(
      [source('d1', 1, rows), source('d2', 2, other), source('d3', 3, rows)],
      NAMES,
    );
    expect(unlisted).toBe(0);
    expect(differences).toEqual([
      {
        service: 'web',
        client: '198.51.0.5:1000',
        vipPort: 80,
        says: { d1: 's3 (5)', d2: '-', d3: 's3 (5)' },
      },
      {
        service: 'web',
        client: '198.51.0.6:1000',
        vipPort: 80,
        says: { d1: 's1 (6)', d2: 's9 (6)', d3: 's1 (6)' },
      },
      {
        service: 'web',
        client: '198.51.0.7:1000',
        vipPort: 80,
        says: { d1: 's2 (7)', d2: 's2 (77)', d3: 's2 (7)' },
      },
    ]);
  });

  test('what is closing or young does not count, nor what a second look does not find', async () => {
    const rows = rowsOf(10);
    const late = rows.filter(({ flow }) => flow !== 3);
    const more: Row[] = [
      { flow: 100, server: 1, isn: 1, bits: BIT_CLOSING },
      { flow: 101, server: 1, isn: 1, ageMs: 20 },
    ];
    const diff = await compareTables(
      [source('d1', 1, [...rows, ...more]), source('d2', 2, late, rows)],
      NAMES,
    );
    expect(diff).toMatchObject({ entries: { d1: 10, d2: 10 }, differences: [], unlisted: 0 });
  });

  test('one that breaks off is silent, and not taken for one that has nothing', async () => {
    const rows = rowsOf(1500);
    const broken: TableSource = {
      name: 'd2',
      node: 2,
      async *table() {
        yield pieces(rows, 2)[0]!;
        throw new Error('gone');
      },
    };
    const diff = await compareTables([source('d1', 1, rows), broken, source('d3', 3, rows)], NAMES);
    expect(diff).toEqual({
      entries: { d1: 1500, d3: 1500 },
      silent: { d2: 'gone' },
      differences: [],
      unlisted: 0,
    });
  });

  test('more than can be listed are counted', async () => {
    const diff = await compareTables([source('d1', 1, rowsOf(30_000)), source('d2', 2, [])], NAMES);
    expect(diff.differences).toHaveLength(1000);
    expect(diff.unlisted).toBe(29_000);
  });

  test('of random content: exactly what Maps say', async () => {
    const prng = new Prng(0xd1ff);
    const tables = [1, 2, 3, 4].map(() =>
      rowsOf(6000).flatMap((row): Row[] => {
        const chance = prng.below(20_000);
        if (chance < 10) return [];
        return [chance < 20 ? { ...row, server: 9 } : chance < 30 ? { ...row, isn: 1 << 30 } : row];
      }),
    );
    const maps = tables.map((rows) => new Map(rows.map((row) => [row.flow, `${row.server}/${row.isn}`])));
    const expected = rowsOf(6000)
      .map(({ flow }) => flow)
      .filter((flow) => new Set(maps.map((map) => map.get(flow) ?? '-')).size > 1);
    expect(expected.length).toBeGreaterThan(10);
    const sources = tables.map((rows, index) => source(`d${index}`, index + 1, rows));
    const { differences } = await compareTables(sources, NAMES);
    const client = (flow: number) => `198.51.${flow >> 8}.${flow & 255}:1000`;
    expect(differences.map((one) => one.client).toSorted()).toEqual(expected.map(client).toSorted());
  });
});
