/**
 * No connection breaks: no reset reaches a client whose server lives, and every connection comes to its end.
 *
 * Not yet is that asked of a flow that went by hash in a flood and has no entry, while somebody is silent for less than what
 * counts as stopped: silence is never a no (rule 6 of design section 2), so its packets are dropped until then.
 */

import { isEnded } from '../../cluster/entry.ts';
import type { CheckedWorld, Checker } from '../checker.ts';
import type { Connection } from '../connection.ts';

export class NothingLost implements Checker {
  readonly name = 'nothing-lost';

  finish(world: CheckedWorld): readonly string[] {
    if (world.assumptionBroken) return [];
    const faults: string[] = [];
    for (const connection of world.connections) {
      const { name, broken, finished, excused, doomed } = connection;
      if (excused || doomed) continue;
      if (broken) faults.push(`${name} was reset`);
      else if (!finished && !isUndecided(world, connection)) faults.push(`${name} did not come to its end`);
    }
    return faults;
  }
}

/** Whether the silent may know its entry, for all that those alive can tell. */
function isUndecided({ now, flood, dispatchers }: CheckedWorld, { flow }: Connection): boolean {
  if (flood === undefined) return false;
  const entries = dispatchers.map(({ store }) => store.find(flow));
  if (entries.some((entry) => entry !== undefined && !isEnded(entry))) return false;
  return dispatchers.some((dispatcher) => {
    const { members, settings } = dispatcher.node.membership;
    const since = dispatcher.local(now) - settings.stoppedAfterMs;
    return [...members.values()].some(({ peer, heardAt }) => !peer.up && heardAt > since);
  });
}
