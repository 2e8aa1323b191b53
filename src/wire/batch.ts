/**
 * The arena of one thread: slots for packets that arrive, scratch areas for packets that are made here, and the
 * columns that say what is where. The addon reads and writes the same memory; offsets are bytes into the arena.
 *
 * | bytes of a slot | what |
 * | --- | --- |
 * | 0 to 115 | head-room, for headers prepended in place |
 * | 116 to 127 | vnet header (virtio.ts), right before the packet: one read() or write() moves both |
 * | 128 to 65,662 | IP packet, so that its header is aligned to 4 bytes |
 * | to 65,663 | pad |
 *
 * Order in the arena: rx slots, scratch areas, the region for segments. Invariant: every offset in a column leaves at least
 * VNET_SIZE bytes before it, and offset + length stays inside the arena. One owner thread; nothing here is locked.
 */

/** Size in bytes of the vnet header in front of each packet (struct virtio_net_hdr_mrg_rxbuf). */
export const VNET_SIZE = 12;
/** Offset of the IP packet in a slot or a scratch area. */
export const PACKET_START = 128;
/** The largest IP packet: the 16-bit length fields of IPv4 say so; IPv6 jumbograms are refused. */
export const PACKET_SIZE_MAX = 65_535;
/** 1,026 cache lines; an odd number of pairs of them, so that slot starts do not fall into the same cache sets. */
export const SLOT_SIZE = PACKET_START + 65_536;
/** Scratch areas hold generated packets: an ICMPv6 error has at most 1,280 bytes, an outer header adds at most 40. */
export const SCRATCH_SIZE = PACKET_START + 1408;
/** The largest packet that fits a scratch area. */
export const SCRATCH_PACKET_MAX: number = SCRATCH_SIZE - PACKET_START;
/** Entries of the tx list that one frame may be made of: `layout.partsMax` of the addon. */
export const TX_PARTS_MAX = 128;
/** Returned by `allocScratch` and by segmentation (forward/segment.ts) when there is no room. */
export const NO_ROOM = -1;

/** One super-packet cut to 536-byte segments is 122 packets with 64 bytes of head-room each, below 96 KiB; for each rx slot. */
const SEGMENT_REGION_PER_SLOT = 98_304;
const SEGMENTS_PER_SLOT = 128;

export class Batch {
  readonly arena: SharedArrayBuffer;
  readonly bytes: Uint8Array;
  readonly view: DataView;
  readonly words16: Uint16Array;
  /** Number of rx slots. */
  readonly capacity: number;

  /** Offset and length of each packet that arrived, the vnet header excluded. */
  readonly rxOffset: Uint32Array;
  readonly rxLength: Uint32Array;
  rxCount = 0;

  /** Packets to write to the device, each with its 12-byte vnet header in front of the offset. */
  readonly txOffset: Uint32Array;
  readonly txLength: Uint32Array;
  /**
   * Of how many entries the frame that begins here is made: 1, or up to TX_PARTS_MAX where packets were joined (forward/coalesce.ts).
   * The entries after the first are bytes that follow it in the frame. Of those this column says nothing.
   */
  readonly txParts: Uint32Array;
  txCount = 0;

  /** Inner packets (checksums complete, no vnet header) to send to servers by raw socket. */
  readonly rawOffset: Uint32Array;
  readonly rawLength: Uint32Array;
  /** Server index of each raw packet. */
  readonly rawServer: Uint32Array;
  rawCount = 0;

  readonly #scratchStart: number;
  readonly #scratchCapacity: number;
  #scratchUsed = 0;
  readonly #segmentStart: number;
  readonly #segmentSize: number;
  #segmentUsed = 0;

