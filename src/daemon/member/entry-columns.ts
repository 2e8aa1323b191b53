/**
 * What the protocol knows of a row beyond the dispatch table: columns of the writer alone, 18 bytes a row, made in a cluster only.
 *
 * They mean something for rows in use. Times are those of the table: monotonic ms modulo 2^32.
 */
import { NO_ISN } from '../../cluster/entry.ts';
import type { DispatchTable } from '../../table/dispatch-table.ts';
import { STATE_FREE } from '../../table/flow-row.ts';
import { bitsOfRow } from './row-bits.ts';

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

  /** The rows of a table came out of a saved one: this dispatcher speaks for them. @param self its node */
  adopt(table: DispatchTable, self: number): void {
    for (let row = 0; row < table.usedRows; row++) {
      const state = table.state(row);
      if (state === STATE_FREE) continue;
      const bits = bitsOfRow(state, table.flags(row));
      this.bits[row] = bits;
      this.sharedBits[row] = bits;
      this.origin[row] = self;
      this.refreshedAt[row] = table.lastSeen(row);
    }
  }
}
