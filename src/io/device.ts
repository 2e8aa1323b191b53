/**
 * What the packet path reads from and writes to: a device that moves batches of raw IP packets, each with a vnet header
 * in front (wire/virtio.ts). Devices wrap devices (trace-device.ts); the in-memory one stands in for the kernel.
 *
 * Invariant: after `read`, entries 0 to rxCount - 1 of the batch are packets; after `write`, its tx list is empty.
 */
import type { Batch } from '../wire/batch.ts';

export interface Device {
  /** The interface's name. */
  readonly name: string;

  /** What to poll for reading; -1 when there is nothing to poll. */
  readonly fd: number;

  /**
   * Reads what is there into the rx columns, at most `batch.capacity` packets, and sets `rxCount`. Does not wait. A frame
   * that does not fit its slot has length 0.
   * @returns `rxCount`, or -errno when the device cannot be read any more. Allocates nothing, never throws.
   */
  read(batch: Batch): number;

  /**
   * Writes the tx list in its order and empties it. A packet that is refused does not stop those behind it.
   * @returns packets that were lost: refused, or without room. Allocates nothing, never throws.
   */
  write(batch: Batch): number;

  /** Gives the device back. No thread may be waiting on `fd` (see native.ts). A second call does nothing. */
  close(): void;
}
