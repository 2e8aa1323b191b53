/**
 * The path of a packet on a reader thread: what hits an entry and changes nothing about it leaves at once, all else goes to the
 * dispatcher thread, which alone writes the table.
 *
 * A look-up here may meet an entry that is just being written: `readForward` and `readReverse` give a row that was consistent, and what
 * is copied from it counts only if `endRead` says that it still is. A false miss is harmless, since the dispatcher thread looks
 * again. The one word that is stored from here is the time that the entry was last seen.
 */
import { COUNTER } from '../base/counters.ts';
import {
  FLAG_ASSURED,
  FLAG_REPLIED,
  FLAG_TOMBSTONE,
  flowMeta,
  NO_ROW,
  STATE_CLOSING,
  STATE_ESTABLISHED,
  STATE_UDP,
} from '../table/flow-row.ts';
import { PROTOCOL_TCP } from '../wire/protocol.ts';
import { classifyBatch, countArrivals } from './classify.ts';
import { sendToClient, sendToServer } from './egress.ts';
import type { HandoverRing } from './handover-ring.ts';
import { count, KIND_DONE, KIND_PASS, KIND_REPLY, KIND_REQUEST, type PathState, pass } from './path-state.ts';
import { assuresDatagram, isFinished, isLasting, TCP_CHANGES } from './tcp-state.ts';

const TO_DISPATCHER = COUNTER['to-dispatcher'];
const DROP_RING_FULL = COUNTER['drop-ring-full'];
const DROP_NOT_READY = COUNTER['drop-not-ready'];
const READ_RETRIED = COUNTER['read-retried'];

/**
 * Runs the batch through the path of a reader thread.
 * @param words a Uint32Array over the batch's arena
 * @param now monotonic ms
 * @returns how many packets went to the ring. Allocates nothing, never throws.
 */
export function processReaderBatch(
  state: PathState,
  ring: HandoverRing,
  words: Uint32Array,
  now: number,
): number {
  state.now = now | 0;
  countArrivals(state);
  classifyBatch(state);
  const packets = state.batch.rxCount;
  let handed = 0;
  for (let index = 0; index < packets; index++) {
    const kind = state.kind[index];
    if (kind === KIND_DONE) continue;
    if (kind === KIND_PASS) pass(state, index);
    else if (!state.ready) count(state, DROP_NOT_READY);
    else if (kind === KIND_REQUEST && forwardRequest(state, index)) continue;
    else if (kind === KIND_REPLY && forwardReply(state, index)) continue;
    else if (ring.push(state.batch, words, index)) {
      count(state, TO_DISPATCHER);
      handed++;
    } else count(state, DROP_RING_FULL);
  }
  return handed;
}

function forwardRequest(state: PathState, index: number): boolean {
  const { parsed, table } = state;
  const tcp = parsed.protocol[index] === PROTOCOL_TCP;
  if (tcp && (parsed.tcpFlags[index]! & TCP_CHANGES) !== 0) return false;
  const service = state.service[index]!;
  const row = table.readForward(
    state.hash[index]!,
    parsed.source0[index]! | 0,
    parsed.source1[index]! | 0,
    parsed.source2[index]! | 0,
    parsed.source3[index]! | 0,
    state.key[index]!,
    flowMeta(service),
  );
  if (row === NO_ROW) return false;
  const entry = table.state(row);
  const flags = table.flags(row);
  const openedAt = table.openedAt(row);
  const server = table.server(row);
  if (!table.endRead(row, table.version)) {
    count(state, READ_RETRIED);
    return false;
  }
  if ((flags & FLAG_TOMBSTONE) !== 0) return false;
  const oneWay = state.services.isOneWay(service);
  if (entry === STATE_UDP) {
    const unsure = (flags & FLAG_ASSURED) === 0;
    if (unsure && assuresDatagram(flags, oneWay, isLasting(openedAt, state.now))) return false;
  } else if (!isSettled(entry, flags, oneWay)) return false;
  // The generation here may be older than the entry, or its server down with "reset": the dispatcher thread decides.
  if (!state.services.isServerOf(service, server) || state.services.endsFlows(service, server)) return false;
  table.touch(row, state.now);
  sendToServer(state, index, service, server, state.key[index]! & 0xffff);
  return true;
}

/** Whether a segment without SYN, FIN and RST leaves a TCP entry as it is. */
function isSettled(entry: number, flags: number, oneWay: boolean): boolean {
  if (entry === STATE_ESTABLISHED) return (flags & FLAG_ASSURED) !== 0;
  return entry === STATE_CLOSING && isFinished(flags, oneWay);
}

function forwardReply(state: PathState, index: number): boolean {
  const { parsed, table } = state;
  const tcp = parsed.protocol[index] === PROTOCOL_TCP;
  if (tcp && (parsed.tcpFlags[index]! & TCP_CHANGES) !== 0) return false;
  const row = table.readReverse(
    state.hash[index]!,
    parsed.destination0[index]! | 0,
    parsed.destination1[index]! | 0,
    parsed.destination2[index]! | 0,
    parsed.destination3[index]! | 0,
    parsed.destinationPort[index]!,
    state.key[index]!,
  );
  if (row === NO_ROW) return false;
  const entry = table.state(row);
  const flags = table.flags(row);
  const service = table.service(row);
  const vipPort = table.vipPort(row);
  if (!table.endRead(row, table.version)) {
    count(state, READ_RETRIED);
    return false;
  }
  if (!state.services.isService(service)) return false;
  const settled = entry === STATE_UDP ? (flags & FLAG_REPLIED) !== 0 : isSettled(entry, flags, false);
  if (!settled) return false;
  table.touch(row, state.now);
  sendToClient(state, index, service, vipPort);
  return true;
}
