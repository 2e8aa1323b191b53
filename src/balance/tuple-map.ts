/**
 * A fixed map from five 32-bit words (an address and one more) to a number, for look-ups from the packet path.
 *
 * Shape: open addressing with linear probing over typed arrays, a quarter full at most; built once, never changed.
 * Its keys come from the configuration alone, so that no outsider can make them collide.
 */

const KEY_WORDS = 5;

/** Not in the map. */
export const NO_VALUE = -1;

export class TupleMap {
  readonly #keys: Int32Array;
  readonly #values: Int32Array;
  readonly #mask: number;

  /** @param most how many entries will be set, at most. */
  constructor(most: number) {
    const slots = 2 ** Math.ceil(Math.log2(Math.max(4, most * 4)));
    this.#keys = new Int32Array(slots * KEY_WORDS);
    this.#values = new Int32Array(slots).fill(NO_VALUE);
    this.#mask = slots - 1;
  }

  /** Sets a value of 0 or more, unless the key has one already. */
  add(w0: number, w1: number, w2: number, w3: number, w4: number, value: number): void {
    const slot = this.#slot(w0, w1, w2, w3, w4);
    if (this.#values[slot] !== NO_VALUE) return;
    this.#keys.set([w0, w1, w2, w3, w4], slot * KEY_WORDS);
    this.#values[slot] = value;
  }

  /** @returns the value or NO_VALUE. Words signed or unsigned. Allocates nothing, never throws. */
  get(w0: number, w1: number, w2: number, w3: number, w4: number): number {
    return this.#values[this.#slot(w0, w1, w2, w3, w4)]!;
  }

  /** The slot of a key, or the empty one where it belongs. */
  #slot(w0: number, w1: number, w2: number, w3: number, w4: number): number {
    const keys = this.#keys;
    const values = this.#values;
    const upper = Math.imul(w0 ^ (w1 << 9) ^ (w2 << 18), 0x85ebca6b);
    const hash = Math.imul(upper ^ (upper >>> 15) ^ w3 ^ (w4 << 20), 0x9e3779b1);
    let slot = (hash ^ (hash >>> 16)) & this.#mask;
    while (values[slot] !== NO_VALUE) {
      const at = slot * KEY_WORDS;
      const differs =
        (keys[at]! ^ w0) |
        (keys[at + 1]! ^ w1) |
        (keys[at + 2]! ^ w2) |
        (keys[at + 3]! ^ w3) |
        (keys[at + 4]! ^ w4);
      if (differs === 0) return slot;
      slot = (slot + 1) & this.#mask;
    }
    return slot;
  }
}
