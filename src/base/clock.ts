/**
 * Time for the packet path: CLOCK_MONOTONIC milliseconds as an unsigned 32-bit number that wraps after 49.7 days.
 * The one source is the native verb `monotonicMs` (the same in all threads; `performance.now` has an epoch per
 * worker); everything else takes `now` as an argument. Only differences mean something.
 */

/** Milliseconds from `then` to `now`, right while they are less than 49.7 days apart. Allocates nothing, never throws. */
export function elapsedMs(now: number, then: number): number {
  return (now - then) >>> 0;
}
