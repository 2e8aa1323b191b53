/**
 * What a segment or datagram does to its flow entry: pure functions over the entry's state and flags.
 *
 * | state | client's segment | server's segment (nat) |
 * | --- | --- | --- |
 * | opening | ACK: established, in nat if the server has replied, in ipip at the first ACK after a SYN, or by time | replied; established if the client has acknowledged |
 * | established | ipip, by time: assured | without SYN: assured |
 * | both | RST: closing, what was proven is forgotten; FIN of both (ipip: of the client): closing, for good | the same |
 * | closing by RST | without SYN and RST: opening again, or established by its ACK | opening again |
 *
 * A dispatcher is not an end point: it judges by flags and never by numbers, so any segment may be forged. A RST is therefore believed only
 * until the flow goes on. `assured` needs more than a client can forge blindly: in nat the server goes on after the client's ACK,
 * where it answers a false ACK with RST; where answers do not pass here, packets at two times `LASTING_MS` apart; of UDP that, and in nat a reply.
 * Source: RFC 9293 section 3.3.2, reduced to what a middlebox can see; nf_conntrack's ASSURED, whose UDP streams last 2 s too.
 */
import { elapsedMs } from '../base/clock.ts';
import {
  FLAG_ASSURED,
  FLAG_CLIENT_ACKED,
  FLAG_FIN_CLIENT,
  FLAG_FIN_SERVER,
  FLAG_REPLIED,
  MAX_IDLE_MS,
  STATE_CLOSING,
  STATE_ESTABLISHED,
  STATE_OPENING,
} from '../table/flow-row.ts';
import { TCP_ACK, TCP_FIN, TCP_RST, TCP_SYN } from '../wire/tcp.ts';

/** Segments with one of these may change an entry; all others leave an established and assured one as it is. */
export const TCP_CHANGES: number = TCP_SYN | TCP_FIN | TCP_RST;

/** Age from which on a packet says that its flow lasts. */
export const LASTING_MS = 2000;

/** Joins a state and flags into one number, so that the step returns both without an object. */
export function packState(state: number, flags: number): number {
  return (state << 8) | flags;
}

/** Whether an entry is as old as LASTING_MS. Both in monotonic ms; an opening ahead of `now` is young. */
export function isLasting(openedAt: number, now: number): boolean {
  const age = elapsedMs(now, openedAt);
  return age >= LASTING_MS && age <= MAX_IDLE_MS;
}

/** Whether both ends are done (in ipip the client is): such an entry does not come back. */
export function isFinished(flags: number, oneWay: boolean): boolean {
  const finished = FLAG_FIN_CLIENT | (oneWay ? 0 : FLAG_FIN_SERVER);
  return (flags & finished) === finished;
}

/** Whether a client's datagram assures its entry, which is not assured yet. */
export function assuresDatagram(flags: number, oneWay: boolean, lasting: boolean): boolean {
  return lasting && (oneWay || (flags & FLAG_REPLIED) !== 0);
}

/**
 * The state and flags after a client's segment.
 * @param state of the entry, `flags` its FLAG_ bits
 * @param tcpFlags of the segment
 * @param oneWay true when the server's packets do not pass here (ipip)
 * @param lasting `isLasting` of the entry
 * @returns `packState` of the new state and flags. Allocates nothing, never throws.
 */
export function afterClientSegment(
  state: number,
  flags: number,
  tcpFlags: number,
  oneWay: boolean,
  lasting: boolean,
): number {
  if ((tcpFlags & TCP_RST) !== 0) return afterReset(flags);
  let next = flags;
  if ((tcpFlags & TCP_FIN) !== 0) next |= FLAG_FIN_CLIENT;
  if ((tcpFlags & (TCP_SYN | TCP_ACK)) === TCP_ACK) next |= FLAG_CLIENT_ACKED;
  if (isFinished(next, oneWay)) return packState(STATE_CLOSING, next);
  let after = revived(state, tcpFlags);
  // An entry that was taken up in its middle has its ACK from the beginning: one way, only time proves it.
  const proven = oneWay ? next !== flags || lasting : (next & FLAG_REPLIED) !== 0;
  if (after === STATE_OPENING && (next & FLAG_CLIENT_ACKED) !== 0 && proven) after = STATE_ESTABLISHED;
  if (oneWay && lasting && after === STATE_ESTABLISHED) next |= FLAG_ASSURED;
  return packState(after, next);
}

/**
 * The state and flags after a server's segment; `nat` only. Allocates nothing, never throws.
 * @param apart the client's segments may pass elsewhere, as in a cluster: that the server goes on shows that it had the client's ACK
 */
export function afterServerSegment(state: number, flags: number, tcpFlags: number, apart: boolean): number {
  if ((tcpFlags & TCP_RST) !== 0) return afterReset(flags | FLAG_REPLIED);
  let next = flags | FLAG_REPLIED;
  if ((tcpFlags & TCP_FIN) !== 0) next |= FLAG_FIN_SERVER;
  if (isFinished(next, false)) return packState(STATE_CLOSING, next);
  const after = revived(state, tcpFlags);
  if (after === STATE_ESTABLISHED && (tcpFlags & TCP_SYN) === 0) next |= FLAG_ASSURED;
  const acked = (next & FLAG_CLIENT_ACKED) !== 0 || (apart && (tcpFlags & TCP_SYN) === 0);
  if (after === STATE_OPENING && acked) return packState(STATE_ESTABLISHED, next);
  return packState(after, next);
}

function afterReset(flags: number): number {
  return packState(STATE_CLOSING, flags & ~(FLAG_CLIENT_ACKED | FLAG_ASSURED));
}

function revived(state: number, tcpFlags: number): number {
  return state === STATE_CLOSING && (tcpFlags & TCP_SYN) === 0 ? STATE_OPENING : state;
}
