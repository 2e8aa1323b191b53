/** A connection that both sides ended is live nowhere in the end, unless a dispatcher died with the news (rules 12, 13). */

import { isEnded } from '../../cluster/entry.ts';
import type { CheckedWorld, Checker } from '../checker.ts';

export class ClosedStayClosed implements Checker {
  readonly name = 'closed-stay-closed';

  finish(world: CheckedWorld): readonly string[] {
    if (world.assumptionBroken || world.crashes > 0) return [];
    const faults: string[] = [];
    for (const { name, store } of world.dispatchers) {
      for (const closed of world.closed) {
        const entry = store.entries.get(closed.flow);
        if (entry !== undefined && entry.isn === closed.isn && !isEnded(entry)) {
          faults.push(`${closed.flow} lives at ${name}`);
        }
      }
    }
    return faults;
  }
}
