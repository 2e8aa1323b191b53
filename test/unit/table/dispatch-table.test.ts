import { describe, expect, it } from 'vitest';
import {
  emptyFlowRow,
  FLAG_FIN_CLIENT,
  FLAG_REPLIED,
  NO_ROW,
  packEndpointPort,
  packPorts,
  STATE_CLOSING,
  STATE_ESTABLISHED,
  STATE_OPENING,
  STATE_SESSION,
  STATE_UDP,
  sessionMeta,
  TABLE_FULL,
} from '../../../src/table/flow-row.ts';
import { DIRECTION_FORWARD, DIRECTION_NONE, DIRECTION_REVERSE } from '../../../src/table/locate.ts';
import { REASON_REMOVED, REASON_REOPENED } from '../../../src/table/release-reason.ts';
import { tableBytes } from '../../../src/table/shared-table.ts';
import { TableReader } from '../../../src/table/table-reader.ts';
import {
  entry,
  findForward,
  findReverse,
  forwardHash,
  insert,
  makeTable,
  reverseHash,
} from '../../support/table.ts';

describe('size', () => {
  it('is 64 bytes an entry and a fixed half megabyte', () => {
    const fixed = tableBytes(1) - 48 - 2 * 16 * 4;
    expect(tableBytes(1 << 20)).toBe(64 * (1 << 20) + fixed);
    expect(fixed).toBeLessThan(600_000);
  });

  it.each([0, -1, 1.5, Number.NaN, (1 << 24) + 1])('capacity %s is refused', (capacity) => {
    expect(() => makeTable(capacity)).toThrow(RangeError);
  });

  it('memory of another capacity is refused', () => {
    const { buffers } = makeTable(10);
    expect(() => new TableReader({ ...buffers, capacity: 11 })).toThrow(RangeError);
  });
});

