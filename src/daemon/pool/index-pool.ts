/**
 * Hands out small indexes for long-lived things and takes them back.
 *
 * An index is used again as late as possible: fresh ones first, then the one that was given back longest ago, so that a stray
 * reference to a thing that is gone meets nothing for a long time instead of a stranger.
 */
export class IndexPool {
  readonly #limit: number;
  readonly #returned: number[] = [];
  #fresh: number;

  /** Hands out `first` to `limit`, both inclusive. */
  constructor(first: number, limit: number) {
    this.#fresh = first;
    this.#limit = limit;
  }

  /** @returns an index that nobody has, or undefined when all are taken. */
  take(): number | undefined {
    return this.#fresh <= this.#limit ? this.#fresh++ : this.#returned.shift();
  }

  giveBack(index: number): void {
    this.#returned.push(index);
  }
}
