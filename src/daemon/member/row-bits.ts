/**
 * The two languages for the state of a flow: the table's states and flags, which follow packets and may be taken back, and the protocol's
 * bits, which only grow.
 */
import {
  BIT_CLOSING,
  BIT_ESTABLISHED,
  BIT_FIN_CLIENT,
  BIT_FIN_SERVER,
  BIT_TOMBSTONE,
} from '../../cluster/entry.ts';
import {
  FLAG_ASSURED,
  FLAG_CLIENT_ACKED,
  FLAG_FIN_CLIENT,
  FLAG_FIN_SERVER,
  FLAG_REPLIED,
  FLAG_TOMBSTONE,
  STATE_CLOSING,
  STATE_ESTABLISHED,
  STATE_OPENING,
  STATE_SESSION,
  STATE_UDP,
} from '../../table/flow-row.ts';
import { TCP_FIN, TCP_RST } from '../../wire/tcp.ts';

const PROVEN = FLAG_CLIENT_ACKED | FLAG_REPLIED | FLAG_ASSURED;

/** What a row's state and flags say in the protocol's bits. */
export function bitsOfRow(state: number, flags: number): number {
  let bits = 0;
  if ((flags & FLAG_FIN_CLIENT) !== 0) bits |= BIT_FIN_CLIENT;
  if ((flags & FLAG_FIN_SERVER) !== 0) bits |= BIT_FIN_SERVER;
  if (state === STATE_ESTABLISHED || (state === STATE_UDP && (flags & FLAG_REPLIED) !== 0))
    bits |= BIT_ESTABLISHED;
  if (state === STATE_CLOSING) bits |= BIT_CLOSING;
  return bits;
}

/** What a TCP packet says of its flow's end. @param tcpFlags 0 where it is no TCP */
export function endBits(tcpFlags: number, isReply: boolean): number {
  const fin = isReply ? BIT_FIN_SERVER : BIT_FIN_CLIENT;
  return ((tcpFlags & TCP_FIN) === 0 ? 0 : fin) | ((tcpFlags & TCP_RST) === 0 ? 0 : BIT_CLOSING);
}

/** State of a row for an entry with these bits. @param kind STATE_UDP, STATE_SESSION, or STATE_OPENING for TCP */
export function stateOfBits(kind: number, bits: number): number {
  if (kind === STATE_SESSION) return STATE_SESSION;
  if ((bits & (BIT_CLOSING | BIT_TOMBSTONE)) !== 0) return STATE_CLOSING;
  if (kind === STATE_UDP) return STATE_UDP;
  return (bits & BIT_ESTABLISHED) !== 0 ? STATE_ESTABLISHED : STATE_OPENING;
}

/** Flags that these bits say: what a peer calls established is proven here too. */
export function flagsOfBits(bits: number): number {
  let flags = 0;
  if ((bits & BIT_FIN_CLIENT) !== 0) flags |= FLAG_FIN_CLIENT;
  if ((bits & BIT_FIN_SERVER) !== 0) flags |= FLAG_FIN_SERVER;
  if ((bits & BIT_ESTABLISHED) !== 0) flags |= PROVEN;
  if ((bits & BIT_TOMBSTONE) !== 0) flags |= FLAG_TOMBSTONE;
  return flags;
}
