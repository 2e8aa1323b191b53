/**
 * What the threads of the packet path have in common: a batch, a device queue, the way to the main thread, and counting what leaves.
 *
 * A thread sits in a native wait and never returns to its event loop; messages are taken from its port one by one after a wake.
 */
import { receiveMessageOnPort } from 'node:worker_threads';
import { Balancer } from '../../balance/balancer.ts';
import type { Generation } from '../../balance/generation.ts';
import { ServiceTable } from '../../balance/service-table.ts';
import { COUNTER, counterRow } from '../../base/counters.ts';
import { Coalescer, coalesceOutput } from '../../forward/coalesce.ts';
import { PathState } from '../../forward/path-state.ts';
import { loadNative, type Native, OFFLOAD, systemCallError } from '../../io/native.ts';
import { PEER_TARGET, RawSender } from '../../io/raw-socket.ts';
import { TunDevice } from '../../io/tun.ts';
import { Poller } from '../../io/wait.ts';
import type { TableReader } from '../../table/table-reader.ts';
import type { Address } from '../../wire/address.ts';
import { Batch } from '../../wire/batch.ts';
import type { FromThread, PacketThreadSetup, ToThread } from './messages.ts';

/** Packets of one batch: a burst of that many small ones is one turn of the loop, and their slots (4 MiB) stay in the cache. */
const BATCH_SIZE = 64;

/**
 * A thread whose last wait was shorter than WAKE_US looks for SPIN_US before it sleeps again: going to sleep and being woken costs
 * more than most gaps of a busy conversation last. Measured as ratio to kernel forwarding: round trip 2.6 -> 1.8, connection
 * time 3.0 -> 2.4. Sparse traffic never spins. A wait of more than PAUSE_MS is a pause, or others want this CPU, where who spins
 * loses his turn to them: then no spinning for SOBER_MS. Nor is there without packets of the device: what other dispatchers say can wait that long.
 */
const SPIN_US = 50;
const WAKE_US = 100;
const PAUSE_MS = 0.5;
const SOBER_MS = 50;

const TX_PACKETS = COUNTER['tx-packets'];
const TX_BYTES = COUNTER['tx-bytes'];
const DROP_WRITE = COUNTER['drop-write'];
const JOINED = COUNTER['joined'];
/** Entries of a batch's list for the device that are joined where they can be: an answer to each packet at the most. */
const JOINED_OUTPUTS = 2 * BATCH_SIZE;
const TSO = OFFLOAD.TSO4 | OFFLOAD.TSO6;

export class PacketThread {
  readonly batch = new Batch(BATCH_SIZE);
  readonly words: Uint32Array;
  readonly state: PathState;
  stopped = false;
  #spinUs = 0;
  #soberUntilMs = 0;
  #packetsAtMs = 0;
  /** Called after the packet path has a new generation. */
  onGeneration: (generation: Generation, gone: readonly number[]) => void = () => {};
  /** Called with every message of the main thread, after the thread itself has obeyed it. */
  onMessage: (message: ToThread) => void = () => {};
  /** Called before packets leave. */
  beforeFlush: () => void = () => {};
  readonly #setup: PacketThreadSetup;
  readonly #native: Native = loadNative();
  readonly #device: TunDevice;
  /** Undefined where the device knows no super-packets. */
  readonly #coalescer: Coalescer | undefined;
  #poller: Poller;
  readonly #counters: Float64Array;
  #raw: RawSender | undefined;
  #tunnel: { readonly sender: RawSender; readonly addresses: Uint32Array } | undefined;
  #serverAddresses: Uint32Array<ArrayBufferLike> = new Uint32Array(0);

  constructor(setup: PacketThreadSetup, table: TableReader) {
    this.#setup = setup;
    this.#device = new TunDevice(setup.device, setup.queueFd);
    this.#coalescer = (setup.offloads & TSO) === TSO ? new Coalescer(JOINED_OUTPUTS) : undefined;
    this.#poller = new Poller(setup.event, [setup.queueFd]);
    this.#counters = counterRow(setup.counters, setup.thread);
    this.words = new Uint32Array(this.batch.arena);
    this.state = new PathState({
      batch: this.batch,
      table,
      services: new ServiceTable(setup.generation),
      balancer: new Balancer(table, setup.clusterKey, setup.randomSeed),
      counters: this.#counters,
    });
  }

