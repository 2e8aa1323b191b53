/** A token bucket over the packet path's clock. Invariant: 0 <= tokens <= burst. */
import { elapsedMs } from '../base/clock.ts';

export class RateLimit {
  readonly #perSecond: number;
  readonly #burst: number;
  #tokens: number;
  #at = 0;

  /** @param perSecond tokens that come back each second; `burst` how many there are at most. */
  constructor(perSecond: number, burst: number) {
    this.#perSecond = perSecond;
    this.#burst = burst;
    this.#tokens = burst;
  }

  /**
   * Takes a token.
   * @param now monotonic ms
   * @returns false when there is none. Allocates nothing, never throws.
   */
  take(now: number): boolean {
    const elapsed = elapsedMs(now, this.#at);
    if (elapsed > 0) {
      this.#tokens = Math.min(this.#burst, this.#tokens + (elapsed * this.#perSecond) / 1000);
      this.#at = now;
    }
    if (this.#tokens < 1) return false;
    this.#tokens -= 1;
    return true;
  }
}
