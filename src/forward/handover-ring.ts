/**
 * A ring of packets in shared memory: one reader thread writes, the dispatcher thread reads.
 *
 * Records lie in a byte ring whose size is a power of two: a 32-bit length of the packet (0xffffffff: skip to the start of
 * the ring), the 12-byte vnet header, the packet, padding to 4 bytes. Positions run freely as unsigned 32-bit numbers; the writer
 * alone stores HEAD, the reader alone TAIL, both by Atomics, so that bytes are seen before the position that covers them.
 * Invariant: HEAD - TAIL <= size.
 */
import { type Batch, PACKET_SIZE_MAX, PACKET_START, SLOT_SIZE, VNET_SIZE } from '../wire/batch.ts';

const HEAD = 0;
/** On another cache line than HEAD. */
const TAIL = 16;
const CONTROL_BYTES = 128;
const SKIP = 0xffffffff;
const RECORD_HEADER_SIZE = 4 + VNET_SIZE;

/** Holds 60 super-packets, or some 60,000 SYNs. */
export const RING_SIZE_DEFAULT: number = 4 * 1024 * 1024;

export class HandoverRing {
  readonly buffer: SharedArrayBuffer;
  readonly #positions: Int32Array;
  readonly #words: Uint32Array;
  readonly #size: number;

  /** @param buffer from `HandoverRing.allocate`, the same in both threads. */
  constructor(buffer: SharedArrayBuffer) {
    this.buffer = buffer;
    this.#positions = new Int32Array(buffer, 0, CONTROL_BYTES / 4);
    this.#words = new Uint32Array(buffer, CONTROL_BYTES);
    this.#size = buffer.byteLength - CONTROL_BYTES;
  }

  /** @param size bytes, a power of two of at least 256 KiB (two super-packets and a skip must fit). */
  static allocate(size: number = RING_SIZE_DEFAULT): SharedArrayBuffer {
    return new SharedArrayBuffer(CONTROL_BYTES + size);
  }

  /**
   * Copies packet `index` of the batch, with its vnet header, into the ring. Writer thread only.
   * @returns false when there is no room. Allocates nothing, never throws.
   */
  push(batch: Batch, words: Uint32Array, index: number): boolean {
    const length = batch.rxLength[index]!;
    const need = (RECORD_HEADER_SIZE + length + 3) & ~3;
    let head = Atomics.load(this.#positions, HEAD) >>> 0;
    const used = (head - (Atomics.load(this.#positions, TAIL) >>> 0)) >>> 0;
    const at = head & (this.#size - 1);
    const skipped = at + need > this.#size ? this.#size - at : 0;
    if (used + skipped + need > this.#size) return false;
    if (skipped > 0) {
      this.#words[at >>> 2] = SKIP;
      head = (head + skipped) >>> 0;
    }
    let to = (head & (this.#size - 1)) >>> 2;
    this.#words[to++] = length;
    let from = (batch.rxOffset[index]! - VNET_SIZE) >>> 2;
    const end = from + ((VNET_SIZE + length + 3) >>> 2);
    while (from < end) this.#words[to++] = words[from++]!;
    Atomics.store(this.#positions, HEAD, (head + need) | 0);
    return true;
  }

  /** True when nothing waits. */
  get isEmpty(): boolean {
    return Atomics.load(this.#positions, HEAD) === Atomics.load(this.#positions, TAIL);
  }

  /**
   * Moves waiting packets into free rx slots of the batch, behind `batch.rxCount`. Dispatcher thread only.
   * @param words a Uint32Array over the batch's arena.
   * @returns how many were moved. Allocates nothing, never throws.
   */
  drain(batch: Batch, words: Uint32Array): number {
    const head = Atomics.load(this.#positions, HEAD) >>> 0;
    let tail = Atomics.load(this.#positions, TAIL) >>> 0;
    let moved = 0;
    while (tail !== head && batch.rxCount < batch.capacity) {
      const at = tail & (this.#size - 1);
      const length = this.#words[at >>> 2]!;
      if (length === SKIP) {
        tail = (tail + this.#size - at) >>> 0;
        continue;
      }
      if (length > PACKET_SIZE_MAX) break;
      const slot = batch.rxCount++;
      let from = (at >>> 2) + 1;
      let to = (slot * SLOT_SIZE + PACKET_START - VNET_SIZE) >>> 2;
      const end = from + ((VNET_SIZE + length + 3) >>> 2);
      while (from < end) words[to++] = this.#words[from++]!;
      batch.rxLength[slot] = length;
      tail = (tail + ((RECORD_HEADER_SIZE + length + 3) & ~3)) >>> 0;
      moved++;
    }
    Atomics.store(this.#positions, TAIL, tail | 0);
    return moved;
  }
}
