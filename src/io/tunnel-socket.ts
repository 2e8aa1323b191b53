/**
 * What other dispatchers tunnel here: raw sockets of protocol 4 and 41 on the address that dispatchers use among themselves. While they are
 * open the kernel does not answer such packets with "protocol unreachable" (raw(7)); it gives fragments as one packet.
 */
import type { Address } from '../wire/address.ts';
import { type Batch, PACKET_SIZE_MAX, PACKET_START, SLOT_SIZE } from '../wire/batch.ts';
import { IPV4_HEADER_SIZE } from '../wire/ipv4.ts';
import { PROTOCOL_IPIP, PROTOCOL_IPV6 } from '../wire/protocol.ts';
import { createTally, loadNative, type Native } from './native.ts';
import { openRaw, type Socket } from './socket.ts';

/** A burst of packets under one lock: the default queue loses a tenth of 3,000 small ones. */
const QUEUE_BYTES = 8 << 20;

export class TunnelSocket {
  /** Source of each packet of the last `receive`: words 4 i to 4 i + 3 are of packet i. */
  readonly sources: Uint32Array;
  readonly #native: Native = loadNative();
  readonly #sockets: readonly Socket[];
  /** The kernel gives IPv4 packets with their outer header, IPv6 packets without. */
  readonly #outerSize: number;
  readonly #offsets: Uint32Array;
  readonly #ports: Uint32Array;
  readonly #tally = createTally();

  /** @param capacity of the batches to receive into. @throws LatchwayError not-root, system-call */
  constructor(local: Address, capacity: number) {
    const options = { local: { address: local, port: 0 }, receiveBytes: QUEUE_BYTES };
    this.#outerSize = local.family === 4 ? IPV4_HEADER_SIZE : 0;
    this.sources = new Uint32Array(capacity * 4);
    this.#ports = new Uint32Array(capacity);
    this.#offsets = Uint32Array.from(
      { length: capacity },
      (_, slot) => slot * SLOT_SIZE + PACKET_START - this.#outerSize,
    );
    const first = openRaw(local.family, PROTOCOL_IPIP, options);
    this.#sockets = [first, openRaw(local.family, PROTOCOL_IPV6, options)];
  }

  get fds(): readonly number[] {
    return this.#sockets.map(({ fd }) => fd);
  }

  /**
   * Reads packets into an empty batch; `rxLength` is what is inside the outer header, which begins where packets of a slot begin.
   * A packet whose outer header has options, as dispatchers never send, has length 0.
   * @returns whether there may be more. Never throws.
   */
  receive(batch: Batch): boolean {
    let more = false;
    for (const { fd } of this.#sockets) {
      const first = batch.rxCount;
      const room = batch.capacity - first;
      if (room === 0) return true;
      const count = this.#native.receiveBatch(
        fd,
        batch.bytes,
        this.#offsets,
        batch.rxLength,
        this.sources,
        this.#ports,
        first,
        room,
        PACKET_SIZE_MAX,
        this.#tally,
      );
      if (count <= 0) continue;
      for (let index = first; index < first + count; index++) this.#stripOuter(batch, index);
      batch.rxCount += count;
      more ||= count === room;
    }
    return more;
  }

  #stripOuter(batch: Batch, index: number): void {
    if (this.#outerSize === 0) return;
    const plain = batch.bytes[this.#offsets[index]!] === 0x45;
    batch.rxLength[index] = plain ? Math.max(0, batch.rxLength[index]! - IPV4_HEADER_SIZE) : 0;
  }

  close(): void {
    for (const { fd } of this.#sockets) this.#native.close(fd);
  }
}
