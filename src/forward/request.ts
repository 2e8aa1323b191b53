/**
 * A client's packet to a service, on the dispatcher thread: find its flow, open one, or apply the `unknown` policy.
 *
 * 1. A flow entry is found: its state follows the packet, and it goes to the entry's server.
 * 2. None, and the packet opens a flow (SYN, UDP): a server is chosen (open-flow.ts) and an entry made.
 * 3. None, and it opens nothing: the service's `unknown` policy. A reset is never answered.
 * A SYN on a closing flow, unless it repeats the SYN that the entry is made of, is port reuse. Where FIN was seen both ways it ends
 * that entry and is a case of 2. Where a RST (or, in ipip, a FIN of the client) says so alone, which may be forged, the flow begins anew
 * with the same server: right for a new connection, since the server has no old one, and harmless to a living one.
 */
import { POLICY_HASH, POLICY_RESET } from '../balance/service-table.ts';
import { COUNTER } from '../base/counters.ts';
import type { DispatchTable } from '../table/dispatch-table.ts';
import {
  FLAG_ASSURED,
  FLAG_CLIENT_ACKED,
  FLAG_HOLDS,
  FLAG_REPLIED,
  FLAG_TOMBSTONE,
  flowMeta,
  NO_ROW,
  STATE_CLOSING,
  STATE_ESTABLISHED,
  STATE_OPENING,
  STATE_UDP,
} from '../table/flow-row.ts';
import { REASON_REMOVED, REASON_REOPENED } from '../table/release-reason.ts';
import { PROTOCOL_TCP } from '../wire/protocol.ts';
import { TCP_ACK, TCP_RST, TCP_SYN, tcpSequence } from '../wire/tcp.ts';
import { answerReset } from './answer.ts';
import type { ClusterGate } from './cluster-gate.ts';
import { sendToServer } from './egress.ts';
import { openFlow } from './open-flow.ts';
import { count, type PathState } from './path-state.ts';
import { assureSession } from './session.ts';
import { afterClientSegment, assuresDatagram, isFinished, isLasting, TCP_CHANGES } from './tcp-state.ts';

const DROP_UNKNOWN = COUNTER['drop-unknown'];
const DROP_SERVER_DOWN = COUNTER['drop-server-down'];
const FLOW_REVIVED = COUNTER['flow-revived'];
const FLOW_REOPENED = COUNTER['flow-reopened'];

/** Handles request `index` of the batch. Allocates nothing, never throws. */
export function handleRequest(state: PathState, table: DispatchTable, index: number): void {
  const { parsed } = state;
  const service = state.service[index]!;
  const row = table.findForwardAt(
    state.candidate[index]!,
    state.hash[index]!,
    parsed.source0[index]! | 0,
    parsed.source1[index]! | 0,
    parsed.source2[index]! | 0,
    parsed.source3[index]! | 0,
    state.key[index]!,
    flowMeta(service),
  );
  const tcp = parsed.protocol[index] === PROTOCOL_TCP;
  if (row === NO_ROW) return handleMiss(state, table, index, tcp);
  if (state.cluster !== undefined && mustAgree(state, table, row, index)) return state.cluster.request(index);
  const alone = state.cluster === undefined;
  if (alone && tcp && opens(parsed.tcpFlags[index]!) && isReopened(state, table, row, index)) {
    table.remove(row, REASON_REOPENED);
    count(state, FLOW_REOPENED);
    openFlow(state, table, index, STATE_OPENING, false);
    return;
  }
  const server = table.server(row);
  if (!state.services.isServerOf(service, server)) {
    // Its server left between the flow's first packet and this one: nothing is known of it any more.
    table.remove(row, REASON_REMOVED);
    return handleMiss(state, table, index, tcp);
  }
  if (state.services.serverResets(service, server)) return endFlow(state, table, row, index);
  forwardRequest(state, table, row, index);
}

/** Request `index` belongs to the flow in `row`: the entry follows the packet, which goes to its server. Allocates nothing, never throws. */
export function forwardRequest(state: PathState, table: DispatchTable, row: number, index: number): void {
  const service = state.service[index]!;
  table.touch(row, state.now);
  if (state.parsed.protocol[index] === PROTOCOL_TCP) followClient(state, table, row, index);
  else followDatagram(state, table, row, service);
  sendToServer(state, index, service, table.server(row), state.key[index]! & 0xffff);
}

/** Whether the packet, though it hits an entry, is one that dispatchers decide together (cluster-gate.ts). */
function mustAgree(state: PathState, table: DispatchTable, row: number, index: number): boolean {
  if (state.from[index] !== 0 || (table.flags(row) & FLAG_TOMBSTONE) !== 0) return true;
  const service = state.service[index]!;
  if (state.services.serverRebinds(service, table.server(row))) return true;
  if (state.parsed.protocol[index] !== PROTOCOL_TCP || !opens(state.parsed.tcpFlags[index]!)) return false;
  return initialSequence(state, index) !== table.isn(row) >>> 0 || isAbandoned(state, table, row);
}

/** No entry is hit: the packet opens a flow, or the policy decides. */
function handleMiss(state: PathState, table: DispatchTable, index: number, tcp: boolean): void {
  if (state.cluster !== undefined) state.cluster.request(index);
  else if (!tcp) openFlow(state, table, index, STATE_UDP, false);
  else if (opens(state.parsed.tcpFlags[index]!)) openFlow(state, table, index, STATE_OPENING, false);
  else handleUnknown(state, table, index);
}

function opens(tcpFlags: number): boolean {
  return (tcpFlags & (TCP_SYN | TCP_ACK | TCP_RST)) === TCP_SYN;
}

