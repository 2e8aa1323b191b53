/**
 * The socket by which dispatchers talk: UDP datagrams in batches, for a thread that polls by itself.
 *
 * Peers are numbered as they are given, and the number after the last stands for all of them, where there is a multicast group; what comes from
 * another address or port is the caller's to refuse, by what is inside.
 */
import type { Address } from '../wire/address.ts';
import { createTally, loadNative, type Native } from './native.ts';
import { type GroupLink, openGroup, openUdp, type Socket, sendGroupsBy } from './socket.ts';

/** Largest datagram that is taken; what dispatchers send fits an MTU of 1,500 bytes. */
const DATAGRAM_SIZE = 2048;
/** Datagrams of one system call. */
const BATCH_SIZE = 64;
/** A burst of updates from three peers at 50,000 sessions a second must wait here for a busy turn. */
const QUEUE_BYTES = 8 << 20;

export interface PeerSocketOptions {
  readonly local: Address;
  /** Of all dispatchers, host order. */
  readonly port: number;
  readonly peers: readonly Address[];
  /** Of the family of all addresses; undefined: there is none. */
  readonly multicast?: GroupLink | undefined;
}

export class PeerSocket {
  readonly #native: Native = loadNative();
  readonly #socket: Socket;
  /** Hears what goes to the group. */
  readonly #groupSocket: Socket | undefined;
  readonly #out = new Uint8Array(BATCH_SIZE * DATAGRAM_SIZE);
  readonly #in = Buffer.alloc(BATCH_SIZE * DATAGRAM_SIZE);
  readonly #offsets = Uint32Array.from({ length: BATCH_SIZE }, (_, index) => index * DATAGRAM_SIZE);
  readonly #outLengths = new Uint32Array(BATCH_SIZE);
  readonly #inLengths = new Uint32Array(BATCH_SIZE);
  readonly #targets = new Uint32Array(BATCH_SIZE);
  readonly #addresses: Uint32Array;
  readonly #ports: Uint32Array;
  readonly #sources = new Uint32Array(BATCH_SIZE * 4);
  readonly #sourcePorts = new Uint32Array(BATCH_SIZE);
  readonly #tally = createTally();
  #waiting = 0;
  /** Datagrams that came by the group. */
  receivedByGroup = 0;
  /** Datagrams that the kernel refused. */
  lost = 0;

  /** @throws LatchwayError system-call when the address is not this host's, or the port is taken */
  constructor(options: PeerSocketOptions) {
    const { local, port, peers, multicast } = options;
    const targets = multicast === undefined ? peers : [...peers, multicast.group];
    this.#addresses = Uint32Array.from(targets.flatMap((target) => [...target.words]));
    this.#ports = new Uint32Array(targets.length).fill(port);
    this.#socket = openUdp(local.family, {
      local: { address: local, port },
      sendBytes: QUEUE_BYTES,
      receiveBytes: QUEUE_BYTES,
    });
    if (multicast === undefined) return;
    try {
      sendGroupsBy(this.#socket, multicast.interfaceIndex);
      this.#groupSocket = openGroup(multicast, port, QUEUE_BYTES);
    } catch (error) {
      this.#native.close(this.#socket.fd);
      throw error;
    }
  }

  /** To be polled. */
  get fds(): readonly number[] {
    return this.#groupSocket === undefined ? [this.#socket.fd] : [this.#socket.fd, this.#groupSocket.fd];
  }

  /** Takes a datagram for a peer; `flush` sends it, or a full batch does. @param peer its number */
  send(peer: number, bytes: Uint8Array): void {
    if (this.#waiting === BATCH_SIZE) this.flush();
    const at = this.#waiting++;
    this.#out.set(bytes, at * DATAGRAM_SIZE);
    this.#outLengths[at] = bytes.length;
    this.#targets[at] = peer;
  }

  flush(): void {
    const count = this.#waiting;
    if (count === 0) return;
    this.#waiting = 0;
    this.#native.sendBatch(
      this.#socket.fd,
      this.#socket.domain,
      this.#out,
      this.#offsets,
      this.#outLengths,
      this.#targets,
      this.#addresses,
      this.#ports,
      0,
      count,
      this.#tally,
    );
    this.lost += count - this.#tally[this.#native.layout.tallyMoved]!;
  }

  /**
   * Reads what has come, a batch of each socket.
   * @param take gets each datagram; the bytes are valid during the call only
   * @returns whether there may be more
   */
  receive(take: (bytes: Buffer) => void): boolean {
    const count = this.#receive(this.#socket, take);
    if (this.#groupSocket === undefined) return count === BATCH_SIZE;
    const byGroup = this.#receive(this.#groupSocket, take);
    this.receivedByGroup += byGroup;
    return count === BATCH_SIZE || byGroup === BATCH_SIZE;
  }

  /** @returns datagrams that were there, those too long among them. */
  #receive(socket: Socket, take: (bytes: Buffer) => void): number {
    const count = this.#native.receiveBatch(
      socket.fd,
      this.#in,
      this.#offsets,
      this.#inLengths,
      this.#sources,
      this.#sourcePorts,
      0,
      BATCH_SIZE,
      DATAGRAM_SIZE,
      this.#tally,
    );
    for (let index = 0; index < count; index++) {
      const at = index * DATAGRAM_SIZE;
      take(this.#in.subarray(at, at + this.#inLengths[index]!));
    }
    return Math.max(count, 0);
  }

  close(): void {
    if (this.#groupSocket !== undefined) this.#native.close(this.#groupSocket.fd);
    this.#native.close(this.#socket.fd);
  }
}
