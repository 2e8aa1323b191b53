/**
 * Numbers of the datagram's layout that writer (messages.ts, which documents the layout) and reader share.
 */

import type { EntryCause } from './records.ts';
import type { SessionKey } from './session-key.ts';

export const SAME = 1;
export const IPV4 = 2;
export const SESSION = 4;
export const TUPLE = 4;
export const FRESH = 8;
export const FROM_SENDER = 16;
export const PREVIOUS = 32;
export const GENERATION = 64;
export const LAST = 128;

export const LOCK = 1;
export const GRANT = 2;
export const REFUSE = 3;
export const UNLOCK = 4;
export const QUESTION = 5;
export const NO = 6;
export const ENTRY = 8;
export const CAUSES: readonly EntryCause[] = [
  'selected',
  'changed',
  'refresh',
  'answer',
  'repair',
  'correction',
  'copy',
];
export const MAX_REPORTS = 8;
/** The longest session record: a "no" about an IPv6 reply tuple with all reports. */
export const MAX_RECORD_SIZE = 160;

/** What two records in a row may share. */
export interface ClaimPart {
  readonly key: SessionKey;
  readonly isn: number;
  readonly previousIsn: number;
  readonly generation: number;
  readonly server: number;
}
