/**
 * What follows when a row of the table is given back: it is counted by its reason, and a flow lets go of its client's session entry;
 * and what becomes of session entries when their service's affinity changes.
 */
import type { ServiceTable } from '../balance/service-table.ts';
import { COUNTER } from '../base/counters.ts';
import {
  type DispatchTable,
  REASON_EVICTED,
  REASON_EXPIRED,
  REASON_REMOVED,
} from '../table/dispatch-table.ts';
import { NO_ROW, STATE_SESSION, sessionMeta } from '../table/flow-row.ts';
import type { PathState } from './path-state.ts';
import { count } from './path-state.ts';

const FLOW_EXPIRED = COUNTER['flow-expired'];
const FLOW_EVICTED = COUNTER['flow-evicted'];
const SESSION_EXPIRED = COUNTER['session-expired'];

/**
 * Removes the session entries of services whose affinity has changed from one generation to the next: they name clients by
 * another mask, and no flow would let go of them any more. Looks at every row, if there is such a service (some milliseconds for a
 * million): for a change of configuration, not for packets.
 */
export function forgetChangedSessions(table: DispatchTable, before: ServiceTable, after: ServiceTable): void {
  if (!before.session.some((_, service) => hasChanged(before, after, service))) return;
  for (let row = 0; row < table.usedRows; row++) {
    if (table.state(row) === STATE_SESSION && hasChanged(before, after, table.service(row)))
      table.remove(row, REASON_REMOVED);
  }
}

function hasChanged(before: ServiceTable, after: ServiceTable, service: number): boolean {
  if (!before.isSession(service) || !after.isService(service)) return false;
  if (!after.isSession(service)) return true;
  for (let word = service * 4; word < service * 4 + 4; word++)
    if (before.mask[word] !== after.mask[word]) return true;
  return false;
}

/** Connects the table's `onRelease` to the counters and sessions of the thread that writes it. */
export function followReleases(state: PathState, table: DispatchTable): void {
  table.onRelease = (row, reason) => {
    if (table.isSession(row)) {
      if (reason === REASON_EXPIRED) count(state, SESSION_EXPIRED);
      return;
    }
    if (reason === REASON_EXPIRED) count(state, FLOW_EXPIRED);
    else if (reason === REASON_EVICTED) count(state, FLOW_EVICTED);
    const service = table.service(row);
    if (state.services.isSession(service)) letGoSession(state, table, row, service);
  };
}

function letGoSession(state: PathState, table: DispatchTable, row: number, service: number): void {
  const { mask } = state.services;
  const at = service * 4;
  const a0 = table.clientWord(row, 0) & mask[at]!;
  const a1 = table.clientWord(row, 1) & mask[at + 1]!;
  const a2 = table.clientWord(row, 2) & mask[at + 2]!;
  const a3 = table.clientWord(row, 3) & mask[at + 3]!;
  const meta = sessionMeta(service);
  const session = table.findForward(table.hashForward(a0, a1, a2, a3, 0, meta), a0, a1, a2, a3, 0, meta);
  // A session that moved to another server counts the flows of that one alone.
  if (session === NO_ROW || table.server(session) !== table.server(row)) return;
  table.letGoSession(session);
  // Its time-out runs from the end of its last flow.
  table.touch(session, state.now);
}
