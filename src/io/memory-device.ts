/**
 * A device without a kernel, for tests and simulation: packets to be read are queued here, packets written are kept in
 * order, each with its vnet header. Bounded in both directions, as the queues of a kernel are.
 */
import type { Batch } from '../wire/batch.ts';
import { PACKET_SIZE_MAX, VNET_SIZE } from '../wire/batch.ts';
import type { Device } from './device.ts';

/** A packet and its vnet header, in memory of their own. */
export interface MemoryPacket {
  readonly bytes: Uint8Array;
  /** 12 bytes; all zero says that nothing is left to do. */
  readonly vnet: Uint8Array;
}

const NOTHING_TO_DO = new Uint8Array(VNET_SIZE);

export class MemoryDevice implements Device {
  readonly name: string;
  readonly fd = -1;
  readonly #queueSize: number;
  readonly #incoming: MemoryPacket[] = [];
  #written: MemoryPacket[] = [];

  /** @param queueSize packets that each direction holds; more are lost. */
  constructor(name: string, queueSize: number) {
    this.name = name;
    this.#queueSize = queueSize;
  }

  /**
   * Queues a packet to be read; copies it.
   * @returns false when the queue is full or the packet is longer than IP allows.
   */
  deliver(bytes: Uint8Array, vnet: Uint8Array = NOTHING_TO_DO): boolean {
    if (this.#incoming.length >= this.#queueSize || bytes.length > PACKET_SIZE_MAX) return false;
    this.#incoming.push({ bytes: bytes.slice(), vnet: vnet.slice(0, VNET_SIZE) });
    return true;
  }

  /** Takes what was written since the last call. */
  takeWritten(): readonly MemoryPacket[] {
    const written = this.#written;
    this.#written = [];
    return written;
  }

  read(batch: Batch): number {
    const packets = this.#incoming.splice(0, batch.capacity);
    for (const [index, packet] of packets.entries()) {
      const offset = batch.rxOffset[index]!;
      batch.bytes.set(packet.vnet, offset - VNET_SIZE);
      batch.bytes.set(packet.bytes, offset);
      batch.rxLength[index] = packet.bytes.length;
    }
    batch.rxCount = packets.length;
    return packets.length;
  }

  write(batch: Batch): number {
    let lost = 0;
    for (let index = 0; index < batch.txCount; index += batch.txParts[index]!) {
      if (this.#written.length >= this.#queueSize) {
        lost += batch.txParts[index]!;
      } else {
        const offset = batch.txOffset[index]!;
        const vnet = batch.bytes.slice(offset - VNET_SIZE, offset);
        this.#written.push({ bytes: batch.frame(index).slice(), vnet });
      }
    }
    batch.txCount = 0;
    return lost;
  }

  close(): void {
    this.#incoming.length = 0;
  }
}
