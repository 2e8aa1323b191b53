/**
 * The layout of a row of the dispatch table: twelve 32-bit words (48 bytes), host byte order.
 *
 *     0-3   client address; of a session entry the masked address
 *     4     client port << 16 | VIP port; of a session entry 0
 *     5     meta: bit 31 = session entry, low 16 bits = service index
 *     6     endpoint << 16 | server port; 0 = no reverse key (ipip, session entries)
 *     7     server index << 16 | state << 8 | flags
 *     8     last seen, ms: the only word that reader threads store to
 *     9     the client's initial sequence number; of a session entry the number of flows that hold it;
 *           of a free row the next free row + 1
 *     10    opened at, ms
 *     11    version: odd while the writer is inside, even otherwise
 *
 * Words 0-5 are the forward key, words 0-3, the upper half of 4 and word 6 the reverse key.
 */

export const ROW_WORDS = 12;
export const CLIENT = 0;
export const PORTS = 4;
export const META = 5;
export const ENDPOINT_PORT = 6;
export const SERVER_STATE = 7;
export const LAST_SEEN = 8;
export const ISN = 9;
export const OPENED_AT = 10;
export const VERSION = 11;

/** Bit 31 of meta: the row is a session entry (affinity client), not a flow. */
export const SESSION_KIND = 0x80000000 | 0;

export const STATE_FREE = 0;
/** A SYN was seen. */
export const STATE_OPENING = 1;
export const STATE_ESTABLISHED = 2;
/** FIN in both directions, or RST. */
export const STATE_CLOSING = 3;
export const STATE_UDP = 4;
export const STATE_SESSION = 5;
export const STATE_COUNT = 6;

/** Longest idle time that 32-bit times can tell; a longer difference means a time ahead. 24.8 days. */
export const MAX_IDLE_MS = 0x7fffffff;

/** Names for people and for `flows --json`, by state. */
export const STATE_NAMES: readonly string[] = ['free', 'opening', 'established', 'closing', 'udp', 'session'];

export const FLAG_FIN_CLIENT = 1;
export const FLAG_FIN_SERVER = 2;
/** A packet of the server was seen. */
export const FLAG_REPLIED = 4;
export const FLAG_CLIENT_ACKED = 8;
/** Traffic has shown that the entry is no forgery: it is not given up when the table is full (nf_conntrack's ASSURED). */
export const FLAG_ASSURED = 16;
/** The flow is one of those that its client's session entry counts. */
export const FLAG_HOLDS = 32;

/** The flow is over and only keeps late news of itself out (clusters): packets that hit it are no hits. */
export const FLAG_TOMBSTONE = 64;

/** No row: not found, or free. */
export const NO_ROW = -1;
/** Insertion refused: no free row, or both buckets of a key are full. */
export const TABLE_FULL = -2;

/** Word 4 from two ports in host order. */
export function packPorts(clientPort: number, vipPort: number): number {
  return (clientPort << 16) | vipPort;
}

/** Word 6 from an endpoint id and the server's port. */
export function packEndpointPort(endpoint: number, serverPort: number): number {
  return (endpoint << 16) | serverPort;
}

/** Word 5 of a flow entry. */
export function flowMeta(service: number): number {
  return service;
}

/** Word 5 of a session entry. */
export function sessionMeta(service: number): number {
  return SESSION_KIND | service;
}

/** A consistent copy of one row, filled by `readRow`. Addresses and times are unsigned, ports host order. */
export interface FlowRow {
  client0: number;
  client1: number;
  client2: number;
  client3: number;
  clientPort: number;
  vipPort: number;
  session: boolean;
  service: number;
  endpoint: number;
  serverPort: number;
  server: number;
  state: number;
  flags: number;
  /** Monotonic ms, wraps at 2^32. */
  lastSeen: number;
  isn: number;
  /** Monotonic ms, wraps at 2^32. */
  openedAt: number;
}

/** An empty row to read into; reuse it. */
export function emptyFlowRow(): FlowRow {
  return {
    client0: 0,
    client1: 0,
    client2: 0,
    client3: 0,
    clientPort: 0,
    vipPort: 0,
    session: false,
    service: 0,
    endpoint: 0,
    serverPort: 0,
    server: 0,
    state: STATE_FREE,
    flags: 0,
    lastSeen: 0,
    isn: 0,
    openedAt: 0,
  };
}
