/**
 * What dispatchers say to each other about sessions, as values. The bytes are in messages.ts and messages-read.ts.
 *
 * Two ways of travel (see link.ts): `broadcast` is the durable stream that is repaired from the ring of sent datagrams;
 * `send` goes to one peer, once, and is repeated by its sender until answered (rule 5). Only `entry` and `unlock`
 * belong to the durable stream; a `lock` that rides in it (announce) is ignored in a repair.
 *
 * One record, `entry`, says everything about an entry: that it was selected, refreshed, closed. Since entries are
 * joined (entry.ts), the receiver needs no other rule. Ages are durations at the moment of sending.
 */

import type { NodeId } from './identity.ts';
import type { ReplyKey, SessionKey } from './session-key.ts';

/** Places an own lock (rule 1): which attempt, what it opens, the server it intends, the lease that is left. */
export interface LockRecord {
  readonly type: 'lock';
  readonly key: SessionKey;
  readonly attempt: number;
  /** The incarnation that the lock opens, and the one whose end its holder knows of (NO_ISN: none). */
  readonly isn: number;
  readonly previousIsn: number;
  /** Generation that would replace what is there; 0 unless it rebinds (rule 10). */
  readonly generation: number;
  readonly server: number;
  readonly leaseMs: number;
  /** Wants a grant. */
  readonly confirm: boolean;
}

/** That a dispatcher intended a server under a lock that was voided, and may have used it (rule 1). */
export interface Report {
  readonly server: number;
  readonly holder: NodeId;
  /** First 32 bits of the holder's incarnation; NO_TAG where no lock stood that its grant could disprove: a choice by hash in a flood. */
  readonly tag: number;
}

export const NO_TAG = 0;

export interface GrantRecord {
  readonly type: 'grant';
  readonly key: SessionKey;
  readonly attempt: number;
  readonly reports: readonly Report[];
}

/** "My own lock is better": carries that lock; `attempt` is the refused one. */
export interface RefuseRecord {
  readonly type: 'refuse';
  readonly attempt: number;
  readonly lock: LockRecord;
}

/** An own lock ended without a server (rule 6). */
export interface UnlockRecord {
  readonly type: 'unlock';
  readonly key: SessionKey;
  readonly attempt: number;
}

export interface QuestionRecord {
  readonly type: 'question';
  readonly question: number;
  readonly about: SessionKey | ReplyKey;
}

export interface NoRecord {
  readonly type: 'no';
  readonly question: number;
  readonly about: SessionKey | ReplyKey;
  readonly reports: readonly Report[];
  /** The sender is or was in flood: it may have forwarded the flow without an entry. */
  readonly flooded: boolean;
}

/** Why an entry record was sent: `repair` (after a digest) asks for a correction if it is behind, `correction` never. */
export type EntryCause = 'selected' | 'changed' | 'refresh' | 'answer' | 'repair' | 'correction' | 'copy';

export interface EntryRecord {
  readonly type: 'entry';
  readonly cause: EntryCause;
  /** The own attempt that this ends (selected), or the asker's attempt or question that it answers; 0 none. */
  readonly attempt: number;
  readonly key: SessionKey;
  readonly isn: number;
  readonly previousIsn: number;
  readonly generation: number;
  readonly server: number;
  readonly origin: NodeId;
  readonly bits: number;
  readonly ageMs: number;
  readonly idleMs: number;
}

export type SessionRecord =
  | LockRecord
  | GrantRecord
  | RefuseRecord
  | UnlockRecord
  | QuestionRecord
  | NoRecord
  | EntryRecord;
