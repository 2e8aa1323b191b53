/**
 * Opening a flow: choose a server, make the entry, send the packet there.
 *
 * With `affinity: client` a session entry (client address or prefix, no ports) names the server of all flows of that client, as an
 * IPVS persistence template does: it holds while a flow of it lives, and its time-out runs after that. A session whose server takes
 * no new flows any more moves to another one with the next flow; the flows that it has stay where they are.
 *
 * In `nat` the tuple of the replies (server address and port, client address and port) must belong to one flow only, or two
 * would mix. Where it is taken (one client port to two VIPs, or to two ports that map to one), another server is chosen; a
 * session, which has no other, is refused.
 */
import { NO_SERVER } from '../balance/scheduler.ts';
import { COUNTER } from '../base/counters.ts';
import type { DispatchTable } from '../table/dispatch-table.ts';
import {
  flowMeta,
  NO_ROW,
  packEndpointPort,
  STATE_SESSION,
  STATE_UDP,
  sessionMeta,
  TABLE_FULL,
} from '../table/flow-row.ts';
import { tcpSequence } from '../wire/tcp.ts';
import { sendToServer } from './egress.ts';
import { count, type PathState } from './path-state.ts';
import { holdSession } from './session.ts';

/** Servers that are tried for a free reply tuple. */
const SELECTIONS = 8;

const DROP_NO_SERVER = COUNTER['drop-no-server'];
const DROP_REPLY_TAKEN = COUNTER['drop-reply-taken'];
const DROP_TABLE_FULL = COUNTER['drop-table-full'];
const FLOW_OPENED = COUNTER['flow-opened'];
const SESSION_OPENED = COUNTER['session-opened'];
const SESSION_REFUSED = COUNTER['session-refused'];
const REPLY_TUPLE_AVOIDED = COUNTER['reply-tuple-avoided'];
const CLIENT_ON_SERVER_SUBNET = COUNTER['client-on-server-subnet'];

/**
 * Opens a flow for request `index`, which hits no entry, and forwards the packet; or drops it for a counted reason.
 * @param entryState state that the entry begins in
 * @param byHash for a flow that is taken up in its middle (`unknown: hash`): its server is the one that its hash alone gives
 * @returns row of the entry, or NO_ROW. Allocates nothing, never throws.
 */
export function openFlow(
  state: PathState,
  table: DispatchTable,
  index: number,
  entryState: number,
  byHash: boolean,
): number {
  const service = state.service[index]!;
  const bound = state.services.isSession(service);
  const session = bound ? findSession(state, table, service, index) : NO_ROW;
  const remembered = session === NO_ROW ? NO_SERVER : table.server(session);
  const keep = remembered !== NO_SERVER && state.services.isCandidate(service, remembered);
  const server = keep ? remembered : chooseServer(state, table, service, index, byHash);
  if (server < 0) return NO_ROW;
  const endpointPort = replyKey(state, service, server, index);
  if (keep && isReplyTaken(state, table, endpointPort, index)) {
    count(state, DROP_REPLY_TAKEN);
    return NO_ROW;
  }
  const row = insertFlow(state, table, index, server, endpointPort, entryState);
  if (row === TABLE_FULL) {
    count(state, DROP_TABLE_FULL);
    return NO_ROW;
  }
  if (bound) bindSession(state, table, service, row, server, index);
  count(state, FLOW_OPENED);
  if (endpointPort !== 0 && isNeighbour(state, server, index)) count(state, CLIENT_ON_SERVER_SUBNET);
  sendToServer(state, index, service, server, state.key[index]! & 0xffff);
  return row;
}

/** @returns a server index, or NO_SERVER when the packet was dropped and counted. */
function chooseServer(
  state: PathState,
  table: DispatchTable,
  service: number,
  index: number,
  byHash: boolean,
): number {
  const { balancer, excluded, parsed } = state;
  const hash = balancer.keyHash(
    service,
    parsed.source0[index]! | 0,
    parsed.source1[index]! | 0,
    parsed.source2[index]! | 0,
    parsed.source3[index]! | 0,
    state.key[index]!,
  );
  excluded.clear();
  for (let tries = 0; tries < SELECTIONS; tries++) {
    const server = byHash
      ? balancer.selectByHash(service, hash, excluded)
      : balancer.select(service, hash, excluded);
    if (server === NO_SERVER) break;
    if (!isReplyTaken(state, table, replyKey(state, service, server, index), index)) {
      if (tries > 0) count(state, REPLY_TUPLE_AVOIDED);
      return server;
    }
    excluded.add(server);
  }
  count(state, excluded.size > 0 ? DROP_REPLY_TAKEN : DROP_NO_SERVER);
  return NO_SERVER;
}

