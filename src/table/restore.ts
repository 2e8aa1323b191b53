/** Putting a saved row (`table-decoder.ts`) back into a table, under the indexes that its names have now. */

import type { DispatchTable } from './dispatch-table.ts';
import {
  FLAG_HOLDS,
  flowMeta,
  MAX_IDLE_MS,
  NO_ROW,
  packEndpointPort,
  packPorts,
  sessionMeta,
  TABLE_FULL,
} from './flow-row.ts';
import type { SavedRow } from './table-decoder.ts';

/** The row's forward or reverse key is in the table already. */
export const KEY_TAKEN = -3;

/** Where a saved row belongs in this process. */
export interface RestoreTarget {
  readonly service: number;
  readonly server: number;
  /** The server's endpoint; looked at only where the row has a server port. */
  readonly endpoint: number;
}

/**
 * Makes an entry of a saved row, as idle and as old as it was plus the time since.
 * @param sinceSaveMs how long ago the table was saved. @param now monotonic ms.
 * @returns row, TABLE_FULL or KEY_TAKEN.
 */
export function restoreRow(
  table: DispatchTable,
  saved: SavedRow,
  target: RestoreTarget,
  sinceSaveMs: number,
  now: number,
): number {
  const { client0, client1, client2, client3 } = saved;
  const ports = packPorts(saved.clientPort, saved.vipPort);
  const meta = saved.session ? sessionMeta(target.service) : flowMeta(target.service);
  const endpointPort = saved.serverPort === 0 ? 0 : packEndpointPort(target.endpoint, saved.serverPort);
  const forward = table.hashForward(client0, client1, client2, client3, ports, meta);
  if (table.findForward(forward, client0, client1, client2, client3, ports, meta) !== NO_ROW)
    return KEY_TAKEN;
  const key = [client0, client1, client2, client3, saved.clientPort, endpointPort] as const;
  const reverse = table.hashReverse(...key);
  if (endpointPort !== 0 && table.findReverse(reverse, ...key) !== NO_ROW) return KEY_TAKEN;
  const row = table.insert(
    forward,
    reverse,
    client0,
    client1,
    client2,
    client3,
    ports,
    meta,
    endpointPort,
    target.server,
    saved.state,
    saved.isn,
    now,
  );
  if (row === TABLE_FULL) return TABLE_FULL;
  // Whether it holds a session is for the caller to say.
  table.setFlags(row, saved.flags & ~FLAG_HOLDS);
  const since = Math.max(0, sinceSaveMs);
  table.setTimes(row, now - ageAt(saved.idleMs + since), now - ageAt(saved.ageMs + since));
  return row;
}

/** Durations beyond what 32-bit times can tell apart count as the longest that they can. */
function ageAt(ms: number): number {
  return Math.min(ms, MAX_IDLE_MS);
}
