/** Which counter a drop has that the protocol decides. */
import { COUNTER } from '../../base/counters.ts';
import type { DropReason } from '../../cluster/context.ts';

export const DROPS: { readonly [Reason in DropReason]: number } = {
  'not-ready': COUNTER['drop-not-ready'],
  'no-service': COUNTER['drop-no-service'],
  'no-server': COUNTER['drop-no-server'],
  'lock-limit': COUNTER['drop-lock-limit'],
  'queue-full': COUNTER['drop-queue-full'],
  'waited-too-long': COUNTER['drop-waited-too-long'],
  'hop-limit': COUNTER['drop-hop-limit'],
  'table-full': COUNTER['drop-table-full'],
  'question-unanswered': COUNTER['drop-question-unanswered'],
  'question-limit': COUNTER['drop-question-limit'],
  'unknown-flow': COUNTER['drop-unknown'],
  'reply-unknown': COUNTER['drop-reply-unknown'],
};
