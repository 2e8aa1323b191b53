import { describe, expect, it } from 'vitest';
import type { DispatchTable } from '../../../src/table/dispatch-table.ts';
import {
  FLAG_ASSURED,
  FLAG_CLIENT_ACKED,
  FLAG_REPLIED,
  flowMeta,
  STATE_CLOSING,
  STATE_ESTABLISHED,
  STATE_OPENING,
  STATE_SESSION,
  STATE_UDP,
  sessionMeta,
} from '../../../src/table/flow-row.ts';
import { timeoutsByState } from '../../../src/table/lifetimes.ts';
import { REASON_EVICTED, REASON_EXPIRED, REASON_REMOVED } from '../../../src/table/release-reason.ts';
import { entry, findForward, insert, makeTable } from '../../support/table.ts';

const TIMEOUTS = timeoutsByState({
  tcpEstablished: 500,
  tcpOpening: 100,
  tcpClosing: 200,
  udp: 300,
  client: 400,
});

/** A table whose services 0 to 6 have TIMEOUTS, and what it gave back. */
function timedTable(capacity: number): { table: DispatchTable; released: [number, number][] } {
  const table = makeTable(capacity);
  const released: [number, number][] = [];
  table.onRelease = (row, reason) => released.push([row, reason]);
  for (let service = 0; service < 7; service++) table.setTimeouts(service, TIMEOUTS);
  return { table, released };
}

function insertSession(table: DispatchTable, number: number, now: number): number {
  return insert(
    table,
    entry(number, { meta: sessionMeta(1), ports: 0, endpointPort: 0 }),
    STATE_SESSION,
    now,
  );
}

describe('expiry', () => {
  it.each([
    { name: 'opening', state: STATE_OPENING, timeout: 100 },
    { name: 'closing', state: STATE_CLOSING, timeout: 200 },
    { name: 'UDP', state: STATE_UDP, timeout: 300 },
    { name: 'session', state: STATE_SESSION, timeout: 400 },
    { name: 'established', state: STATE_ESTABLISHED, timeout: 500 },
  ])('$name entries end $timeout ms after they were last seen, not sooner', ({ state, timeout }) => {
    const { table, released } = timedTable(16);
    const row = insert(table, entry(0), state, 1000);
    table.setIsn(row, 0);
    table.setFlags(row, FLAG_CLIENT_ACKED);
    expect(table.expire(1000 + timeout - 1, 16)).toBe(0);
    table.touch(row, 1050);
    expect(table.expire(1000 + timeout, 16)).toBe(0);
    expect(table.expire(1050 + timeout, 16)).toBe(1);
    expect(released).toEqual([[row, REASON_EXPIRED]]);
    expect(table.size).toBe(0);
    expect(findForward(table, entry(0))).toBeLessThan(0);
  });

  it.each([0xffffff00, 0x7fffff00])('goes on over the wrap of 32-bit times at %i', (opened) => {
    const { table } = timedTable(16);
    insert(table, entry(0), STATE_ESTABLISHED, opened);
    expect(table.expire((opened + 499) >>> 0, 16)).toBe(0);
    expect(table.expire((opened + 500) >>> 0, 16)).toBe(1);
  });

  it('an entry that a reader saw a moment after this now is not idle', () => {
    const { table } = timedTable(16);
    const row = insert(table, entry(0), STATE_OPENING, 1000);
    table.touch(row, 5000);
    expect(table.idleMs(row, 4999)).toBe(0);
    expect(table.expire(4999, 16)).toBe(0);
    table.touch(row, 3);
    expect(table.idleMs(row, 0xffffffff)).toBe(0);
    expect(table.expire(0xffffffff, 16)).toBe(0);
  });

  it('moves as many rows a call as it may, and comes round', () => {
    const { table, released } = timedTable(100);
    for (let number = 0; number < 100; number++) insert(table, entry(number), STATE_OPENING, 1000);
    expect(table.expire(2000, 30)).toBe(30);
    expect(released.map(([row]) => row)).toEqual(Array.from({ length: 30 }, (_, row) => row));
    expect(table.expire(2000, 70)).toBe(70);
    expect(table.expire(2000, 1000)).toBe(0);
    insert(table, entry(0), STATE_OPENING, 1000);
    expect(table.expire(2000, 100)).toBe(1);
  });

  it('of an empty table does nothing', () => {
    expect(makeTable(4).expire(0, 100)).toBe(0);
    expect(makeTable(4).earlyDrop(0)).toBe(false);
  });

  it('uses the defaults for a service that was never set, and changed ones at once', () => {
    const table = makeTable(16);
    table.setTimeouts(2, TIMEOUTS);
    const far = entry(0, { meta: flowMeta(40_000) });
    const near = entry(2, { meta: flowMeta(1) });
    insert(table, far, STATE_OPENING, 0);
    insert(table, near, STATE_OPENING, 0);
    expect(table.expire(29_999, 16)).toBe(0);
    table.setTimeouts(40_000, TIMEOUTS);
    expect(table.expire(29_999, 16)).toBe(1);
    expect(table.expire(30_000, 16)).toBe(1);
  });
});

