/** No lock and no question outlives the quiet time. */

import type { CheckedWorld, Checker } from '../checker.ts';

export class LocksEnd implements Checker {
  readonly name = 'locks-end';

  finish(world: CheckedWorld): readonly string[] {
    return world.dispatchers.flatMap(({ name, node }) => {
      const faults: string[] = [];
      if (node.core.locks.table.size > 0)
        faults.push(`${node.core.locks.table.size} locks are left at ${name}`);
      if (node.core.questions.table.size > 0) faults.push(`questions are left at ${name}`);
      return faults;
    });
  }
}
