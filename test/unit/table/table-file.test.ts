import { crc32 } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import type { DispatchTable } from '../../../src/table/dispatch-table.ts';
import {
  emptyFlowRow,
  FLAG_REPLIED,
  STATE_ESTABLISHED,
  STATE_SESSION,
  sessionMeta,
  TABLE_FULL,
} from '../../../src/table/flow-row.ts';
import { KEY_TAKEN, restoreRow } from '../../../src/table/restore.ts';
import { type SavedRow, TableDecoder, type TableFileResult } from '../../../src/table/table-decoder.ts';
import {
  CHUNK_PREFIX_SIZE,
  encodeEnd,
  encodeHeader,
  encodeRows,
  HEADER_FIXED_SIZE,
  rowsIn,
  SAVED_ROW_SIZE,
  type SavedHeader,
} from '../../../src/table/table-file.ts';
import { entry, findForward, findReverse, insert, makeTable } from '../../support/table.ts';

const HEADER: SavedHeader = {
  savedAtMs: 1_767_322_245_123,
  uptimeMs: 7_279_190,
  bootId: '814ee0e6-1e20-4472-980f-41b2d72796d9',
  services: Array.from({ length: 7 }, (_, index) => ({ index, id: `service-${index}` })),
  servers: Array.from({ length: 11 }, (_, index) => ({ index, id: `5e7fe7${index}` })),
};

interface Contents {
  readonly result: TableFileResult;
  readonly headers: SavedHeader[];
  readonly rows: SavedRow[];
}

function decode(...pieces: Uint8Array[]): Contents {
  const headers: SavedHeader[] = [];
  const rows: SavedRow[] = [];
  const decoder = new TableDecoder({
    header: (header) => headers.push(header),
    row: (row) => rows.push({ ...row }),
  });
  for (const piece of pieces) decoder.push(piece);
  return { result: decoder.end(), headers, rows };
}

function join(...parts: Uint8Array[]): Uint8Array {
  return Uint8Array.from(parts.flatMap((part) => [...part]));
}

/** Five flows and a session, two chunks of rows; saved at monotonic 5,000. */
function sample(): { table: DispatchTable; file: Uint8Array } {
  const table = makeTable(16);
  for (let number = 0; number < 5; number++) insert(table, entry(number), STATE_ESTABLISHED, 1000 * number);
  table.setFlags(1, FLAG_REPLIED);
  const session = entry(5, { meta: sessionMeta(5), ports: 0, clientPort: 0, endpointPort: 0 });
  table.holdSession(insert(table, session, STATE_SESSION, 4000));
  const [first, second] = [encodeRows(table, 0, 4, 5000), encodeRows(table, 4, 100, 5000)];
  expect([rowsIn(first), rowsIn(second), rowsIn(encodeRows(table, 6, 10, 5000))]).toEqual([4, 2, 0]);
  return { table, file: join(encodeHeader(HEADER), first, second, encodeEnd(6)) };
}

describe('a saved table', () => {
  it('gives back its header and rows', () => {
    const { result, headers, rows } = decode(sample().file);
    expect(result).toEqual({ ok: true, rows: 6 });
    expect(headers).toEqual([HEADER]);
    const one = entry(1);
    expect(rows[1]).toEqual({
      client0: one.words[0],
      client1: one.words[1],
      client2: one.words[2],
      client3: one.words[3],
      clientPort: one.clientPort,
      vipPort: 443,
      session: false,
      service: 1,
      server: 1,
      serverPort: 8080,
      state: STATE_ESTABLISHED,
      flags: FLAG_REPLIED,
      isn: 77,
      idleMs: 4000,
      ageMs: 4000,
    });
    expect(rows[5]).toMatchObject({ session: true, isn: 0, idleMs: 1000, clientPort: 0, serverPort: 0 });
  });

  it.each([1, 7, 64])('reads the same in pieces of %i bytes', (size) => {
    const { file } = sample();
    const pieces: Uint8Array[] = [];
    for (let at = 0; at < file.length; at += size) pieces.push(file.subarray(at, at + size));
    expect(decode(...pieces)).toEqual(decode(file));
  });

  it('cut short anywhere is truncated, and says how many rows were good', () => {
    const { file } = sample();
    for (let length = 0; length < file.length; length++) {
      const { result, rows } = decode(file.subarray(0, length));
      expect(result).toEqual({ ok: false, fault: 'truncated', rows: rows.length });
    }
  });

  it('with any one byte changed is refused', () => {
    const { file } = sample();
    for (let at = 0; at < file.length; at++) {
      const broken = file.slice();
      broken[at]! ^= 0x10;
      if (decode(broken).result.ok) throw new Error(`byte ${at} may be anything`);
    }
  });

  it('of a boot that is not known says so', () => {
    const header = { ...HEADER, uptimeMs: 0, bootId: '' };
    expect(decode(encodeHeader(header), encodeEnd(0)).headers).toEqual([header]);
  });

  it('encodes big-endian', () => {
    const header = encodeHeader({
      savedAtMs: 0x0102030405,
      uptimeMs: 0x0607,
      bootId: '101112131415161718191a1b1c1d1e1f'.replace(/^(.{8})(.{4})(.{4})(.{4})/, '$1-$2-$3-$4-'),
      services: [{ index: 0x1234, id: 'a' }],
      servers: [],
    });
    expect([...header.subarray(0, 8)]).toEqual([0x4c, 0x57, 0x54, 0x42, 0, 0, 0, 48]);
    expect([...header.subarray(CHUNK_PREFIX_SIZE)]).toEqual([
      ...[0, 2, 0, 0, 0, 0, 0, 1, 2, 3, 4, 5, 0, 0, 0, 0, 0, 0, 6, 7],
      ...Array.from({ length: 16 }, (_, index) => 16 + index),
      ...[0, 0, 0, 1, 0x12, 0x34, 1, 0x61, 0, 0, 0, 0],
    ]);
  });
});