describe('sessions', () => {
  it('do not end while a flow holds them', () => {
    const { table } = timedTable(16);
    const row = insertSession(table, 0, 0);
    table.setIsn(row, 0);
    table.holdSession(row);
    table.holdSession(row);
    expect(table.expire(10_000, 16)).toBe(0);
    table.letGoSession(row);
    expect(table.expire(10_000, 16)).toBe(0);
    table.letGoSession(row);
    table.letGoSession(row);
    expect(table.isn(row)).toBe(0);
    expect(table.expire(10_000, 16)).toBe(1);
  });
});

describe('a removed service', () => {
  it('loses its rows as the cursor meets them, held sessions too, until it is set again', () => {
    const { table, released } = timedTable(64);
    const mine = [0, 2, 4].map((number) => insert(table, entry(number, { meta: flowMeta(1) })));
    const other = insert(table, entry(6, { meta: flowMeta(2) }));
    const session = insertSession(table, 8, 1000);
    table.holdSession(session);
    table.removeService(1);
    expect(table.expire(1000, 2)).toBe(2);
    expect(table.expire(1000, 64)).toBe(2);
    expect(released).toEqual([...mine, session].map((row) => [row, REASON_REMOVED]));
    table.setTimeouts(1, TIMEOUTS);
    insert(table, entry(0, { meta: flowMeta(1) }));
    expect(table.expire(1000, 64)).toBe(0);
    expect(table.state(other)).toBe(STATE_ESTABLISHED);
  });
});

describe('early drop', () => {
  it('takes the longest idle of entries that are not assured, or closing', () => {
    const { table, released } = timedTable(16);
    table.setFlags(insert(table, entry(0), STATE_ESTABLISHED, 0), FLAG_ASSURED);
    const replied = insert(table, entry(1), STATE_UDP, 0);
    table.setFlags(replied, FLAG_REPLIED | FLAG_ASSURED);
    const held = insertSession(table, 2, 0);
    table.setIsn(held, 1);
    const opening = insert(table, entry(3), STATE_OPENING, 30);
    const closing = insert(table, entry(4), STATE_CLOSING, 10);
    table.setFlags(closing, FLAG_ASSURED);
    const udp = insert(table, entry(5), STATE_UDP, 20);
    table.setFlags(udp, FLAG_REPLIED);
    const forged = insert(table, entry(6), STATE_ESTABLISHED, 40);
    for (const victim of [closing, udp, opening, forged]) {
      expect(table.earlyDrop(1000)).toBe(true);
      expect(released.at(-1)).toEqual([victim, REASON_EVICTED]);
    }
    expect(table.earlyDrop(1000)).toBe(false);
    expect(table.size).toBe(3);
    table.setIsn(held, 0);
    expect(table.earlyDrop(1000)).toBe(true);
    expect(released.at(-1)).toEqual([held, REASON_EVICTED]);
  });

  it('looks at 32 rows, then at the next 32', () => {
    const { table } = timedTable(128);
    for (let number = 0; number < 64; number++)
      table.setFlags(insert(table, entry(number), STATE_ESTABLISHED), FLAG_ASSURED);
    for (let number = 64; number < 96; number++) insert(table, entry(number), STATE_OPENING);
    expect(table.earlyDrop(1000)).toBe(false);
    expect(table.earlyDrop(1000)).toBe(false);
    expect(table.earlyDrop(1000)).toBe(true);
    expect(table.earlyDrop(1000)).toBe(false);
  });
});
