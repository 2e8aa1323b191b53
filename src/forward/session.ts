/**
 * A flow and its client's session entry (`affinity: client`).
 *
 * Invariant: the ISN word of a session entry is the number of flows of its client that have FLAG_HOLDS, whatever their server. A session
 * that moves to another server keeps its row and with it the count, so each flow lets go of what it took, and of nothing else.
 */

import type { DispatchTable } from '../table/dispatch-table.ts';
import { FLAG_ASSURED, FLAG_CLIENT_ACKED, FLAG_HOLDS, NO_ROW, sessionMeta } from '../table/flow-row.ts';
import type { PathState } from './path-state.ts';

/** The flow in `row` takes hold of the session entry. Allocates nothing, never throws. */
export function holdSession(table: DispatchTable, session: number, row: number): void {
  table.setFlags(row, table.flags(row) | FLAG_HOLDS);
  table.holdSession(session);
}

/** The flow in `row` ends: its session entry's time-out runs from the end of the last one. Allocates nothing, never throws. */
export function letGoSession(state: PathState, table: DispatchTable, row: number): void {
  const session = sessionOf(state, table, row);
  if (session === NO_ROW) return;
  table.letGoSession(session);
  table.touch(session, state.now);
}

/**
 * The flow in `row` was established, answered or assured: so is its session, which is durable from then on, and if `assured`
 * not given up when the table is full. Allocates nothing, never throws.
 */
export function assureSession(state: PathState, table: DispatchTable, row: number, assured: boolean): void {
  const session = sessionOf(state, table, row);
  if (session === NO_ROW) return;
  const flags = table.flags(session);
  const next = flags | FLAG_CLIENT_ACKED | (assured ? FLAG_ASSURED : 0);
  if (next !== flags) table.setFlags(session, next);
}

/** @returns row of the session entry that the flow holds, or NO_ROW. */
function sessionOf(state: PathState, table: DispatchTable, row: number): number {
  const service = table.service(row);
  if ((table.flags(row) & FLAG_HOLDS) === 0 || !state.services.isSession(service)) return NO_ROW;
  const { mask } = state.services;
  const at = service * 4;
  const a0 = table.clientWord(row, 0) & mask[at]!;
  const a1 = table.clientWord(row, 1) & mask[at + 1]!;
  const a2 = table.clientWord(row, 2) & mask[at + 2]!;
  const a3 = table.clientWord(row, 3) & mask[at + 3]!;
  const meta = sessionMeta(service);
  return table.findForward(table.hashForward(a0, a1, a2, a3, 0, meta), a0, a1, a2, a3, 0, meta);
}
