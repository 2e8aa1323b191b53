import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Prng } from '../../src/base/prng.ts';
import type { DispatchTable } from '../../src/table/dispatch-table.ts';
import {
  NO_ROW,
  STATE_CLOSING,
  STATE_ESTABLISHED,
  STATE_OPENING,
  STATE_UDP,
  TABLE_FULL,
} from '../../src/table/flow-row.ts';
import { TableDecoder } from '../../src/table/table-decoder.ts';
import { encodeEnd, encodeHeader, encodeRows } from '../../src/table/table-file.ts';
import { entry, findForward, findReverse, insert, makeTable } from '../support/table.ts';

const STATES = [STATE_OPENING, STATE_ESTABLISHED, STATE_CLOSING, STATE_UDP];

/** The counts by server equal a recount of the rows. */
function expectCounts(table: DispatchTable): void {
  const active = new Uint32Array(table.active.length);
  const inactive = new Uint32Array(table.active.length);
  for (let row = 0; row < table.usedRows; row++) {
    const state = table.state(row);
    if (state === STATE_ESTABLISHED || state === STATE_UDP) active[table.server(row)]! += 1;
    if (state === STATE_OPENING || state === STATE_CLOSING) inactive[table.server(row)]! += 1;
  }
  // As Buffers: comparing 65,536 numbers one by one takes the test runner seconds.
  expect(Buffer.compare(Buffer.from(table.active.slice().buffer), Buffer.from(active.buffer))).toBe(0);
  expect(Buffer.compare(Buffer.from(table.inactive.slice().buffer), Buffer.from(inactive.buffer))).toBe(0);
}

/** Random insertions and removals against a Map, at the full table and below; then everything is removed. */
function churn(capacity: number, operations: number, seed: number): void {
  const table = makeTable(capacity);
  const random = new Prng(seed);
  const rowOf = new Map<number, number>();
  const keys = 2 * capacity;
  for (let step = 0; step < operations; step++) {
    const number = random.below(keys);
    const one = entry(number);
    const row = rowOf.get(number) ?? NO_ROW;
    if (findForward(table, one) !== row || findReverse(table, one) !== row)
      throw new Error(`look-up of ${number}`);
    // Three insertions for two removals: the table is full most of the time.
    if (row === NO_ROW && random.below(5) < 3) {
      const got = insert(table, one, STATES[random.below(4)]);
      if ((got === TABLE_FULL) !== (rowOf.size === capacity))
        throw new Error(`insertion of ${number}: ${got}`);
      if (got !== TABLE_FULL) rowOf.set(number, got);
    } else if (row !== NO_ROW) {
      if (random.below(2) === 0) {
        table.remove(row);
        rowOf.delete(number);
      } else table.setState(row, STATES[random.below(4)]!);
    }
  }
  expect(table.size).toBe(rowOf.size);
  expect(table.refused).toBe(0);
  expect(new Set(rowOf.values()).size).toBe(rowOf.size);
  expectCounts(table);
  for (const [number, row] of rowOf) {
    expect(findForward(table, entry(number))).toBe(row);
    table.remove(row);
  }
  expect(table.size).toBe(0);
  expectCounts(table);
  expect(table['cells'].every((cell) => cell === 0)).toBe(true);
}

describe('the dispatch table', () => {
  it('is a map, whatever is done to it', () => {
    const operation = fc.tuple(
      fc.constantFrom('insert', 'remove', 'state', 'expire', 'drop'),
      fc.nat(30),
      fc.nat(3),
    );
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 20 }),
        fc.array(operation, { maxLength: 120 }),
        (capacity, operations) => {
          const table = makeTable(capacity);
          const live = new Map<number, number>();
          table.onRelease = (row) => {
            for (const [number, its] of live) if (its === row) live.delete(number);
          };
          let now = 0;
          for (const [what, number, choice] of operations) {
            const row = live.get(number);
            if (what === 'insert' && row === undefined) {
              const got = insert(table, entry(number), STATES[choice], now);
              expect(got === TABLE_FULL).toBe(live.size === capacity);
              if (got !== TABLE_FULL) live.set(number, got);
            }
            if (what === 'remove' && row !== undefined) table.remove(row);
            if (what === 'state' && row !== undefined) table.setState(row, STATES[choice]!);
            if (what === 'expire') {
              now += 20_000;
              table.expire(now, number);
            }
            if (what === 'drop') table.earlyDrop(now);
            expect(table.size).toBe(live.size);
          }
          for (let number = 0; number <= 30; number++) {
            expect(findForward(table, entry(number))).toBe(live.get(number) ?? NO_ROW);
            expect(findReverse(table, entry(number))).toBe(live.get(number) ?? NO_ROW);
          }
          expectCounts(table);
        },
      ),
    );
  });

  it('loses nothing in a long churn at full load, and leaves no grave', () => {
    churn(8192, 10 * 8192, 1);
    churn(1000, 200_000, 2);
  });
});

describe('a saved table', () => {
  /** What the decoder makes of bytes; counts what it gave out. */
  function read(bytes: Uint8Array): { ok: boolean; rows: number; seen: number } {
    let seen = 0;
    const decoder = new TableDecoder({ header: () => {}, row: () => seen++ });
    decoder.push(bytes);
    const { ok, rows } = decoder.end();
    return { ok, rows, seen };
  }

  it('may be any bytes', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 400 }), fc.boolean(), (bytes, withHeader) => {
        const header = encodeHeader({ savedAtMs: 0, uptimeMs: 0, bootId: '', services: [], servers: [] });
        const result = read(withHeader ? Uint8Array.from([...header, ...bytes]) : bytes);
        expect(result).toEqual({ ok: false, rows: 0, seen: 0 });
      }),
    );
  });

  it('gives out as many rows as it says it read, however it is damaged', () => {
    const table = makeTable(64);
    for (let number = 0; number < 40; number++) insert(table, entry(number));
    const names = Array.from({ length: 11 }, (_, index) => ({ index, id: `id${index}` }));
    const file = Uint8Array.from([
      ...encodeHeader({ savedAtMs: 1, uptimeMs: 1, bootId: '', services: names, servers: names }),
      ...encodeRows(table, 0, 20, 5),
      ...encodeRows(table, 20, 20, 5),
      ...encodeEnd(40),
    ]);
    expect(read(file)).toEqual({ ok: true, rows: 40, seen: 40 });
    const damage = fc.array(fc.tuple(fc.nat(file.length - 1), fc.integer({ min: 1, max: 255 })), {
      minLength: 1,
      maxLength: 4,
    });
    fc.assert(
      fc.property(damage, (changes) => {
        const broken = file.slice();
        for (const [at, value] of changes) broken[at]! ^= value;
        const result = read(broken);
        expect(result.seen).toBe(result.rows);
        expect(result.ok).toBe(broken.every((byte, at) => byte === file[at]));
      }),
    );
  });
});
