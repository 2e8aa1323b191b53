/**
 * Packets that wait for a lock or an answer: copies out of the batch, vnet header and all, until the protocol names them again.
 *
 * The protocol bounds how many wait, and how many bytes (`Settings`); nothing here has limits of its own.
 */
import { type Batch, PACKET_START, SLOT_SIZE, VNET_SIZE } from '../../wire/batch.ts';

export interface ParkedPacket {
  readonly bytes: Uint8Array;
  /** Dispatcher that tunnelled it here, or 0, and how often it was tunnelled. */
  readonly from: number;
  readonly hops: number;
}

export class ParkedPackets {
  readonly #parked = new Map<number, ParkedPacket>();

  get size(): number {
    return this.#parked.size;
  }

  /** Copies packet `index` of the batch away under `handle`. */
  park(handle: number, batch: Batch, index: number, from: number, hops: number): void {
    const start = batch.rxOffset[index]! - VNET_SIZE;
    const bytes = batch.bytes.slice(start, start + VNET_SIZE + batch.rxLength[index]!);
    this.#parked.set(handle, { bytes, from, hops });
  }

  /** Takes a packet out. */
  take(handle: number): ParkedPacket | undefined {
    const packet = this.#parked.get(handle);
    this.#parked.delete(handle);
    return packet;
  }
}

/** Puts a parked packet into the next rx slot of the batch, which must have one. @returns its index */
export function unpark(packet: ParkedPacket, batch: Batch): number {
  const index = batch.rxCount++;
  batch.bytes.set(packet.bytes, index * SLOT_SIZE + PACKET_START - VNET_SIZE);
  batch.rxLength[index] = packet.bytes.length - VNET_SIZE;
  return index;
}
