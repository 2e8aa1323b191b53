/**
 * Who reports ready holds every live entry that all others that are ready have held for a while (rule 16). Not judged
 * while one of those became ready within that while: it may have brought entries of an earlier life of the cluster. Nor
 * judged is what a dispatcher selected that died since: what it told only some comes by digests.
 */

import { isEnded } from '../../cluster/entry.ts';
import type { NodeId } from '../../cluster/identity.ts';
import type { Checker } from '../checker.ts';
import type { SimulatedDispatcher } from '../dispatcher.ts';

/** Digests have evened out what others brought, ms. */
const YOUNG_MS = 1_500;
/** Digests have brought what a dead one told only some, ms. */
const EVENED_OUT_MS = 2_500;
/** Younger entries may be under way, ms. */
const UNDER_WAY_MS = 400;

export class JoinerKnows implements Checker {
  readonly name = 'joiner-knows';
  readonly faults: string[] = [];
  readonly diedAt = new Map<NodeId, number>();

  crashed(dead: SimulatedDispatcher, _others: readonly SimulatedDispatcher[], now: number): void {
    this.diedAt.set(dead.id, now);
  }

  ready(joiner: SimulatedDispatcher, all: readonly SimulatedDispatcher[], now: number): void {
    const others = all.filter((one) => one !== joiner && one.alive && one.node.core.context.ready);
    const [first, ...rest] = others;
    if (first === undefined || others.some((one) => now - one.readyAt < YOUNG_MS)) return;
    for (const [text, entry] of first.store.entries) {
      if (now - (this.diedAt.get(entry.origin) ?? Number.NEGATIVE_INFINITY) < EVENED_OUT_MS) continue;
      if (isEnded(entry) || first.local(now) - entry.openedAt < UNDER_WAY_MS) continue;
      if (!rest.every((one) => one.store.entries.has(text)) || joiner.store.entries.has(text)) continue;
      this.faults.push(`${joiner.name} is ready without ${text}`);
    }
  }

  finish(): readonly string[] {
    return this.faults;
  }
}
