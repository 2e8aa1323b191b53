/**
 * Which of many tables have an entry, and whether they say the same of it: numbers only, since a million entries of each of many
 * dispatchers as objects would be gigabytes in a process that forwards packets.
 *
 * A hash table with open addressing, 21 bytes a slot, at most half full. An entry is known by 64 bits of its key, hashed with random words of this
 * comparison: two of 4 million entries are taken for one with a probability of one in two million.
 */
import { type ClusterSeed, mix } from '../../cluster/identity.ts';
import type { SessionKey } from '../../cluster/session-key.ts';

const FIRST_SLOTS = 1 << 12;

/** Random words of one comparison. */
export interface SumSeeds {
  readonly first: ClusterSeed;
  readonly second: ClusterSeed;
}

/** 64 bits of a key; never both 0. */
export interface KeySum {
  readonly low: number;
  readonly high: number;
}

export function keySum(seeds: SumSeeds, key: SessionKey): KeySum {
  return { low: key.hash(seeds.first) || 1, high: key.hash(seeds.second) };
}

export class EntrySums {
  size = 0;
  #slots = FIRST_SLOTS;
  #low = new Uint32Array(FIRST_SLOTS);
  #high = new Uint32Array(FIRST_SLOTS);
  #value = new Uint32Array(FIRST_SLOTS);
  /** Bit of each table that has it: 64 of them. */
  #has = new Uint32Array(FIRST_SLOTS * 2);
  #differs = new Uint8Array(FIRST_SLOTS);

  /** @param table 0 to 63 @param isn of the entry @param server of the entry */
  add(sum: KeySum, table: number, isn: number, server: number): void {
    if (this.size * 2 >= this.#slots) this.#grow();
    const at = this.#find(sum.low, sum.high);
    const value = mix(mix(0, isn), server);
    if (this.#low[at] === 0) {
      this.#low[at] = sum.low;
      this.#high[at] = sum.high;
      this.#value[at] = value;
      this.size++;
    } else if (this.#value[at] !== value) this.#differs[at] = 1;
    this.#has[at * 2 + (table >>> 5)]! |= 1 << (table & 31);
  }

  /** Whether it is here, and one of these tables does not have it or says something else. */
  isSuspect(sum: KeySum, tables: readonly number[]): boolean {
    const at = this.#find(sum.low, sum.high);
    return this.#low[at] !== 0 && this.#isSuspect(at, tables);
  }

  /** How many are suspect here and in an earlier comparison. */
  countSuspects(tables: readonly number[], before: EntrySums, tablesBefore: readonly number[]): number {
    let count = 0;
    for (let at = 0; at < this.#slots; at++) {
      if (this.#low[at] === 0 || !this.#isSuspect(at, tables)) continue;
      if (before.isSuspect({ low: this.#low[at]!, high: this.#high[at]! }, tablesBefore)) count++;
    }
    return count;
  }

  /** Whether any is suspect. */
  hasSuspects(tables: readonly number[]): boolean {
    for (let at = 0; at < this.#slots; at++)
      if (this.#low[at] !== 0 && this.#isSuspect(at, tables)) return true;
    return false;
  }

  #isSuspect(at: number, tables: readonly number[]): boolean {
    if (this.#differs[at] !== 0) return true;
    return tables.some((table) => (this.#has[at * 2 + (table >>> 5)]! & (1 << (table & 31))) === 0);
  }

  /** Slot of a key, or the free one where it belongs. */
  #find(low: number, high: number): number {
    const mask = this.#slots - 1;
    for (let at = low & mask; ; at = (at + 1) & mask) {
      if (this.#low[at] === 0 || (this.#low[at] === low && this.#high[at] === high)) return at;
    }
  }

  #grow(): void {
    const [slots, lows, highs, values] = [this.#slots, this.#low, this.#high, this.#value];
    const [has, differs] = [this.#has, this.#differs];
    this.#slots = slots * 2;
    this.#low = new Uint32Array(this.#slots);
    this.#high = new Uint32Array(this.#slots);
    this.#value = new Uint32Array(this.#slots);
    this.#has = new Uint32Array(this.#slots * 2);
    this.#differs = new Uint8Array(this.#slots);
    for (let from = 0; from < slots; from++) {
      if (lows[from] === 0) continue;
      const at = this.#find(lows[from]!, highs[from]!);
      this.#low[at] = lows[from]!;
      this.#high[at] = highs[from]!;
      this.#value[at] = values[from]!;
      this.#has[at * 2] = has[from * 2]!;
      this.#has[at * 2 + 1] = has[from * 2 + 1]!;
      this.#differs[at] = differs[from]!;
    }
  }
}
