/**
 * The sender of mode `ipip`: the raw list of a batch, each packet in an outer IP header to its server, by sendmmsg on
 * raw sockets (RFC 2003, RFC 2473, RFC 4213). The protocol of the outer header is that of the inner packet: 4 for IPv4, 41 for
 * IPv6; its family is that of the server's address. That makes four sockets; each packet goes to one of four lanes.
 *
 * Packets of one lane keep their order, and a flow never changes lanes. Inner packets are sent as they are: segmented and
 * with complete checksums. The outer packet may be fragmented by the kernel.
 */

import { constants } from 'node:os';
import { LatchwayError } from '../base/fault.ts';
import { type Address, isMapped } from '../wire/address.ts';
import type { Batch } from '../wire/batch.ts';
import { PROTOCOL_IPIP, PROTOCOL_IPV6 } from '../wire/protocol.ts';
import type { Native } from './native.ts';
import { createTally, loadNative } from './native.ts';
import type { Socket, SocketOptions } from './socket.ts';
import { openRaw } from './socket.ts';

/** A burst of super-packets cut to segments must fit the queue of one lane: 16 of 64 KiB, and as much again for bookkeeping. */
const SEND_BYTES = 4 << 20;
/** Copies of what others send us are of no interest here; the kernel raises this to its least. */
const RECEIVE_BYTES = 1;

/** One socket and the packets of a batch that go through it. Columns grow to the largest batch seen. */
interface Lane {
  readonly socket: Socket | undefined;
  offsets: Uint32Array;
  lengths: Uint32Array;
  targets: Uint32Array;
  count: number;
}

/** Targets of the raw list from here on are dispatchers, by their index among the peers; those below are servers. */
export const PEER_TARGET = 0x10000;

export interface RawSenderOptions {
  /** Source address of the outer packets; default: what the routes say. Its family is the only one that can be sent then. */
  readonly source?: Address;
  /** First of the 65,536 targets of the raw list that are this sender's; default 0, the servers. */
  readonly firstTarget?: number;
  /** Interface to send by; default: what the routes say. */
  readonly device?: string;
  /** SO_MARK of the outer packets. */
  readonly mark?: number;
  /** TTL of the outer header. */
  readonly ttl?: number;
}

export class RawSender {
  readonly #native: Native;
  readonly #tally: Int32Array;
  readonly #moved: number;
  /** By outer family and inner family: 4 in 4, 6 in 4, 4 in 6, 6 in 6. */
  readonly #lanes: readonly [Lane, Lane, Lane, Lane];
  readonly #first: number;
  #ports = new Uint32Array(0);

  /**
   * Opens the sockets; on a host without IPv6 what needs an outer IPv6 header is lost.
   * @throws LatchwayError not-root, system-call
   */
  constructor(options: RawSenderOptions) {
    this.#native = loadNative();
    this.#tally = createTally();
    this.#moved = this.#native.layout.tallyMoved;
    this.#first = options.firstTarget ?? 0;
    const { source, device, mark, ttl } = options;
    const settings: SocketOptions = {
      ...(device === undefined ? {} : { device }),
      ...(mark === undefined ? {} : { mark }),
      ...(ttl === undefined ? {} : { ttl }),
      ...(source === undefined ? {} : { local: { address: source, port: 0 } }),
      sendBytes: SEND_BYTES,
      receiveBytes: RECEIVE_BYTES,
    };
    const family = source?.family;
    // What can be wrong (rights, device, mark) fails at the first, before anything is open.
    this.#lanes = [
      createLane(family === 6 ? undefined : openRaw(4, PROTOCOL_IPIP, settings)),
      createLane(family === 6 ? undefined : openRaw(4, PROTOCOL_IPV6, settings)),
      createLane(family === 4 ? undefined : openUnlessUnsupported(PROTOCOL_IPIP, settings)),
      createLane(family === 4 ? undefined : openUnlessUnsupported(PROTOCOL_IPV6, settings)),
    ];
  }

  /**
   * Sends what of the raw list has this sender's targets; the list stays. A packet that is refused does not stop those behind it.
   * @param addresses of the targets: words 4 t to 4 t + 3 are the address of target `firstTarget` + t, host order.
   * @returns packets that were lost: refused by the kernel, without room in the queue, or without a server's address.
   * Allocates only when a batch is larger than any before; never throws.
   */
  send(batch: Batch, addresses: Uint32Array): number {
    const count = batch.rawCount;
    if (count === 0) return 0;
    const servers = addresses.length >>> 2;
    if (this.#ports.length < servers) this.#ports = new Uint32Array(servers);
    this.#reserve(batch.rawOffset.length);
    let mine = 0;
    for (let index = 0; index < count; index++) {
      const server = batch.rawServer[index]! - this.#first;
      if (server < 0 || server >= PEER_TARGET) continue;
      mine++;
      if (server >= servers) continue;
      const offset = batch.rawOffset[index]!;
      const word = server * 4;
      const outer = isMapped(addresses[word]!, addresses[word + 1]!, addresses[word + 2]!) ? 0 : 2;
      const inner = batch.bytes[offset]! >>> 4 === 6 ? 1 : 0;
      const lane = this.#lanes[outer + inner]!;
      const at = lane.count++;
      lane.offsets[at] = offset;
      lane.lengths[at] = batch.rawLength[index]!;
      lane.targets[at] = server;
    }
    let sent = 0;
    for (let index = 0; index < 4; index++) sent += this.#flush(this.#lanes[index]!, batch.bytes, addresses);
    return mine - sent;
  }

  /** Closes the sockets. A second call does nothing. */
  close(): void {
    for (const lane of this.#lanes) if (lane.socket !== undefined) this.#native.close(lane.socket.fd);
  }

  #flush(lane: Lane, bytes: Uint8Array, addresses: Uint32Array): number {
    const { socket, count } = lane;
    lane.count = 0;
    if (count === 0 || socket === undefined) return 0;
    this.#native.sendBatch(
      socket.fd,
      socket.domain,
      bytes,
      lane.offsets,
      lane.lengths,
      lane.targets,
      addresses,
      this.#ports,
      0,
      count,
      this.#tally,
    );
    return this.#tally[this.#moved]!;
  }

  #reserve(size: number): void {
    if (this.#lanes[0].offsets.length >= size) return;
    for (const lane of this.#lanes) {
      lane.offsets = new Uint32Array(size);
      lane.lengths = new Uint32Array(size);
      lane.targets = new Uint32Array(size);
    }
  }
}

function createLane(socket: Socket | undefined): Lane {
  const none = new Uint32Array(0);
  return { socket, offsets: none, lengths: none, targets: none, count: 0 };
}

function openUnlessUnsupported(protocol: number, settings: SocketOptions): Socket | undefined {
  try {
    return openRaw(6, protocol, settings);
  } catch (error) {
    const unsupported =
      error instanceof LatchwayError &&
      error.fault.code === 'system-call' &&
      error.fault.errno === constants.errno.EAFNOSUPPORT;
    if (unsupported) return undefined;
    throw error;
  }
}