  /**
   * @param capacity rx slots, 1 to 1,024 (64 KiB each).
   * @param scratchCapacity scratch areas; by default as many as rx slots: one answer for each packet.
   */
  constructor(capacity: number, scratchCapacity: number = capacity) {
    this.capacity = capacity;
    this.#scratchCapacity = scratchCapacity;
    this.#scratchStart = capacity * SLOT_SIZE;
    this.#segmentStart = this.#scratchStart + scratchCapacity * SCRATCH_SIZE;
    this.#segmentSize = capacity * SEGMENT_REGION_PER_SLOT;
    this.arena = new SharedArrayBuffer(this.#segmentStart + this.#segmentSize);
    this.bytes = new Uint8Array(this.arena);
    this.view = new DataView(this.arena);
    this.words16 = new Uint16Array(this.arena);

    const outputs = capacity * (1 + SEGMENTS_PER_SLOT) + scratchCapacity;
    const column = (size: number): Uint32Array => new Uint32Array(new SharedArrayBuffer(size * 4));
    this.rxOffset = column(capacity);
    this.rxLength = column(capacity);
    this.txOffset = column(outputs);
    this.txLength = column(outputs);
    this.txParts = column(outputs);
    this.rawOffset = column(outputs);
    this.rawLength = column(outputs);
    this.rawServer = column(outputs);
    for (let slot = 0; slot < capacity; slot++) this.rxOffset[slot] = slot * SLOT_SIZE + PACKET_START;
  }

  /**
   * Empties all lists and gives scratch areas and segments back. Call it before each read.
   * Allocates nothing, never throws.
   */
  reset(): void {
    this.rxCount = 0;
    this.resetOutput();
  }

  /** Empties the output lists, and frees scratch areas and segments; what arrived stays. Allocates nothing, never throws. */
  resetOutput(): void {
    this.txCount = 0;
    this.rawCount = 0;
    this.#scratchUsed = 0;
    this.#segmentUsed = 0;
  }

  /** Gives all scratch areas back. Allocates nothing, never throws. */
  resetScratch(): void {
    this.#scratchUsed = 0;
  }

  /**
   * Puts a packet on the list for the device.
   * @returns false when the list is full. Allocates nothing, never throws.
   */
  pushTx(offset: number, length: number): boolean {
    const index = this.txCount;
    if (index >= this.txOffset.length) return false;
    this.txOffset[index] = offset;
    this.txLength[index] = length;
    this.txParts[index] = 1;
    this.txCount = index + 1;
    return true;
  }

  /**
   * The frame that begins at entry `index` of the list for the device, without its vnet header, for readers other than the kernel.
   * @returns the bytes where they lie if it is one piece, else a copy. Allocates.
   */
  frame(index: number): Uint8Array {
    const parts = Array.from({ length: this.txParts[index]! }, (_, part) => {
      const offset = this.txOffset[index + part]!;
      return this.bytes.subarray(offset, offset + this.txLength[index + part]!);
    });
    const [whole] = parts;
    if (whole !== undefined && parts.length === 1) return whole;
    const joined = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
    let at = 0;
    for (const part of parts) {
      joined.set(part, at);
      at += part.length;
    }
    return joined;
  }

  /**
   * Puts a packet on the list for the raw sockets.
   * @param server index of the server that it goes to.
   * @returns false when the list is full. Allocates nothing, never throws.
   */
  pushRaw(offset: number, length: number, server: number): boolean {
    const index = this.rawCount;
    if (index >= this.rawOffset.length) return false;
    this.rawOffset[index] = offset;
    this.rawLength[index] = length;
    this.rawServer[index] = server;
    this.rawCount = index + 1;
    return true;
  }

  /**
   * Takes a scratch area with the head-room of a slot, for a packet of up to SCRATCH_PACKET_MAX bytes. Its bytes are those of
   * its last use.
   * @returns offset of the packet, or NO_ROOM. Allocates nothing, never throws.
   */
  allocScratch(): number {
    if (this.#scratchUsed >= this.#scratchCapacity) return NO_ROOM;
    const offset = this.#scratchStart + this.#scratchUsed * SCRATCH_SIZE + PACKET_START;
    this.#scratchUsed++;
    return offset;
  }

  /** Offset of the free part of the region for segments (forward/segment.ts), a multiple of 64. */
  get segmentOffset(): number {
    return this.#segmentStart + this.#segmentUsed;
  }

  /** End (exclusive) of the region for segments. */
  get segmentEnd(): number {
    return this.#segmentStart + this.#segmentSize;
  }

  /**
   * Keeps what was written to the region for segments up to `end` (an arena offset), until `resetOutput`.
   * Allocates nothing, never throws.
   */
  keepSegments(end: number): void {
    this.#segmentUsed = Math.min(this.#segmentSize, (end - this.#segmentStart + 63) & ~63);
  }
}
