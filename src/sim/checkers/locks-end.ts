/**
 * No lock outlives its lease, and no question its time (PROTOCOL.md, what must hold). Clients may still repeat when a run ends: what
 * is younger is no fault.
 */

import type { CheckedWorld, Checker } from '../checker.ts';

/** A dispatcher that wakes for its deadline gets to it so late, ms. */
const TURN_MS = 1;

export class LocksEnd implements Checker {
  readonly name = 'locks-end';

  finish(world: CheckedWorld): readonly string[] {
    const faults: string[] = [];
    for (const dispatcher of world.dispatchers) {
      const { name, node } = dispatcher;
      const late = (end: number): number => dispatcher.local(world.now) - end;
      for (const [text, lock] of node.core.locks.table) {
        const over = late(lock.leaseEnd);
        if (over > TURN_MS) faults.push(`a lock on ${text} is left at ${name}, ${Math.round(over)} ms late`);
      }
      for (const [text, question] of node.core.questions.table) {
        const over = late(question.giveUpAt);
        if (over > TURN_MS)
          faults.push(`a question about ${text} is left at ${name}, ${Math.round(over)} ms late`);
      }
    }
    return faults;
  }
}
