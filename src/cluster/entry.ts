/**
 * One entry of the table as the protocol sees it, and the order that makes all dispatchers agree about it.
 *
 * An entry is a value that grows (a join semilattice): `joinEntries` is the least upper bound, so records may arrive
 * late, twice and in any order. What of PROTOCOL.md lives here: the incarnation of an entry (a younger one wins
 * whatever the evidence), the order within one (generation, ever established, rank of origin, server id), 12 (FIN bits
 * are joined), 14 (idle age falls only by packets: the join keeps the younger `lastSeen`).
 *
 * An entry remembers the incarnation that it followed (`previousIsn`): ages are measured with the
 * error of a transit, so of two incarnations within that error the link decides, not the ages.
 */

import { type ClusterSeed, type NodeId, rank } from './identity.ts';
import { KIND_SESSION, type SessionKey } from './session-key.ts';

/** Server id, u32 derived from names and addresses; 0 is none. */
export const NO_SERVER = 0;

/** No earlier incarnation is known. ISNs are u32, so -1 is none of them. */
export const NO_ISN = -1;

export const BIT_ESTABLISHED = 1;
export const BIT_FIN_CLIENT = 2;
export const BIT_FIN_SERVER = 4;
/** FIN in both directions, or RST. */
export const BIT_CLOSING = 8;
/** Closing is over, the entry is kept as a tombstone (rule 13). Local, and on the wire only in copies of a table. */
export const BIT_TOMBSTONE = 16;

export const WIRE_BITS: number = BIT_ESTABLISHED | BIT_FIN_CLIENT | BIT_FIN_SERVER | BIT_CLOSING;
export const COPY_BITS: number = WIRE_BITS | BIT_TOMBSTONE;
export const BOTH_FINS: number = BIT_FIN_CLIENT | BIT_FIN_SERVER;

export interface Entry {
  readonly key: SessionKey;
  /** The client's initial sequence number; 0 for UDP and sessions. */
  readonly isn: number;
  /** The incarnation that this one followed, or NO_ISN. */
  readonly previousIsn: number;
  /** Raised by rebinding. */
  readonly generation: number;
  readonly server: number;
  /** Who selected the server. */
  readonly origin: NodeId;
  readonly bits: number;
  /** This dispatcher's clock, ms. */
  readonly openedAt: number;
  readonly lastSeen: number;
  /** When a refresh was last sent or heard, ms. */
  readonly refreshedAt: number;
  /** Bits that the others were told. */
  readonly sharedBits: number;
}

/** Closing or tombstone: the incarnation is over. */
export function isEnded(entry: Entry): boolean {
  return (entry.bits & (BIT_CLOSING | BIT_TOMBSTONE)) !== 0;
}

/** Adds CLOSING once both FINs are there (rule 12). */
export function settleBits(bits: number): number {
  return (bits & BOTH_FINS) === BOTH_FINS ? bits | BIT_CLOSING : bits;
}

/** Whether the incarnation of `a` is younger than that of `b`; their ISNs differ. */
export function isYounger(a: Entry, b: Entry): boolean {
  if (a.previousIsn === b.isn) return true;
  if (b.previousIsn === a.isn) return false;
  if (a.openedAt !== b.openedAt) return a.openedAt > b.openedAt;
  return a.isn > b.isn;
}

/**
 * Order of two claims about one incarnation: above 0 when `a` wins, 0 when they name the same server and generation
 * with the same evidence. The same result on every dispatcher.
 */
export function compareClaims(seed: ClusterSeed, a: Entry, b: Entry): number {
  if (a.generation !== b.generation) return a.generation - b.generation;
  const evidence = (a.bits & BIT_ESTABLISHED) - (b.bits & BIT_ESTABLISHED);
  if (evidence !== 0) return evidence;
  if (a.origin !== b.origin) {
    const hash = a.key.hash(seed);
    const byRank = rank(seed, hash, a.origin) - rank(seed, hash, b.origin);
    return byRank !== 0 ? byRank : a.origin - b.origin;
  }
  return a.server - b.server;
}

/** What came of joining what we hold with what we heard. */
export type JoinOutcome =
  /** Nothing new in it. */
  | 'known'
  /** Same server; bits or ages grew. */
  | 'grown'
  /** The record's claim replaces ours. */
  | 'replaced'
  /** Ours wins over another server: all should hear so. */
  | 'conflict-kept'
  /** As `replaced`, and it was another server in the same incarnation and generation. */
  | 'conflict-lost'
  /** The record is of an older incarnation. */
  | 'older';

/** Joins `theirs` (ages already turned into our clock) into `mine`. */
export function joinEntries(
  seed: ClusterSeed,
  mine: Entry,
  theirs: Entry,
): { readonly entry: Entry; readonly outcome: JoinOutcome } {
  if (mine.isn !== theirs.isn) {
    if (!isYounger(theirs, mine)) return { entry: mine, outcome: 'older' };
    const previousIsn = theirs.previousIsn === NO_ISN ? mine.isn : theirs.previousIsn;
    return { entry: { ...theirs, previousIsn }, outcome: 'replaced' };
  }
  const order = compareClaims(seed, theirs, mine);
  if (mine.server !== theirs.server || mine.generation !== theirs.generation) {
    const conflict = mine.server !== theirs.server && mine.generation === theirs.generation;
    if (order > 0) return { entry: theirs, outcome: conflict ? 'conflict-lost' : 'replaced' };
    return {
      entry: mine,
      outcome: conflict || mine.generation > theirs.generation ? 'conflict-kept' : 'known',
    };
  }
  const bits = settleBits(mine.bits | theirs.bits);
  const entry: Entry = {
    ...mine,
    origin: order > 0 ? theirs.origin : mine.origin,
    previousIsn: mine.previousIsn === NO_ISN ? theirs.previousIsn : mine.previousIsn,
    bits,
    openedAt: Math.min(mine.openedAt, theirs.openedAt),
    lastSeen: Math.max(mine.lastSeen, theirs.lastSeen),
    refreshedAt: Math.max(mine.refreshedAt, theirs.refreshedAt),
    sharedBits: mine.sharedBits | theirs.sharedBits,
  };
  const grown =
    bits !== mine.bits ||
    entry.lastSeen !== mine.lastSeen ||
    entry.refreshedAt !== mine.refreshedAt ||
    entry.origin !== mine.origin ||
    entry.previousIsn !== mine.previousIsn;
  return { entry: grown ? entry : mine, outcome: grown ? 'grown' : 'known' };
}

export interface EntryTimeouts {
  readonly tcpEstablished: number;
  readonly tcpOpening: number;
  readonly tcpClosing: number;
  readonly udp: number;
  readonly client: number;
}

/** How long the entry may be idle, ms, given the bits that count (its own, or those that the others know of). */
export function idleLimit(entry: Entry, bits: number, timeouts: EntryTimeouts, udp: boolean): number {
  if (entry.key.kind === KIND_SESSION) return timeouts.client;
  if (udp) return timeouts.udp;
  if ((bits & BIT_CLOSING) !== 0) return timeouts.tcpClosing;
  return (bits & BIT_ESTABLISHED) !== 0 ? timeouts.tcpEstablished : timeouts.tcpOpening;
}