describe('faults', () => {
  const header = encodeHeader(HEADER);

  /** Rows of a table that names what the header does not know. */
  function strange(changes: Parameters<typeof entry>[1], state = STATE_ESTABLISHED): Uint8Array {
    const table = makeTable(4);
    insert(table, entry(0, changes), state, 0);
    return encodeRows(table, 0, 4, 0);
  }

  it('there is none where a row is of a service or server that has left: who reads leaves it out', () => {
    for (const changes of [{ server: 11 }, { meta: 7 }]) {
      const file = join(header, strange(changes), encodeEnd(1));
      expect(decode(file).result).toEqual({ ok: true, rows: 1 });
    }
  });

  it.each([
    { fault: 'not-a-table', file: () => new TextEncoder().encode('{"flows": []}') },
    { fault: 'not-a-table', file: () => encodeEnd(0) },
    { fault: 'bad-chunk', file: () => join(header, header) },
    { fault: 'wrong-count', file: () => join(header, encodeEnd(1)) },
    { fault: 'trailing-bytes', file: () => join(header, encodeEnd(0), new Uint8Array(1)) },
    { fault: 'bad-row', file: () => join(header, strange({}, 6), encodeEnd(1)) },
    { fault: 'bad-row', file: () => join(header, strange({}, STATE_SESSION), encodeEnd(1)) },
  ])('$fault', ({ fault, file }) => {
    expect(decode(file()).result).toMatchObject({ ok: false, fault });
  });

  /** The header chunk with one body word changed and the checksum made right again. */
  function forged(at: number, value: number): Uint8Array {
    const bytes = header.slice();
    const view = new DataView(bytes.buffer);
    view.setUint32(CHUNK_PREFIX_SIZE + at, value);
    view.setUint32(8, crc32(bytes.subarray(CHUNK_PREFIX_SIZE)));
    return bytes;
  }

  it.each([
    { what: 'a version of tomorrow', file: () => forged(0, 0x00030000), fault: 'unknown-version' },
    {
      what: 'a list longer than its chunk',
      file: () => forged(HEADER_FIXED_SIZE, 0xffffffff),
      fault: 'bad-header',
    },
    { what: 'a list shorter than its chunk', file: () => forged(HEADER_FIXED_SIZE, 0), fault: 'bad-header' },
  ])('$what: $fault', ({ file, fault }) => {
    expect(decode(file()).result).toEqual({ ok: false, fault, rows: 0 });
  });

  it('a body longer than any is refused before it is there', () => {
    const bytes = header.slice();
    new DataView(bytes.buffer).setUint32(4, 0xffffffff);
    expect(decode(bytes).result).toEqual({ ok: false, fault: 'bad-chunk', rows: 0 });
  });

  it('an id longer than 255 bytes cannot be saved', () => {
    const long = [{ index: 0, id: 'x'.repeat(256) }];
    expect(() => encodeHeader({ ...HEADER, services: long, servers: [] })).toThrow(RangeError);
  });

  it('takes nothing after a fault', () => {
    const decoder = new TableDecoder({ header: () => {}, row: () => {} });
    expect(decoder.push(new Uint8Array(CHUNK_PREFIX_SIZE))).toBe(false);
    expect(decoder.push(header)).toBe(false);
    expect(decoder.end()).toEqual({ ok: false, fault: 'not-a-table', rows: 0 });
  });
});

describe('restoring', () => {
  it('puts every row back under its new indexes, older by the time since', () => {
    const { rows } = decode(sample().file);
    const table = makeTable(16);
    const now = 100;
    for (const saved of rows) {
      const target = { service: saved.service, server: saved.server + 100, endpoint: saved.server % 5 };
      expect(restoreRow(table, saved, target, 2500, now)).toBeGreaterThanOrEqual(0);
      expect(restoreRow(table, saved, target, 2500, now)).toBe(KEY_TAKEN);
    }
    const into = emptyFlowRow();
    const row = findForward(table, entry(1));
    expect(findReverse(table, entry(1))).toBe(row);
    expect(table.readRow(row, into)).toBe(true);
    expect(into).toMatchObject({
      server: 101,
      flags: FLAG_REPLIED,
      isn: 77,
      lastSeen: (now - 6500) >>> 0,
      openedAt: (now - 6500) >>> 0,
    });
    expect(table.idleMs(row, now)).toBe(6500);
    expect(table.sessions).toBe(1);
  });

  it('says so when there is no room', () => {
    const { rows } = decode(sample().file);
    const table = makeTable(1);
    const results = rows.map((saved) =>
      restoreRow(table, saved, { service: 0, server: 0, endpoint: 0 }, 0, 0),
    );
    expect(results).toEqual([0, TABLE_FULL, TABLE_FULL, TABLE_FULL, TABLE_FULL, TABLE_FULL]);
  });

  it('refuses a reply tuple that is taken', () => {
    const { rows } = decode(sample().file);
    const table = makeTable(16);
    expect(restoreRow(table, rows[0]!, { service: 0, server: 0, endpoint: 0 }, 0, 0)).toBe(0);
    const other = { ...rows[0]!, vipPort: 444 };
    expect(restoreRow(table, other, { service: 0, server: 0, endpoint: 0 }, 0, 0)).toBe(KEY_TAKEN);
    expect(restoreRow(table, other, { service: 0, server: 1, endpoint: 1 }, 0, 0)).toBe(1);
  });
});

it('a row has 44 bytes', () => {
  expect(encodeRows(sample().table, 0, 1, 0).length).toBe(CHUNK_PREFIX_SIZE + SAVED_ROW_SIZE);
});
