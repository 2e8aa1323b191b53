/** The protocol's own counters, carried over to the thread's row of counters. */
import { COUNTER } from '../../base/counters.ts';
import type { CoreCounter } from '../../cluster/context.ts';
import type { LinkCounters } from '../../cluster/link.ts';
import type { ClusterNode } from '../../cluster/node.ts';

const OF_CORE: readonly (readonly [CoreCounter, number])[] = [
  ['locksPlaced', COUNTER['lock-placed']],
  ['locksLearnt', COUNTER['lock-learnt']],
  ['locksYielded', COUNTER['lock-yielded']],
  ['locksVoided', COUNTER['lock-voided']],
  ['locksEndedEmpty', COUNTER['lock-ended-empty']],
  ['locksRefused', COUNTER['lock-refused-full']],
  ['intentionsForgotten', COUNTER['lock-forgotten']],
  ['attemptsAdopted', COUNTER['lock-adopted']],
  ['grantsByTimeout', COUNTER['lock-granted-by-timeout']],
  ['questions', COUNTER['question-asked']],
  ['questionsUnanswered', COUNTER['question-unanswered']],
  ['updates', COUNTER['update-sent']],
  ['refreshes', COUNTER['refresh-sent']],
  ['refreshesShed', COUNTER['refresh-shed']],
  ['updatesShed', COUNTER['update-shed']],
  ['conflicts', COUNTER['conflict']],
  ['replyCollisions', COUNTER['reply-collision']],
  ['refusedOld', COUNTER['entry-refused-old']],
  ['refusedFull', COUNTER['entry-refused-full']],
  ['recordsIgnored', COUNTER['record-ignored']],
  ['unknownService', COUNTER['entry-unknown-service']],
  ['rebound', COUNTER['flow-rebound']],
  ['stateless', COUNTER['stateless-forward']],
];

const OF_LINK: readonly (readonly [keyof LinkCounters, number])[] = [
  ['refusedHeader', COUNTER['cluster-refused-header']],
  ['refusedStranger', COUNTER['cluster-refused-stranger']],
  ['refusedSeal', COUNTER['cluster-refused-seal']],
  ['refusedReplay', COUNTER['cluster-refused-replay']],
  ['refusedRecords', COUNTER['cluster-refused-records']],
  ['refusedEcho', COUNTER['cluster-refused-echo']],
  ['refusedRepair', COUNTER['cluster-refused-repair']],
  ['limitedRepairs', COUNTER['cluster-repair-limited']],
];
const REFUSED_LIFE = COUNTER['cluster-refused-life'];
const REPAIRED = COUNTER['cluster-datagrams-repaired'];

export class MemberCounters {
  readonly #row: Float64Array;

  constructor(row: Float64Array) {
    this.#row = row;
  }

  update(node: ClusterNode): void {
    const row = this.#row;
    const { counters } = node.core.context;
    for (const [name, at] of OF_CORE) row[at] = counters[name];
    for (const [name, at] of OF_LINK) row[at] = node.link.counters[name];
    row[REFUSED_LIFE] = node.unbelieved;
    let repaired = 0;
    for (const { stream } of node.membership.members.values()) repaired += stream.repaired;
    row[REPAIRED] = repaired;
  }
}