/** Word of the reverse key, or 0 where replies do not pass here. */
function replyKey(state: PathState, service: number, server: number, index: number): number {
  const { services } = state;
  if (services.isOneWay(service)) return 0;
  const port = services.serverPort[server]! || state.key[index]! & 0xffff;
  return packEndpointPort(services.serverEndpoint[server]!, port);
}

function replyHash(state: PathState, table: DispatchTable, endpointPort: number, index: number): number {
  const { parsed } = state;
  return table.hashReverse(
    parsed.source0[index]! | 0,
    parsed.source1[index]! | 0,
    parsed.source2[index]! | 0,
    parsed.source3[index]! | 0,
    parsed.sourcePort[index]!,
    endpointPort,
  );
}

function isReplyTaken(state: PathState, table: DispatchTable, endpointPort: number, index: number): boolean {
  if (endpointPort === 0) return false;
  const { parsed } = state;
  const row = table.findReverse(
    replyHash(state, table, endpointPort, index),
    parsed.source0[index]! | 0,
    parsed.source1[index]! | 0,
    parsed.source2[index]! | 0,
    parsed.source3[index]! | 0,
    parsed.sourcePort[index]!,
    endpointPort,
  );
  return row !== NO_ROW;
}

/** Makes the entry; when the table is full, at the cost of one that is not assured, or closing. @returns row, or TABLE_FULL. */
function insertFlow(
  state: PathState,
  table: DispatchTable,
  index: number,
  server: number,
  endpointPort: number,
  entryState: number,
): number {
  const { parsed } = state;
  const isn =
    entryState === STATE_UDP
      ? 0
      : tcpSequence(state.view, state.batch.rxOffset[index]! + parsed.headerLength[index]!);
  const reverse = endpointPort === 0 ? 0 : replyHash(state, table, endpointPort, index);
  for (let tries = 0; tries < 2; tries++) {
    const row = table.insert(
      state.hash[index]!,
      reverse,
      parsed.source0[index]! | 0,
      parsed.source1[index]! | 0,
      parsed.source2[index]! | 0,
      parsed.source3[index]! | 0,
      state.key[index]!,
      flowMeta(state.service[index]!),
      endpointPort,
      server,
      entryState,
      isn,
      state.now,
    );
    if (row !== TABLE_FULL || !table.earlyDrop(state.now)) return row;
  }
  return TABLE_FULL;
}

/** @returns the session entry of the packet's client, or NO_ROW. */
function findSession(state: PathState, table: DispatchTable, service: number, index: number): number {
  const { parsed, services } = state;
  const { mask } = services;
  const at = service * 4;
  const a0 = parsed.source0[index]! & mask[at]!;
  const a1 = parsed.source1[index]! & mask[at + 1]!;
  const a2 = parsed.source2[index]! & mask[at + 2]!;
  const a3 = parsed.source3[index]! & mask[at + 3]!;
  const meta = sessionMeta(service);
  return table.findForward(table.hashForward(a0, a1, a2, a3, 0, meta), a0, a1, a2, a3, 0, meta);
}

/** Ties the flow that was just opened to its session entry, which is made, moved or renewed. */
function bindSession(
  state: PathState,
  table: DispatchTable,
  service: number,
  flow: number,
  server: number,
  index: number,
): void {
  // Looked up again: making the flow's entry may have cost this one.
  const session = findSession(state, table, service, index);
  if (session !== NO_ROW) {
    if (table.server(session) !== server) table.moveSession(session, server);
    table.touch(session, state.now);
    return holdSession(table, session, flow);
  }
  const { parsed, services } = state;
  const { mask } = services;
  const at = service * 4;
  const a0 = parsed.source0[index]! & mask[at]!;
  const a1 = parsed.source1[index]! & mask[at + 1]!;
  const a2 = parsed.source2[index]! & mask[at + 2]!;
  const a3 = parsed.source3[index]! & mask[at + 3]!;
  const meta = sessionMeta(service);
  const hash = table.hashForward(a0, a1, a2, a3, 0, meta);
  const row = table.insert(hash, 0, a0, a1, a2, a3, 0, meta, 0, server, STATE_SESSION, 0, state.now);
  // A full table leaves the client without a session, not without its flow.
  if (row === TABLE_FULL) return count(state, SESSION_REFUSED);
  holdSession(table, row, flow);
  count(state, SESSION_OPENED);
}

/** Whether the client is on the server's own subnet, so that replies go to it directly and not through here. */
function isNeighbour(state: PathState, server: number, index: number): boolean {
  const { parsed } = state;
  return state.services.isNeighbour(
    server,
    parsed.source0[index]! | 0,
    parsed.source1[index]! | 0,
    parsed.source2[index]! | 0,
    parsed.source3[index]! | 0,
  );
}
