/**
 * A client's connection as the simulation has it: SYN, some exchanges, FIN, each repeated until answered; or UDP
 * datagrams, a burst and some stragglers. Whatever it sends goes to any dispatcher that routers know; repeats of its SYN
 * go to the same one, as `announce` assumes.
 */

import type { NodeId } from '../cluster/identity.ts';
import type { SessionKey } from '../cluster/session-key.ts';

export type Kind = 'syn' | 'data' | 'fin' | 'datagram';
export type ReplyKind = 'syn-ack' | 'ack' | 'fin-ack' | 'rst';

export interface Connection {
  readonly name: string;
  readonly udp: boolean;
  readonly flow: SessionKey;
  readonly session: SessionKey | undefined;
  readonly isn: number;
  /** Exchanges of data between SYN and FIN. */
  readonly exchanges: number;
  /** Nobody is there to answer: a flood's. */
  readonly spoofed: boolean;
  /** Its port had another connection before. */
  readonly previous: boolean;
  /** What it waits for: -1 SYN-ACK, 0 and up the answer to that exchange, `exchanges` the FIN-ACK. */
  step: number;
  tries: number;
  /** Where its SYN went first. */
  synAt: NodeId;
  broken: boolean;
  finished: boolean;
  /** Its last packet went by hash, without an entry (flood). */
  byHash: boolean;
  /** The dispatcher died with what it alone knew, or its SYN was repeated elsewhere. */
  excused: boolean;
  /** Its server died: it need not come to its end. */
  doomed: boolean;
  /** Servers that accepted its SYN. */
  readonly servers: Set<number>;
}

export function kindOf(connection: Connection): Kind {
  if (connection.udp) return 'datagram';
  if (connection.step < 0) return 'syn';
  return connection.step < connection.exchanges ? 'data' : 'fin';
}

/** What it waits for now. */
export function awaits(connection: Connection): ReplyKind {
  if (connection.step < 0) return 'syn-ack';
  return connection.step < connection.exchanges ? 'ack' : 'fin-ack';
}

/** Time until a repeat, ms. */
export function repeatAfter(connection: Connection): number {
  return Math.min(150 * 2 ** connection.tries, 600);
}
