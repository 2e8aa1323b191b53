/**
 * What a TCP segment does to its flow entry: a pure function over the entry's state and flags.
 *
 * A dispatcher is not an end point: it judges by flags alone and never by windows, so a forged segment can shorten an idle
 * flow's life but never end a busy one (each packet makes the entry young again, whatever its state). In `nat` both directions
 * pass; in `ipip` only the client's, so there a client's FIN alone begins the end and its first ACK is enough to be established.
 * Source: RFC 9293 section 3.3.2, reduced to what a middlebox can see.
 */
import {
  FLAG_CLIENT_ACKED,
  FLAG_FIN_CLIENT,
  FLAG_FIN_SERVER,
  FLAG_REPLIED,
  STATE_CLOSING,
  STATE_ESTABLISHED,
  STATE_OPENING,
} from '../table/flow-row.ts';
import { TCP_ACK, TCP_FIN, TCP_RST, TCP_SYN } from '../wire/tcp.ts';

/** Segments with one of these may change an entry; all others leave an established one as it is. */
export const TCP_CHANGES: number = TCP_SYN | TCP_FIN | TCP_RST;

/** Joins a state and flags into one number, so that the step returns both without an object. */
export function packState(state: number, flags: number): number {
  return (state << 8) | flags;
}

/**
 * The state and flags after a client's segment.
 * @param state of the entry, `flags` its FLAG_ bits
 * @param tcpFlags of the segment
 * @param oneWay true when the server's packets do not pass here (ipip)
 * @returns `packState` of the new state and flags. Allocates nothing, never throws.
 */
export function afterClientSegment(state: number, flags: number, tcpFlags: number, oneWay: boolean): number {
  if ((tcpFlags & TCP_RST) !== 0) return packState(STATE_CLOSING, flags);
  let next = flags;
  if ((tcpFlags & TCP_FIN) !== 0) next |= FLAG_FIN_CLIENT;
  if ((tcpFlags & (TCP_SYN | TCP_ACK)) === TCP_ACK) next |= FLAG_CLIENT_ACKED;
  return packState(settle(state, next, oneWay), next);
}

/** The state and flags after a server's segment; `nat` only. Allocates nothing, never throws. */
export function afterServerSegment(state: number, flags: number, tcpFlags: number): number {
  if ((tcpFlags & TCP_RST) !== 0) return packState(STATE_CLOSING, flags | FLAG_REPLIED);
  let next = flags | FLAG_REPLIED;
  if ((tcpFlags & TCP_FIN) !== 0) next |= FLAG_FIN_SERVER;
  return packState(settle(state, next, false), next);
}

function settle(state: number, flags: number, oneWay: boolean): number {
  const finished = FLAG_FIN_CLIENT | (oneWay ? 0 : FLAG_FIN_SERVER);
  if ((flags & finished) === finished) return STATE_CLOSING;
  const proven = FLAG_CLIENT_ACKED | (oneWay ? 0 : FLAG_REPLIED);
  if (state === STATE_OPENING && (flags & proven) === proven) return STATE_ESTABLISHED;
  return state;
}
