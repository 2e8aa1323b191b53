/**
 * The one place that loads the native addon (native/), and the declaration of its surface.
 *
 * Verbs are thin: one system call, or one batch of them. Batch verbs work on columns over an arena; each offset and
 * length is checked in the addon against the arrays it is given, so that a wrong number is -EINVAL and never a wrong
 * access. Verbs that open throw `{ call, errno }`, which the functions below turn into a LatchwayError; all others
 * return a count or -errno, and never throw.
 *
 * Descriptors are plain integers that every thread may use. The thread that opened one owns it (or the one that called
 * `adopt`): what a thread still owns when it ends is closed. Before closing what another thread polls: wake that
 * thread, wait for it to stop, then close. A worker that sits in `poll` cannot be terminated until it is woken.
 */
import { createRequire } from 'node:module';
import { constants } from 'node:os';
import { fileURLToPath } from 'node:url';
import type { Fault } from '../base/fault.ts';
import { LatchwayError } from '../base/fault.ts';

/** Numbers that the addon exports, so that neither side keeps a copy (native/layout.h). */
interface Layout {
  /** Index in a tally: entries moved. */
  readonly tallyMoved: number;
  /** Index: entries refused one by one. */
  readonly tallyRefused: number;
  /** Index: errno of the last refused one. */
  readonly tallyRefusedErrno: number;
  /** Index: errno that ended the batch before its last entry, or 0. */
  readonly tallyStopErrno: number;
  readonly tallySize: number;
  readonly pollMax: number;
  /** Entries that one frame may be written from. */
  readonly partsMax: number;
}

/** @param key 32 bytes. @param nonce 12 bytes; to seal, never twice under one key. @param headerBytes of the datagram, before what is sealed. */
type AeadCall = (
  key: Uint8Array,
  nonce: Uint8Array,
  datagram: Uint8Array,
  text: Uint8Array,
  headerBytes: number,
) => number;

/** Constants of <sys/socket.h> and <netinet/in.h>, by their names there. */
export interface SocketConstants {
  readonly AF_INET: number;
  readonly AF_INET6: number;
  readonly SOCK_DGRAM: number;
  readonly SOCK_RAW: number;
  readonly SOL_SOCKET: number;
  readonly SO_RCVBUF: number;
  readonly SO_SNDBUF: number;
  readonly SO_RCVBUFFORCE: number;
  readonly SO_SNDBUFFORCE: number;
  readonly SO_MARK: number;
  readonly IPPROTO_IP: number;
  readonly IP_TTL: number;
  readonly IP_MTU_DISCOVER: number;
  readonly IP_PMTUDISC_DONT: number;
  readonly IP_MULTICAST_TTL: number;
  readonly IP_MULTICAST_LOOP: number;
  readonly IP_MULTICAST_ALL: number;
  readonly IPPROTO_IPV6: number;
  readonly IPV6_V6ONLY: number;
  readonly IPV6_UNICAST_HOPS: number;
  readonly IPV6_MTU_DISCOVER: number;
  readonly IPV6_PMTUDISC_DONT: number;
  readonly IPV6_MULTICAST_HOPS: number;
  readonly IPV6_MULTICAST_LOOP: number;
  readonly IPV6_MULTICAST_ALL: number;
}

/** One opened queue of a TUN device. */
export interface TunQueue {
  readonly fd: number;
  /** The device's name; the kernel's choice when a pattern (`lw%d`) was asked for. */
  readonly name: string;
  /** Bits of OFFLOAD that hold: USO is absent on kernels before 6.2. */
  readonly offloads: number;
}

/** Bits of TUNSETOFFLOAD (include/uapi/linux/if_tun.h): what the kernel may leave to the reader of a TUN. */
export const OFFLOAD = { CSUM: 0x01, TSO4: 0x02, TSO6: 0x04, TSO_ECN: 0x08, USO4: 0x20, USO6: 0x40 } as const;

/** Events in `revents` of `poll` (<poll.h>). ERR, HUP and INVALID are reported unasked. */
export const POLL = { IN: 0x01, ERR: 0x08, HUP: 0x10, INVALID: 0x20 } as const;

