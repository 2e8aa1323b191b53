/** The rate at which a counter grows, over the last few seconds: samples in a ring, the newest against the oldest. */
export class RateMeter {
  readonly #samples: { readonly atMs: number; readonly value: number }[] = [];
  readonly #size: number;

  /** @param size samples that are remembered, 2 or more. */
  constructor(size: number) {
    this.#size = size;
  }

  sample(atMs: number, value: number): void {
    this.#samples.push({ atMs, value });
    if (this.#samples.length > this.#size) this.#samples.shift();
  }

  /** Per second, rounded to a tenth; 0 until there are two samples. */
  get perSecond(): number {
    const first = this.#samples[0];
    const last = this.#samples.at(-1);
    if (first === undefined || last === undefined || last.atMs <= first.atMs) return 0;
    return Math.round(((last.value - first.value) * 10_000) / (last.atMs - first.atMs)) / 10;
  }
}
