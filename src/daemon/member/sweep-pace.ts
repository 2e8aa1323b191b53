/**
 * How many rows a step of the sweep visits: a pass over the table takes about a second, whatever the steps' distance, or longer where that would
 * be more at once than is asked for. At full pace 10,000 rows were gone through ten times a second, which took 4 % of a CPU (measured), and
 * nothing asks so soon: digests are compared every five seconds.
 */
const PASS_MS = 1_000;
/** Small tables are gone through sooner. */
const STEP_ROWS = 64;

export class SweepPace {
  #before = 0;

  /** @param size rows of a pass. @param now ms. @param most rows of one step */
  rows(size: number, now: number, most: number): number {
    const due = Math.ceil((size * (now - this.#before)) / PASS_MS);
    this.#before = now;
    return Math.min(most, Math.max(STEP_ROWS, due));
  }
}