  /** Polls these descriptors as well, and sends the tunnelled packets of the batch from `source` to `peers`. */
  joinCluster(fds: readonly number[], source: Address, peers: readonly Address[]): void {
    this.#poller = new Poller(this.#setup.event, [this.#setup.queueFd, ...fds]);
    this.#tunnel = {
      sender: new RawSender({ source, firstTarget: PEER_TARGET }),
      addresses: Uint32Array.from(peers.flatMap((peer) => [...peer.words])),
    };
  }

  /** Monotonic ms. */
  now(): number {
    return this.#native.monotonicMs();
  }

  post(message: FromThread): void {
    this.#setup.port.postMessage(message);
  }

  /** Whether there was something to read when the last wait ended. @param place 0: the device; then the descriptors of `joinCluster` */
  isReady(place: number): boolean {
    return this.#poller.ready[place] !== 0;
  }

  /** Waits for packets or a wake, at most `timeoutMs`, and does what the main thread asks. */
  wait(timeoutMs: number): void {
    const before = performance.now();
    const woken = this.#poller.wait(timeoutMs, timeoutMs === 0 ? 0 : this.#spinUs);
    if (timeoutMs !== 0) this.#adaptSpin(before);
    if (!woken) return;
    for (;;) {
      const received = receiveMessageOnPort(this.#setup.port);
      if (received === undefined) return;
      const message = received.message as ToThread;
      this.#obey(message);
      this.onMessage(message);
    }
  }

  /** @param before when the wait began. */
  #adaptSpin(before: number): void {
    const now = performance.now();
    const elapsed = now - before;
    if (this.isReady(0)) this.#packetsAtMs = now;
    if (elapsed > PAUSE_MS) this.#soberUntilMs = now + SOBER_MS;
    const close = elapsed < WAKE_US / 1000 && now - this.#packetsAtMs < PAUSE_MS;
    this.#spinUs = close && now > this.#soberUntilMs ? SPIN_US : 0;
  }

  #obey(message: ToThread): void {
    switch (message.type) {
      case 'generation':
        this.applyGeneration(message.generation, message.gone);
        this.post({ type: 'applied', number: message.generation.number });
        break;
      case 'quiesce':
        this.state.quiescing = true;
        break;
      case 'cluster-ready':
        this.state.ready = true;
        break;
      case 'stop':
        this.stopped = true;
        break;
    }
  }

  /** Swaps in what is balanced from the next batch on. */
  applyGeneration(generation: Generation, gone: readonly number[]): void {
    const services = new ServiceTable(generation);
    this.state.services = services;
    this.state.balancer.apply(generation);
    this.#serverAddresses = new Uint32Array(services.serverAddress.buffer);
    if (this.#raw === undefined && generation.services.some(({ mode }) => mode === 'ipip'))
      this.#raw = new RawSender({});
    this.onGeneration(generation, gone);
  }

  /**
   * Reads a batch from the device, if the last wait saw that there is something. @returns whether it was full, so that there may be more.
   * @throws LatchwayError system-call when the device is gone: the thread has nothing left to do
   */
  read(): boolean {
    this.batch.reset();
    if (!this.isReady(0)) return false;
    const count = this.#device.read(this.batch);
    if (count < 0) throw systemCallError(`read of device ${this.#device.name}`, -count);
    return count === this.batch.capacity;
  }

  /** Writes what the packet path put on the batch's lists, and counts it. Allocates nothing, never throws. */
  flush(): void {
    this.beforeFlush();
    const { batch } = this;
    const counters = this.#counters;
    let bytes = 0;
    for (let index = 0; index < batch.txCount; index++) bytes += batch.txLength[index]!;
    for (let index = 0; index < batch.rawCount; index++) bytes += batch.rawLength[index]!;
    const packets = batch.txCount + batch.rawCount;
    if (this.#coalescer !== undefined) {
      counters[JOINED] = counters[JOINED]! + coalesceOutput(batch, this.#coalescer);
    }
    let lost = this.#device.write(batch);
    if (this.#raw !== undefined) lost += this.#raw.send(batch, this.#serverAddresses);
    if (this.#tunnel !== undefined) lost += this.#tunnel.sender.send(batch, this.#tunnel.addresses);
    counters[TX_PACKETS] = counters[TX_PACKETS]! + packets - lost;
    counters[TX_BYTES] = counters[TX_BYTES]! + bytes;
    counters[DROP_WRITE] = counters[DROP_WRITE]! + lost;
    batch.resetOutput();
  }

  /** Says that the thread is done; its descriptors are the main thread's to close. */
  close(): void {
    this.#raw?.close();
    this.#tunnel?.sender.close();
    this.post({ type: 'stopped' });
    this.#setup.port.close();
  }
}