describe('look-up', () => {
  it('finds an entry by both of its keys and by no other', () => {
    const table = makeTable(16);
    for (const number of [0, 1]) {
      const one = entry(number);
      const row = insert(table, one);
      expect(findForward(table, one)).toBe(row);
      expect(findReverse(table, one)).toBe(row);
      for (let word = 0; word < 4; word++) {
        const words = [...one.words] as [number, number, number, number];
        words[word]! ^= 0x80000000;
        expect(findForward(table, { ...one, words })).toBe(NO_ROW);
        expect(findReverse(table, { ...one, words })).toBe(NO_ROW);
      }
      expect(findForward(table, { ...one, ports: one.ports ^ 1 })).toBe(NO_ROW);
      expect(findForward(table, { ...one, meta: sessionMeta(one.meta) })).toBe(NO_ROW);
      expect(findReverse(table, { ...one, clientPort: one.clientPort ^ 1 })).toBe(NO_ROW);
      expect(findReverse(table, { ...one, endpointPort: one.endpointPort ^ 0x10000 })).toBe(NO_ROW);
    }
  });

  it('tells rows with one tag and bucket apart by their keys', () => {
    const table = makeTable(16);
    const [a, b] = [entry(0), entry(2)];
    const hash = forwardHash(table, a);
    const rows = [a, b].map((one) =>
      table.insert(
        hash,
        reverseHash(table, one),
        ...one.words,
        one.ports,
        one.meta,
        one.endpointPort,
        1,
        2,
        0,
        0,
      ),
    );
    expect(rows).toEqual([0, 1]);
    expect(table.findForward(hash, ...b.words, b.ports, b.meta)).toBe(1);
    expect(table.findForward(hash, ...a.words, a.ports, a.meta)).toBe(0);
  });

  it('takes key words signed or unsigned', () => {
    const table = makeTable(16);
    const one = entry(1, {
      ports: packPorts(0xffff, 443),
      clientPort: 0xffff,
      endpointPort: packEndpointPort(65_000, 1),
    });
    const row = insert(table, one);
    const words = one.words.map((word) => word | 0) as [number, number, number, number];
    expect(one.ports).toBeLessThan(0);
    expect(findForward(table, { ...one, words })).toBe(row);
    expect(findForward(table, { ...one, ports: one.ports >>> 0 })).toBe(row);
    expect(findReverse(table, { ...one, words, endpointPort: one.endpointPort >>> 0 })).toBe(row);
    expect(table.readForward(forwardHash(table, one), ...words, one.ports >>> 0, one.meta)).toBe(row);
  });

  it('has no reverse key without an endpoint', () => {
    const table = makeTable(16);
    const one = entry(4, { endpointPort: 0 });
    insert(table, one);
    expect(findReverse(table, one)).toBe(NO_ROW);
    expect(table['cells'].filter((cell) => cell !== 0).length).toBe(1);
  });

  it('locates a batch of both directions; a wrong candidate is corrected', () => {
    const table = makeTable(64);
    const entries = Array.from({ length: 40 }, (_, number) => entry(number));
    const rows = entries.map((one) => insert(table, one));
    const directions = Uint8Array.from(
      entries,
      (_, at) => [DIRECTION_FORWARD, DIRECTION_REVERSE, DIRECTION_NONE][at % 3]!,
    );
    const hashes = Int32Array.from(entries, (one, at) =>
      directions[at] === DIRECTION_REVERSE ? reverseHash(table, one) : forwardHash(table, one),
    );
    const candidates = new Int32Array(entries.length).fill(12345);
    table.locate(hashes, directions, candidates, entries.length);
    for (const [at, one] of entries.entries()) {
      if (directions[at] === DIRECTION_NONE) {
        expect(candidates[at]).toBe(NO_ROW);
        continue;
      }
      for (const candidate of [candidates[at]!, NO_ROW, (rows[at]! + 1) % 40]) {
        const found =
          directions[at] === DIRECTION_REVERSE
            ? table.findReverseAt(candidate, hashes[at]!, ...one.words, one.clientPort, one.endpointPort)
            : table.findForwardAt(candidate, hashes[at]!, ...one.words, one.ports, one.meta);
        expect(found).toBe(rows[at]);
      }
      expect(candidates[at]).toBe(rows[at]);
    }
  });
});

describe('rows', () => {
  it('give back every field', () => {
    const table = makeTable(16);
    const one = entry(3);
    const row = insert(table, one, STATE_UDP, 0xfffffff0);
    table.setFlags(row, FLAG_FIN_CLIENT | FLAG_REPLIED);
    table.setIsn(row, 0xfedcba98);
    const expected = {
      client0: one.words[0],
      client1: one.words[1],
      client2: one.words[2],
      client3: one.words[3],
      clientPort: one.clientPort,
      vipPort: 443,
      session: false,
      service: 3,
      endpoint: 3,
      serverPort: 8080,
      server: 3,
      state: STATE_UDP,
      flags: FLAG_FIN_CLIENT | FLAG_REPLIED,
      lastSeen: 0xfffffff0,
      isn: 0xfedcba98,
      openedAt: 0xfffffff0,
    };
    const into = emptyFlowRow();
    expect(table.readRow(row, into)).toBe(true);
    expect(into).toEqual(expected);
    expect(new TableReader(table.buffers).readRow(row, into)).toBe(true);
    expect(into).toEqual(expected);
    expect(table.readRow(row + 1, into)).toBe(false);
  });

  it('state and flags do not touch each other or the server', () => {
    const table = makeTable(16);
    const row = insert(table, entry(0, { server: 65_534 }), STATE_OPENING);
    table.setFlags(row, 0xff);
    table.setState(row, STATE_CLOSING);
    expect([table.server(row), table.state(row), table.flags(row)]).toEqual([65_534, STATE_CLOSING, 0xff]);
    table.setFlags(row, 0);
    expect([table.server(row), table.state(row), table.flags(row)]).toEqual([65_534, STATE_CLOSING, 0]);
  });

  it('a reader is told when the row was given to another flow meanwhile', () => {
    const table = makeTable(16);
    const reader = new TableReader(table.buffers);
    const one = entry(0);
    const row = insert(table, one);
    expect(reader.readForward(forwardHash(table, one), ...one.words, one.ports, one.meta)).toBe(row);
    const { version } = reader;
    expect(reader.endRead(row, version)).toBe(true);
    table.remove(row);
    expect(reader.endRead(row, version)).toBe(false);
    expect(insert(table, entry(2))).toBe(row);
    expect(reader.endRead(row, version)).toBe(false);
    expect(reader.readForward(forwardHash(table, one), ...one.words, one.ports, one.meta)).toBe(NO_ROW);
  });
});

