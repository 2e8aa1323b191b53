/**
 * Virtual time: things to do at times, the earliest first, equal times in the order in which they were added.
 */

import { Deadlines } from '../cluster/deadlines.ts';

export class Timeline {
  now = 0;
  readonly due = new Deadlines<() => void>();
  /** Breaks ties, in units far below anything that matters (ms). */
  count = 0;

  at(time: number, run: () => void): void {
    this.due.add(Math.max(time, this.now) + ++this.count * 1e-9, run);
  }

  after(delay: number, run: () => void): void {
    this.at(this.now + delay, run);
  }

  /** Runs everything up to `end`. */
  run(end: number): void {
    for (;;) {
      const next = this.due.next;
      if (next > end) break;
      const run = this.due.pop(next)!;
      this.now = Math.max(this.now, next);
      run();
    }
    this.now = Math.max(this.now, end);
  }
}