/**
 * What the addon exports. `tally` is an Int32Array of `tallySize` that each batch verb fills (see Layout).
 * A batch verb returns the number of entries used up from `first` (moved or refused), or -errno when it stopped before
 * the first. EAGAIN is not an error: 0. What stopped it early is in the tally: EAGAIN there means "no more now".
 */
export interface Native {
  readonly layout: Layout;
  readonly socketConstants: SocketConstants;

  /** Prefer `openTun`, which turns errors into faults. @throws {call, errno} */
  tunOpen(name: string, multiQueue: boolean, exclusive: boolean): TunQueue;
  /** Asks for the offloads in `bits` (OFFLOAD). @returns those that hold (without USO where unknown), or -errno. */
  tunSetOffload(fd: number, bits: number): number;

  /**
   * Reads packets until `max` are there or the queue is empty, one read() each, to `offset - headerBytes`. `lengths`
   * gets the size without the header. A frame of `room` bytes or more is cut off by the kernel: length 0, tally refused.
   * @param room bytes behind each offset that may be written; each packet must be shorter.
   */
  readPackets(
    fd: number,
    bytes: Uint8Array,
    offsets: Uint32Array,
    lengths: Uint32Array,
    first: number,
    max: number,
    headerBytes: number,
    room: number,
    tally: Int32Array,
  ): number;

  /**
   * Writes frames, one write() each, from `offset - headerBytes` of their first entry on. A frame that the kernel refuses is
   * counted and stepped over; the batch stops at EAGAIN, at a descriptor that is no device any more, or at an entry out of bounds.
   * @param parts at the first entry of a frame: of how many entries it is made, 1 to `partsMax`; the others add their bytes
   * from `offset` on (writev). Left out: each entry is a frame. The tally counts entries.
   */
  writePackets(
    fd: number,
    bytes: Uint8Array,
    offsets: Uint32Array,
    lengths: Uint32Array,
    first: number,
    count: number,
    headerBytes: number,
    tally: Int32Array,
    parts?: Uint32Array,
  ): number;

  /**
   * Waits until a descriptor is readable. Blocks the calling thread; for the main thread only with `timeoutMs` 0.
   * @param fds at most `pollMax`; negative ones are skipped.
   * @param revents at least as long; gets bits of POLL, 0 for those that are not ready.
   * @param timeoutMs -1 waits for ever.
   * @param spinUs looks without sleeping for so long first (default 0), yielding the CPU in between; comes on top of `timeoutMs`.
   * @returns descriptors that are ready; 0 when time ran out or a signal came; -errno.
   */
  poll(fds: Int32Array, revents: Int32Array, timeoutMs: number, spinUs?: number): number;

  /** A new eventfd, nonblocking. Prefer `openEvent`. @throws {call, errno} */
  eventOpen(): number;
  /** Makes the eventfd readable, from any thread. @returns 0 or -errno. */
  eventWake(fd: number): number;
  /** Makes it unreadable again. @returns 1 when it was woken since the last time, 0 when not, or -errno. */
  eventDrain(fd: number): number;

  /** CLOCK_MONOTONIC in milliseconds modulo 2^32, unsigned; one clock for all threads (base/clock.ts). */
  monotonicMs(): number;

  /** A nonblocking socket. Prefer socket.ts. @throws {call, errno} */
  socketOpen(family: number, type: number, protocol: number): number;
  /** setsockopt with an int. @returns 0 or -errno. */
  socketOption(fd: number, level: number, name: number, value: number): number;
  /** SO_BINDTODEVICE. @returns 0 or -errno. */
  socketDevice(fd: number, device: string): number;
  /** @param address four words, host order. @param port host order. @returns 0 or -errno (EAFNOSUPPORT: other family). */
  socketBind(fd: number, family: number, address: Uint32Array, port: number): number;
  /** Joins a multicast group on an interface (index, from 1). @param group four words. @returns 0 or -errno. */
  socketJoin(fd: number, family: number, group: Uint32Array, interfaceIndex: number): number;
  /** The interface by which datagrams to groups leave. @returns 0 or -errno. */
  socketGroupInterface(fd: number, family: number, interfaceIndex: number): number;
  /** @returns the local port, or -errno. */
  socketPort(fd: number): number;

