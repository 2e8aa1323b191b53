/**
 * What follows when a row of the table is given back: it is counted by its reason, and a flow lets go of its client's session entry;
 * and what becomes of session entries when their service's affinity changes.
 */
import type { ServiceTable } from '../balance/service-table.ts';
import { COUNTER } from '../base/counters.ts';
import type { DispatchTable } from '../table/dispatch-table.ts';
import { FLAG_HOLDS, STATE_FREE } from '../table/flow-row.ts';
import { REASON_EVICTED, REASON_EXPIRED, REASON_REMOVED } from '../table/release-reason.ts';
import type { PathState } from './path-state.ts';
import { count } from './path-state.ts';
import { letGoSession } from './session.ts';

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
    if (table.state(row) === STATE_FREE || !hasChanged(before, after, table.service(row))) continue;
    if (table.isSession(row)) table.remove(row, REASON_REMOVED);
    else table.setFlags(row, table.flags(row) & ~FLAG_HOLDS);
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
    letGoSession(state, table, row);
  };
}
