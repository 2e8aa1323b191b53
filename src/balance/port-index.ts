/**
 * From (group, port) to a number, where a group has single ports and ranges.
 *
 * Ranges of up to 16 ports are entered port by port in a hash table of one word a key (open addressing, a quarter full at most); wider ones are searched in a list per group, narrowest
 * first. Where two overlap the narrower one wins, and of equals the one that was added first.
 */

import { NO_VALUE } from './tuple-map.ts';

export interface PortRange {
  /** 0 to 65,535. */
  readonly group: number;
  /** Inclusive. */
  readonly first: number;
  readonly last: number;
  /** 0 or more. */
  readonly value: number;
}

/** Widest range that is entered port by port. */
const EXPANDED_PORTS = 16;

export class PortIndex {
  /** group << 16 | port; what it means only where `#exactValues` is not NO_VALUE. */
  readonly #exactKeys: Int32Array;
  readonly #exactValues: Int32Array;
  readonly #shift: number;
  // Ranges by group: those of group g are listStart[g] to listStart[g + 1].
  readonly #listStart: Uint32Array;
  readonly #first: Uint16Array;
  readonly #last: Uint16Array;
  readonly #value: Int32Array;

  constructor(ranges: readonly PortRange[]) {
    const narrowFirst = [...ranges].sort((a, b) => a.last - a.first - (b.last - b.first));
    const narrow = narrowFirst.filter((range) => range.last - range.first < EXPANDED_PORTS);
    const exact = narrow.reduce((sum, range) => sum + range.last - range.first + 1, 0);
    const slots = 2 ** Math.ceil(Math.log2(Math.max(4, exact * 4)));
    this.#exactKeys = new Int32Array(slots);
    this.#exactValues = new Int32Array(slots).fill(NO_VALUE);
    this.#shift = 32 - Math.log2(slots);
    for (const range of narrow) {
      for (let port = range.first; port <= range.last; port++) {
        const slot = this.#slot(range.group, port);
        if (this.#exactValues[slot] !== NO_VALUE) continue;
        this.#exactKeys[slot] = (range.group << 16) | port;
        this.#exactValues[slot] = range.value;
      }
    }
    const wide = narrowFirst
      .filter((range) => range.last - range.first >= EXPANDED_PORTS)
      .sort((a, b) => a.group - b.group);
    const groups = wide.reduce((most, range) => Math.max(most, range.group + 1), 0);
    this.#listStart = new Uint32Array(groups + 1);
    for (const range of wide) this.#listStart[range.group + 1]! += 1;
    for (let group = 0; group < groups; group++) this.#listStart[group + 1]! += this.#listStart[group]!;
    this.#first = Uint16Array.from(wide, (range) => range.first);
    this.#last = Uint16Array.from(wide, (range) => range.last);
    this.#value = Int32Array.from(wide, (range) => range.value);
  }

  /** @returns the value or NO_VALUE. Allocates nothing, never throws. */
  find(group: number, port: number): number {
    const exact = this.#exactValues[this.#slot(group, port)]!;
    if (exact !== NO_VALUE || group + 1 >= this.#listStart.length) return exact;
    const end = this.#listStart[group + 1]!;
    for (let at = this.#listStart[group]!; at < end; at++) {
      if (port >= this.#first[at]! && port <= this.#last[at]!) return this.#value[at]!;
    }
    return NO_VALUE;
  }

  /** The slot of a key, or the empty one where it belongs. */
  #slot(group: number, port: number): number {
    const keys = this.#exactKeys;
    const values = this.#exactValues;
    const key = (group << 16) | port;
    let slot = Math.imul(key, 0x9e3779b1) >>> this.#shift;
    while (values[slot] !== NO_VALUE && keys[slot] !== key) slot = (slot + 1) & (keys.length - 1);
    return slot;
  }
}