  /**
   * Sends datagrams by sendmmsg. Packet i goes to row `targets[i]` of the destination table; a destination of the other
   * family is refused with EAFNOSUPPORT, and each that the kernel refuses is counted and stepped over.
   * @param addresses four words (host order) a row. @param ports one a row, host order; 0 for raw sockets.
   */
  sendBatch(
    fd: number,
    family: number,
    bytes: Uint8Array,
    offsets: Uint32Array,
    lengths: Uint32Array,
    targets: Uint32Array,
    addresses: Uint32Array,
    ports: Uint32Array,
    first: number,
    count: number,
    tally: Int32Array,
  ): number;

  /**
   * Receives datagrams by recvmmsg, up to `room` bytes each to its offset. One that is longer has length 0 and is counted
   * as refused. A raw IPv4 socket delivers the IP header too, a raw IPv6 socket does not.
   * @param addresses gets the source of entry i in words 4 i to 4 i + 3. @param ports gets its port.
   */
  receiveBatch(
    fd: number,
    bytes: Uint8Array,
    offsets: Uint32Array,
    lengths: Uint32Array,
    addresses: Uint32Array,
    ports: Uint32Array,
    first: number,
    max: number,
    room: number,
    tally: Int32Array,
  ): number;

  /**
   * AES-256-GCM. Seals `text` into `datagram`: a header, which stands there and is authenticated, ciphertext of the text's size, a tag of 16 bytes.
   * @returns 0 or -errno.
   */
  readonly aeadSeal: AeadCall;
  /** Opens a datagram into `text`, as long as what is sealed in it. @returns 0 or -errno (EBADMSG: the tag does not fit). */
  readonly aeadOpen: AeadCall;

  /** Closes a descriptor that this addon opened. @returns 0, or -EBADF when it is closed already or is not the addon's. */
  close(fd: number): number;
  /** Makes the calling thread the owner of a descriptor. @returns 0 or -EBADF. */
  adopt(fd: number): number;
}

/** Where the build puts it: the same two levels up from src/io and from dist/io. */
const BUILT = fileURLToPath(new URL('../../native/build/Release/latchway.node', import.meta.url));

let loaded: Native | undefined;

/**
 * The addon, loaded once per thread. LATCHWAY_NATIVE in the environment names another build of it (for the sanitizers).
 * @throws LatchwayError native-missing
 */
export function loadNative(): Native {
  if (loaded !== undefined) return loaded;
  const path = process.env['LATCHWAY_NATIVE'] ?? BUILT;
  try {
    loaded = createRequire(import.meta.url)(path) as Native;
    return loaded;
  } catch (error) {
    const detail = error instanceof Error ? (error.message.split('\n')[0] ?? '') : String(error);
    throw new LatchwayError({ code: 'native-missing', path, detail });
  }
}

const ERRNO_NAMES = new Map(Object.entries(constants.errno).map(([name, errno]) => [errno, name]));

/** `EBUSY` for 16; `E<number>` for one that Node has no name for. */
export function errnoName(errno: number): string {
  return ERRNO_NAMES.get(errno) ?? `E${errno}`;
}

/** The error for a failed system call. @param errno positive. */
export function systemCallError(call: string, errno: number): LatchwayError {
  return new LatchwayError({ code: 'system-call', call, errno, name: errnoName(errno) });
}

/** For verbs that return 0 or a value, or -errno. @returns `result`. @throws LatchwayError system-call */
export function checkCall(call: string, result: number): number {
  if (result < 0) throw systemCallError(call, -result);
  return result;
}

/**
 * Runs a verb that opens something. `faultOf` may name a better fault than system-call for an errno.
 * @throws LatchwayError
 */
export function opening<Result>(
  verb: () => Result,
  faultOf: (call: string, errno: number) => Fault | undefined = () => undefined,
): Result {
  try {
    return verb();
  } catch (error) {
    const { call, errno } = error as { call?: unknown; errno?: unknown };
    if (typeof call !== 'string' || typeof errno !== 'number') throw error;
    const fault = faultOf(call, errno);
    throw fault === undefined ? systemCallError(call, errno) : new LatchwayError(fault);
  }
}

/** A tally for a batch verb. */
export function createTally(): Int32Array {
  return new Int32Array(loadNative().layout.tallySize);
}