/** Whether a server went down before it answered: its flow can still go to another one. */
function isAbandoned(state: PathState, table: DispatchTable, row: number): boolean {
  const unanswered = table.state(row) === STATE_OPENING && (table.flags(row) & FLAG_REPLIED) === 0;
  return unanswered && !state.services.isServerUp(table.server(row));
}

/** Whether a SYN ends the entry it hits, for a dispatcher alone: port reuse, or a server that went down before it answered. */
function isReopened(state: PathState, table: DispatchTable, row: number, index: number): boolean {
  const entry = table.state(row);
  if (entry === STATE_CLOSING) {
    if (initialSequence(state, index) === table.isn(row) >>> 0) return false;
    const service = state.service[index]!;
    const ended = !state.services.isOneWay(service) && isFinished(table.flags(row), false);
    return ended || !state.services.isCandidate(service, table.server(row));
  }
  return isAbandoned(state, table, row);
}

function initialSequence(state: PathState, index: number): number {
  return tcpSequence(state.view, state.batch.rxOffset[index]! + state.parsed.headerLength[index]!);
}

function followClient(state: PathState, table: DispatchTable, row: number, index: number): void {
  const tcpFlags = state.parsed.tcpFlags[index]!;
  const before = table.state(row);
  const flags = table.flags(row);
  if (before === STATE_ESTABLISHED && (tcpFlags & TCP_CHANGES) === 0 && (flags & FLAG_ASSURED) !== 0) return;
  if (opens(tcpFlags) && before !== STATE_ESTABLISHED) return followSyn(state, table, row, index);
  const oneWay = state.services.isOneWay(state.service[index]!);
  const lasting = isLasting(table.openedAt(row), state.now);
  const after = afterClientSegment(before, flags, tcpFlags, oneWay, lasting);
  if ((after & 0xff) !== flags) table.setFlags(row, after & 0xff);
  if (after >>> 8 !== before) table.setState(row, after >>> 8);
  state.cluster?.changed(row);
  if (before === STATE_CLOSING && after >>> 8 !== STATE_CLOSING) count(state, FLOW_REVIVED);
  if (!oneWay || after >>> 8 !== STATE_ESTABLISHED) return;
  const assured = (after & FLAG_ASSURED) !== 0;
  if (before !== STATE_ESTABLISHED || assured) assureSession(state, table, row, assured);
}

/** A SYN on an entry that is opening, or closing and not to be reopened elsewhere. */
function followSyn(state: PathState, table: DispatchTable, row: number, index: number): void {
  const sequence = initialSequence(state, index);
  if (table.state(row) === STATE_CLOSING) {
    if (sequence === table.isn(row) >>> 0) return;
    table.setFlags(row, table.flags(row) & FLAG_HOLDS);
    table.setState(row, STATE_OPENING);
    table.setTimes(row, state.now, state.now);
    count(state, FLOW_REOPENED);
  }
  table.setIsn(row, sequence);
}

function followDatagram(state: PathState, table: DispatchTable, row: number, service: number): void {
  const flags = table.flags(row);
  if ((flags & FLAG_ASSURED) !== 0) return;
  const lasting = isLasting(table.openedAt(row), state.now);
  if (!assuresDatagram(flags, state.services.isOneWay(service), lasting)) return;
  table.setFlags(row, flags | FLAG_ASSURED);
  state.cluster?.changed(row);
  assureSession(state, table, row, true);
}

/** The entry's server is down and the service says `on-server-down: reset`. */
function endFlow(state: PathState, table: DispatchTable, row: number, index: number): void {
  if (state.cluster !== undefined) return endSharedFlow(state, state.cluster, table, row, index);
  table.remove(row, REASON_REMOVED);
  if (state.parsed.protocol[index] !== PROTOCOL_TCP) {
    // A datagram opens a flow at any time: the next server gets it.
    openFlow(state, table, index, STATE_UDP, false);
  } else if ((state.parsed.tcpFlags[index]! & TCP_RST) !== 0) {
    count(state, DROP_SERVER_DOWN);
  } else if (opens(state.parsed.tcpFlags[index]!)) {
    openFlow(state, table, index, STATE_OPENING, false);
  } else answerReset(state, index);
}

/** The same, of a flow that the other dispatchers know: they must hear of its end. A datagram's flow moves, by the gate. */
function endSharedFlow(
  state: PathState,
  cluster: ClusterGate,
  table: DispatchTable,
  row: number,
  index: number,
): void {
  if (state.parsed.protocol[index] !== PROTOCOL_TCP) return cluster.request(index);
  if (table.state(row) !== STATE_CLOSING) {
    table.setState(row, STATE_CLOSING);
    cluster.changed(row);
  }
  if ((state.parsed.tcpFlags[index]! & TCP_RST) !== 0) count(state, DROP_SERVER_DOWN);
  else answerReset(state, index);
}

function handleUnknown(state: PathState, table: DispatchTable, index: number): void {
  const policy = state.services.unknown[state.service[index]!];
  if ((state.parsed.tcpFlags[index]! & TCP_RST) !== 0) count(state, DROP_UNKNOWN);
  else if (policy === POLICY_HASH) takeUpFlow(state, table, index);
  else if (policy === POLICY_RESET) answerReset(state, index);
  else count(state, DROP_UNKNOWN);
}

/** A flow is taken up in its middle, perhaps by its FIN: it is opening, with the client's ACK, until something proves it. */
function takeUpFlow(state: PathState, table: DispatchTable, index: number): void {
  const row = openFlow(state, table, index, STATE_OPENING, true);
  if (row === NO_ROW) return;
  table.setFlags(row, table.flags(row) | FLAG_CLIENT_ACKED);
  followClient(state, table, row, index);
}
