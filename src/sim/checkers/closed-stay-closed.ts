/**
 * A connection that both sides ended is live nowhere in the end, unless a dispatcher died with the news (rules 12, 13). Not
 * asked of the second on a port: who has not heard of it takes its FIN for the first's, and the entry ends by its idle time.
 */

import { isEnded } from '../../cluster/entry.ts';
import type { CheckedWorld, Checker } from '../checker.ts';

export class ClosedStayClosed implements Checker {
  readonly name = 'closed-stay-closed';

  finish(world: CheckedWorld): readonly string[] {
    if (world.assumptionBroken || world.crashes > 0) return [];
    const faults: string[] = [];
    for (const { name, store } of world.dispatchers) {
      for (const { finished, udp, broken, doomed, previous, flow, isn } of world.connections) {
        if (!finished || udp || broken || doomed || previous) continue;
        const entry = store.find(flow);
        if (entry?.isn === isn && !isEnded(entry)) faults.push(`${flow.text} lives at ${name}`);
      }
    }
    return faults;
  }
}
