/**
 * A server's packet to a client, on the dispatcher thread (mode nat only: in the others replies do not pass here).
 *
 * A hit leaves in the VIP's name. A miss is dropped: nothing ever leaves with a server's address, for a client that gets a
 * packet from a stranger answers it with a reset, which would end the good connection at the server.
 */
import { COUNTER } from '../base/counters.ts';
import type { DispatchTable } from '../table/dispatch-table.ts';
import { FLAG_ASSURED, FLAG_REPLIED, NO_ROW, STATE_CLOSING, STATE_ESTABLISHED } from '../table/flow-row.ts';
import { PROTOCOL_TCP } from '../wire/protocol.ts';
import { sendToClient } from './egress.ts';
import { count, type PathState } from './path-state.ts';
import { assureSession } from './session.ts';
import { afterServerSegment, TCP_CHANGES } from './tcp-state.ts';

const FLOW_REVIVED = COUNTER['flow-revived'];
const DROP_REPLY_UNKNOWN = COUNTER['drop-reply-unknown'];

/** Handles reply `index` of the batch. Allocates nothing, never throws. */
export function handleReply(state: PathState, table: DispatchTable, index: number): void {
  const { parsed } = state;
  const row = table.findReverseAt(
    state.candidate[index]!,
    state.hash[index]!,
    parsed.destination0[index]! | 0,
    parsed.destination1[index]! | 0,
    parsed.destination2[index]! | 0,
    parsed.destination3[index]! | 0,
    parsed.destinationPort[index]!,
    state.key[index]!,
  );
  // A service that left the configuration is gone at once, its rows a little later.
  if (row !== NO_ROW && state.services.isService(table.service(row)))
    return forwardReply(state, table, row, index);
  if (state.cluster === undefined) count(state, DROP_REPLY_UNKNOWN);
  else state.cluster.reply(index);
}

/** Reply `index` belongs to the flow in `row`: the entry follows the packet, which goes to the client. Allocates nothing, never throws. */
export function forwardReply(state: PathState, table: DispatchTable, row: number, index: number): void {
  table.touch(row, state.now);
  followServer(state, table, row, index);
  sendToClient(state, index, table.service(row), table.vipPort(row));
}

function followServer(state: PathState, table: DispatchTable, row: number, index: number): void {
  const flags = table.flags(row);
  if (state.parsed.protocol[index] !== PROTOCOL_TCP) {
    if ((flags & FLAG_REPLIED) !== 0) return;
    table.setFlags(row, flags | FLAG_REPLIED);
    state.cluster?.changed(row);
    return assureSession(state, table, row, false);
  }
  const tcpFlags = state.parsed.tcpFlags[index]!;
  const before = table.state(row);
  if (before === STATE_ESTABLISHED && (tcpFlags & TCP_CHANGES) === 0 && (flags & FLAG_ASSURED) !== 0) return;
  const after = afterServerSegment(before, flags, tcpFlags, state.cluster !== undefined);
  if ((after & 0xff) !== flags) table.setFlags(row, after & 0xff);
  if (after >>> 8 !== before) table.setState(row, after >>> 8);
  state.cluster?.changed(row);
  if (before === STATE_CLOSING && after >>> 8 !== STATE_CLOSING) count(state, FLOW_REVIVED);
  // A server's segment after the handshake, not the client's ACK alone, makes the session durable.
  if ((after & ~flags & FLAG_ASSURED) !== 0) assureSession(state, table, row, true);
}
