/**
 * A seeded pseudo-random generator for what need not be secret (schedulers, simulation): xorshift32.
 * Source: G. Marsaglia, "Xorshift RNGs", Journal of Statistical Software 8(14), 2003, triple (13, 17, 5).
 */
export class Prng {
  #state: number;

  /** @param seed any integer; zero is replaced, since xorshift never leaves it. */
  constructor(seed: number) {
    this.#state = (seed >>> 0 || 0x9e3779b9) | 0;
  }

  /** The next 32 bits, 1 to 2^32 - 1. Allocates nothing, never throws. */
  next(): number {
    let x = this.#state;
    x ^= x << 13;
    x ^= x >>> 17;
    x ^= x << 5;
    // Signed, since V8 boxes an unsigned number from 2^31 on when a field takes it.
    this.#state = x;
    return x >>> 0;
  }

  /** An integer from 0 to `bound` - 1 (bias below 2^-16 for bounds below 65,536). */
  below(bound: number): number {
    return this.next() % bound;
  }
}
