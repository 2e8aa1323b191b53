/**
 * The cases of the exhaustive check. Each trace that PROTOCOL.md names is one, by that name; those that need membership, streams or copies
 * are in traces.ts.
 */

import type { ModelCase } from './case.ts';
import { BOUND_CASES } from './cases/bounds.ts';
import { END_CASES } from './cases/ends.ts';
import { ENTRY_CASES } from './cases/entries.ts';
import { INTENTION_CASES } from './cases/intentions.ts';
import { LOCK_CASES } from './cases/locks.ts';

export const CASES: readonly ModelCase[] = [
  ...BOUND_CASES,
  ...LOCK_CASES,
  ...INTENTION_CASES,
  ...END_CASES,
  ...ENTRY_CASES,
];
