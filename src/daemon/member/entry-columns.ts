/**
 * What the protocol knows of a row beyond the dispatch table: columns of the writer alone, 18 bytes a row, made in a cluster only.
 *
 * They mean something for rows in use. Times are those of the table: monotonic ms modulo 2^32.
 */
import { NO_ISN } from '../../cluster/entry.ts';

const HAS_PREVIOUS = 1;

export class EntryColumns {
  /** BIT_* that the cluster knows of this entry. */
  readonly bits: Uint8Array;
  /** Those that the others were told. */
  readonly sharedBits: Uint8Array;
  readonly generation: Uint32Array;
  readonly origin: Uint32Array;
  readonly refreshedAt: Uint32Array;
  readonly #previous: Uint32Array;
  readonly #has: Uint8Array;

  constructor(capacity: number) {
    this.bits = new Uint8Array(capacity);
    this.sharedBits = new Uint8Array(capacity);
    this.generation = new Uint32Array(capacity);
    this.origin = new Uint32Array(capacity);
    this.refreshedAt = new Uint32Array(capacity);
    this.#previous = new Uint32Array(capacity);
    this.#has = new Uint8Array(capacity);
  }

  previousIsn(row: number): number {
    return this.#has[row] === HAS_PREVIOUS ? this.#previous[row]! : NO_ISN;
  }

  setPreviousIsn(row: number, isn: number): void {
    this.#has[row] = isn === NO_ISN ? 0 : HAS_PREVIOUS;
    this.#previous[row] = isn === NO_ISN ? 0 : isn;
  }
}
