/**
 * The TUN device: one queue of a kernel interface whose packets are read and written here, with vnet headers and
 * offloads, so that super-packets of up to 64 KiB pass as one (Documentation/networking/tuntap.rst, linux/if_tun.h).
 *
 * The interface lives while one of its queues is open. The thread that makes it opens all queues, since it owns them,
 * and hands their numbers to the threads that use them: `TunDevice` is a view of such a number.
 */
import type { Fault } from '../base/fault.ts';
import type { Batch } from '../wire/batch.ts';
import { PACKET_START, SLOT_SIZE, VNET_SIZE } from '../wire/batch.ts';
import type { Device } from './device.ts';
import type { Native, TunQueue } from './native.ts';
import { createTally, errnoName, loadNative, opening } from './native.ts';

export interface TunOptions {
  /** Interface name, 1 to 15 bytes; a `%d` in it lets the kernel choose a number. */
  readonly name: string;
  /** More queues of the same name will be opened. All queues of an interface must agree on this. */
  readonly multiQueue: boolean;
  /** The interface must be new. False attaches one more queue to what is there. */
  readonly exclusive: boolean;
}

/**
 * Opens one queue, nonblocking, with every offload that the kernel knows. The caller owns the descriptor.
 * @throws LatchwayError no-tun-device, not-root, device-taken (also an interface of another kind), system-call
 */
export function openTun(options: TunOptions): TunQueue {
  const native = loadNative();
  return opening(
    () => native.tunOpen(options.name, options.multiQueue, options.exclusive),
    (call, errno) => tunFault(options, call, errnoName(errno)),
  );
}

function tunFault(options: TunOptions, call: string, errno: string): Fault | undefined {
  if (errno === 'EPERM' || errno === 'EACCES') return { code: 'not-root' };
  if (call === 'open /dev/net/tun') {
    return errno === 'ENOENT' || errno === 'ENODEV' || errno === 'ENXIO'
      ? { code: 'no-tun-device' }
      : undefined;
  }
  // Attaching to an interface that is no TUN, or a TUN of one queue, is EINVAL; so is a name that none may have.
  const taken = errno === 'EBUSY' || (errno === 'EINVAL' && !options.exclusive && call === 'ioctl TUNSETIFF');
  return taken ? { code: 'device-taken', device: options.name } : undefined;
}

/** Bytes that a slot has for a packet, one more than the largest: a frame that fills them was cut off. */
const ROOM = SLOT_SIZE - PACKET_START;

export class TunDevice implements Device {
  readonly name: string;
  readonly fd: number;
  readonly #native: Native;
  readonly #tally: Int32Array;
  readonly #moved: number;
  #open = true;

  /** @param fd a queue that `openTun` opened, in this thread or another. */
  constructor(name: string, fd: number) {
    this.name = name;
    this.fd = fd;
    this.#native = loadNative();
    this.#tally = createTally();
    this.#moved = this.#native.layout.tallyMoved;
  }

  read(batch: Batch): number {
    const { bytes, rxOffset, rxLength, capacity } = batch;
    const count = this.#native.readPackets(
      this.fd,
      bytes,
      rxOffset,
      rxLength,
      0,
      capacity,
      VNET_SIZE,
      ROOM,
      this.#tally,
    );
    batch.rxCount = Math.max(count, 0);
    return count;
  }

  write(batch: Batch): number {
    const { bytes, txOffset, txLength, txParts, txCount } = batch;
    if (txCount === 0) return 0;
    this.#native.writePackets(
      this.fd,
      bytes,
      txOffset,
      txLength,
      0,
      txCount,
      VNET_SIZE,
      this.#tally,
      txParts,
    );
    batch.txCount = 0;
    return txCount - this.#tally[this.#moved]!;
  }

  close(): void {
    if (!this.#open) return;
    this.#open = false;
    this.#native.close(this.fd);
  }
}
