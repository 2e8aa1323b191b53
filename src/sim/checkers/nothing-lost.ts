/** No connection breaks: no reset reaches a client whose server lives, and every connection comes to its end. */

import type { CheckedWorld, Checker } from '../checker.ts';

export class NothingLost implements Checker {
  readonly name = 'nothing-lost';

  finish(world: CheckedWorld): readonly string[] {
    if (world.assumptionBroken) return [];
    const faults: string[] = [];
    for (const { name, broken, finished, excused, doomed } of world.connections) {
      if (excused || doomed) continue;
      if (broken) faults.push(`${name} was reset`);
      else if (!finished) faults.push(`${name} did not come to its end`);
    }
    return faults;
  }
}
