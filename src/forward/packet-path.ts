/**
 * The whole path of a packet, for the thread that owns the dispatch table.
 *
 * | step | for each packet of a batch | where |
 * | --- | --- | --- |
 * | 1 | parse, once, at the boundary; a lie is a counted drop | wire/parse.ts |
 * | 2 | classify: request to a VIP, reply of a server, ICMP, or none of ours; hash its key and touch its slot | classify.ts |
 * | 3 | find its flow, or open one | request.ts, open-flow.ts, reply.ts, icmp-errors.ts |
 * | 4 | rewrite or encapsulate, and put it on an output list | egress.ts, answer.ts |
 *
 * Steps 1 and 2 run over the whole batch before 3 and 4 do, so that the memory that a look-up needs is on its way while other packets
 * are parsed. What comes out are the batch's lists; nothing here reads or writes a descriptor. Each packet ends in one verdict or
 * drop counter. Allocates nothing per packet, never throws.
 */

import { COUNTER } from '../base/counters.ts';
import type { DispatchTable } from '../table/dispatch-table.ts';
import { classifyBatch, countArrivals } from './classify.ts';
import { handlePassingError, handleVipIcmp } from './icmp-errors.ts';
import {
  count,
  KIND_DONE,
  KIND_ICMP_ERROR,
  KIND_PASS,
  KIND_REPLY,
  KIND_REQUEST,
  KIND_VIP_ICMP,
  type PathState,
  pass,
} from './path-state.ts';
import { handleReply } from './reply.ts';
import { handleRequest } from './request.ts';

const DROP_NOT_READY = COUNTER['drop-not-ready'];

/**
 * Runs the batch through the path. Its output lists must be empty (`batch.resetOutput`).
 * @param now monotonic ms. Allocates nothing, never throws.
 */
export function processBatch(state: PathState, table: DispatchTable, now: number): void {
  state.now = now | 0;
  countArrivals(state);
  classifyBatch(state);
  if (!state.ready) return holdBatch(state);
  const packets = state.batch.rxCount;
  for (let index = 0; index < packets; index++) {
    switch (state.kind[index]) {
      case KIND_REQUEST:
        handleRequest(state, table, index);
        break;
      case KIND_REPLY:
        handleReply(state, table, index);
        break;
      case KIND_VIP_ICMP:
        handleVipIcmp(state, index);
        break;
      case KIND_ICMP_ERROR:
        handlePassingError(state, index);
        break;
      case KIND_PASS:
        pass(state, index);
        break;
    }
  }
}

/** A dispatcher that does not know its cluster's table yet forwards nothing of a service. */
function holdBatch(state: PathState): void {
  for (let index = 0; index < state.batch.rxCount; index++) {
    const kind = state.kind[index];
    if (kind === KIND_PASS) pass(state, index);
    else if (kind !== KIND_DONE) count(state, DROP_NOT_READY);
  }
}