describe('capacity', () => {
  it('holds as many entries as it has rows, refuses the next, and gives rows back', () => {
    const table = makeTable(100);
    for (let number = 0; number < 100; number++) expect(insert(table, entry(number))).toBe(number);
    expect(insert(table, entry(100))).toBe(TABLE_FULL);
    expect([table.size, table.usedRows, table.refused]).toEqual([100, 100, 0]);
    table.remove(17);
    table.remove(3);
    expect(table.size).toBe(98);
    expect(new Set([insert(table, entry(100)), insert(table, entry(101))])).toEqual(new Set([3, 17]));
    expect(insert(table, entry(102))).toBe(TABLE_FULL);
  });

  it('counts refusals for want of a cell, and leaves nothing behind', () => {
    const table = makeTable(100);
    const hash = 0x0abcdef0;
    const place = (number: number, reverse: number): number => {
      const one = entry(number);
      return table.insert(
        hash + number * 0x1000000,
        reverse,
        ...one.words,
        one.ports,
        one.meta,
        one.endpointPort,
        9,
        2,
        0,
        0,
      );
    };
    // All reverse keys under one hash: its two buckets hold sixteen.
    for (let number = 0; number < 16; number++) expect(place(number, 0x77)).toBe(number);
    const cells = table['cells'].slice();
    expect(place(16, 0x77)).toBe(TABLE_FULL);
    expect(table['cells']).toEqual(cells);
    expect([table.refused, table.size, table.active[9], table.usedRows]).toEqual([1, 16, 16, 16]);
    expect(place(16, 0x78)).toBe(16);
  });

  it('tells the hook what is given back, while it can still be read', () => {
    const table = makeTable(16);
    const seen: unknown[] = [];
    table.onRelease = (row, reason) => seen.push([row, reason, table.server(row)]);
    const rows = [insert(table, entry(5)), insert(table, entry(6))];
    table.remove(rows[0]!);
    table.remove(rows[1]!, REASON_REOPENED);
    expect(seen).toEqual([
      [rows[0], REASON_REMOVED, 5],
      [rows[1], REASON_REOPENED, 6],
    ]);
  });
});

describe('counts', () => {
  it('by server: active are established and UDP, inactive are opening and closing, sessions are neither', () => {
    const table = makeTable(16);
    const counts = (): [number, number] => [table.active[9]!, table.inactive[9]!];
    const row = insert(table, entry(0, { server: 9 }), STATE_OPENING);
    expect(counts()).toEqual([0, 1]);
    table.setState(row, STATE_ESTABLISHED);
    expect(counts()).toEqual([1, 0]);
    insert(table, entry(1, { server: 9 }), STATE_UDP);
    expect(counts()).toEqual([2, 0]);
    table.setState(row, STATE_CLOSING);
    expect(counts()).toEqual([1, 1]);
    const session = insert(
      table,
      entry(2, { server: 9, meta: sessionMeta(2), ports: 0, endpointPort: 0 }),
      STATE_SESSION,
    );
    expect(counts()).toEqual([1, 1]);
    expect([table.size, table.sessions]).toEqual([3, 1]);
    table.remove(session);
    table.remove(row);
    expect(counts()).toEqual([1, 0]);
    expect([table.size, table.sessions]).toEqual([1, 0]);
  });
});
