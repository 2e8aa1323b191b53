/** Table entries by a number: each has keys, server and endpoint of its own, so that a test can name it and check it. */
import { DispatchTable } from '../../src/table/dispatch-table.ts';
import { flowMeta, packEndpointPort, packPorts, STATE_ESTABLISHED } from '../../src/table/flow-row.ts';
import type { TableSeed } from '../../src/table/shared-table.ts';

export const SEED: TableSeed = [0x01234567, 0x89abcdef, 0xfedcba98, 0x76543210];

export interface Entry {
  readonly words: readonly [number, number, number, number];
  readonly clientPort: number;
  readonly ports: number;
  readonly meta: number;
  readonly endpointPort: number;
  readonly server: number;
}

/** Entry `number`: odd ones are IPv6. Distinct for 0 to 2^24. */
export function entry(number: number, changes: Partial<Entry> = {}): Entry {
  const clientPort = 1024 + (number % 60_000);
  return {
    words: number % 2 === 0 ? [0, 0, 0xffff, 0xc0000000 + number] : [0x20010db8, 0, 0xf0000000, number],
    clientPort,
    ports: packPorts(clientPort, 443),
    meta: flowMeta(number % 7),
    endpointPort: packEndpointPort(number % 5, 8080),
    server: number % 11,
    ...changes,
  };
}

export function forwardHash(table: DispatchTable, one: Entry): number {
  return table.hashForward(...one.words, one.ports, one.meta);
}

export function reverseHash(table: DispatchTable, one: Entry): number {
  return table.hashReverse(...one.words, one.clientPort, one.endpointPort);
}

export function insert(
  table: DispatchTable,
  one: Entry,
  state: number = STATE_ESTABLISHED,
  now = 1000,
): number {
  return table.insert(
    forwardHash(table, one),
    reverseHash(table, one),
    ...one.words,
    one.ports,
    one.meta,
    one.endpointPort,
    one.server,
    state,
    77,
    now,
  );
}

export function findForward(table: DispatchTable, one: Entry): number {
  return table.findForward(forwardHash(table, one), ...one.words, one.ports, one.meta);
}

export function findReverse(table: DispatchTable, one: Entry): number {
  return table.findReverse(reverseHash(table, one), ...one.words, one.clientPort, one.endpointPort);
}

export function makeTable(capacity: number): DispatchTable {
  return DispatchTable.create(capacity, { seed: SEED });
}
