/**
 * A device that writes what passes another device to a pcap file, both directions in the order that they pass.
 *
 * The vnet header is left out, and the checksum that it leaves to do is completed in the copy, so that readers of the file
 * see what would go over a wire. Super-packets stay whole. A diagnostic: it costs a copy and a call of the sink a packet.
 */
import type { Batch } from '../wire/batch.ts';
import { PACKET_SIZE_MAX } from '../wire/batch.ts';
import { sumBytes } from '../wire/checksum.ts';
import { vnetCsumOffset, vnetCsumStart, vnetNeedsChecksum } from '../wire/virtio.ts';
import type { Device } from './device.ts';
import { PCAP_RECORD_SIZE, pcapHeader, pcapRecord } from './pcap.ts';

export class TraceDevice implements Device {
  readonly name: string;
  readonly fd: number;
  readonly #inner: Device;
  readonly #sink: (chunk: Uint8Array) => void;
  readonly #nowUs: () => number;
  readonly #record: Uint8Array;
  readonly #view: DataView;

  /**
   * @param inner the device that does the work; closed with this one.
   * @param sink takes pieces of the file in order; a piece is valid during the call only.
   * @param nowUs microseconds since 1970, asked once a batch and direction.
   */
  constructor(inner: Device, sink: (chunk: Uint8Array) => void, nowUs: () => number) {
    this.name = inner.name;
    this.fd = inner.fd;
    this.#inner = inner;
    this.#sink = sink;
    this.#nowUs = nowUs;
    this.#record = new Uint8Array(PCAP_RECORD_SIZE + PACKET_SIZE_MAX);
    this.#view = new DataView(this.#record.buffer);
    sink(pcapHeader(PACKET_SIZE_MAX));
  }

  read(batch: Batch): number {
    const count = this.#inner.read(batch);
    const timeUs = batch.rxCount === 0 ? 0 : this.#nowUs();
    for (let index = 0; index < batch.rxCount; index++) {
      const offset = batch.rxOffset[index]!;
      const packet = batch.bytes.subarray(offset, offset + batch.rxLength[index]!);
      this.#trace(batch, offset, packet, timeUs);
    }
    return count;
  }

  write(batch: Batch): number {
    const timeUs = batch.txCount === 0 ? 0 : this.#nowUs();
    for (let index = 0; index < batch.txCount; index += batch.txParts[index]!) {
      this.#trace(batch, batch.txOffset[index]!, batch.frame(index), timeUs);
    }
    return this.#inner.write(batch);
  }

  close(): void {
    this.#inner.close();
  }

  /** @param offset where the packet's vnet header ends. @param packet its bytes, wherever they lie. */
  #trace(batch: Batch, offset: number, packet: Uint8Array, timeUs: number): void {
    const size = Math.min(packet.length, PACKET_SIZE_MAX);
    pcapRecord(this.#view, 0, timeUs, size, packet.length);
    this.#record.set(packet.subarray(0, size), PCAP_RECORD_SIZE);
    if (vnetNeedsChecksum(batch.view, offset)) this.#completeChecksum(batch.view, offset, size);
    this.#sink(this.#record.subarray(0, PCAP_RECORD_SIZE + size));
  }

  /** In the copy: the field holds the pseudo-header sum, so that the sum from csum_start on is that of everything. */
  #completeChecksum(source: DataView, packet: number, size: number): void {
    const start = vnetCsumStart(source, packet);
    const field = start + vnetCsumOffset(source, packet);
    if (field + 2 > size) return;
    const sum = sumBytes(this.#view, PCAP_RECORD_SIZE + start, size - start);
    this.#view.setUint16(PCAP_RECORD_SIZE + field, ~sum & 0xffff);
  }
}
