/**
 * The threads of the packet path, as the main thread holds them: device queues, workers, shared memory, and the way to tell them things.
 *
 * Queue 0 has the dispatcher thread, each further queue a reader thread with a ring of its own to the dispatcher thread. All descriptors
 * are opened, and closed, here; workers only use their numbers. A worker that ends unasked is told to `onDeath`, once.
 */
import { MessageChannel, type MessagePort, Worker } from 'node:worker_threads';
import type { ClusterKey } from '../../balance/cluster-key.ts';
import type { Generation } from '../../balance/generation.ts';
import { counterRow, createCounters } from '../../base/counters.ts';
import { LatchwayError } from '../../base/fault.ts';
import { HandoverRing } from '../../forward/handover-ring.ts';
import { loadNative } from '../../io/native.ts';
import { openTun } from '../../io/tun.ts';
import { openEvent, wakeEvent } from '../../io/wait.ts';
import type { TableBuffers } from '../../table/shared-table.ts';
import type { MemberSetup, ToldConfiguration } from '../member/setup.ts';
import type {
  DispatcherSetup,
  FromThread,
  PacketThreadSetup,
  ReaderSetup,
  ThreadAnswer,
  ThreadQuestion,
  ToThread,
} from './messages.ts';

export interface ThreadsOptions {
  readonly device: string;
  readonly queues: number;
  readonly table: TableBuffers;
  readonly tableFile: string;
  readonly clusterKey: ClusterKey;
  readonly random: () => number;
  /** Undefined for a dispatcher alone. */
  readonly cluster: MemberSetup | undefined;
  /** Called with what the dispatcher thread says of its cluster. */
  readonly onCluster: (message: ClusterMessage) => void;
  /** Called once with what killed a thread, unless it was asked to stop. */
  readonly onDeath: (fault: LatchwayError) => void;
}

/** What the dispatcher thread says of its cluster, unasked. */
export type ClusterMessage = Extract<
  FromThread,
  { readonly type: 'copy-request' | 'cluster-ready' | 'peer' }
>;

interface PacketWorker {
  readonly port: MessagePort;
  readonly event: number;
  /** Aborted when the worker has ended. */
  readonly ended: AbortSignal;
}

interface Question {
  readonly resolve: (answer: ThreadAnswer) => void;
  readonly reject: (error: LatchwayError) => void;
}

type Loaded = Extract<FromThread, { readonly type: 'ready' }>;

export class Threads {
  readonly counters: SharedArrayBuffer;
  /** The main thread's row of them. */
  readonly ownCounters: Float64Array;
  /** Bits of OFFLOAD that hold on the device. */
  readonly offloads: number;
  readonly #options: ThreadsOptions;
  readonly #workers: PacketWorker[] = [];
  readonly #fds: number[] = [];
  /** To the dispatcher thread, until they are answered; undefined when it is gone. */
  #questions: Map<number, Question> | undefined = new Map();
  #asked = 0;
  #stopping = false;

  /**
   * Opens the device with its queues; no thread runs yet.
   * @throws LatchwayError device-taken, not-root, no-tun-device, system-call
   */
  constructor(options: ThreadsOptions) {
    this.#options = options;
    this.counters = createCounters(options.queues + 1);
    this.ownCounters = counterRow(this.counters, options.queues);
    let offloads = 0;
    try {
      for (let queue = 0; queue < options.queues; queue++) {
        const opened = openTun({
          name: options.device,
          multiQueue: options.queues > 1,
          exclusive: queue === 0,
        });
        this.#fds.push(opened.fd);
        offloads = opened.offloads;
      }
    } catch (error) {
      this.closeDevice();
      throw error;
    }
    this.offloads = offloads;
  }

  /**
   * Starts all threads and waits until each forwards; the dispatcher thread has loaded the saved table by then.
   * @throws LatchwayError thread-died
   */
  async start(generation: Generation): Promise<Loaded> {
    const { queues } = this.#options;
    const events = Array.from({ length: queues }, () => openEvent());
    const rings = Array.from({ length: queues - 1 }, () => HandoverRing.allocate());
    const ready: Promise<Loaded>[] = [];
    for (let thread = 0; thread < queues; thread++) {
      const { port1, port2 } = new MessageChannel();
      const common: PacketThreadSetup = {
        thread,
        device: this.#options.device,
        queueFd: this.#fds[thread]!,
        offloads: this.offloads,
        event: events[thread]!,
        port: port2,
        table: this.#options.table,
        counters: this.counters,
        generation,
        clusterKey: this.#options.clusterKey,
        randomSeed: this.#options.random(),
      };
      const setup: DispatcherSetup | ReaderSetup =
        thread === 0
          ? { ...common, rings, tableFile: this.#options.tableFile, cluster: this.#options.cluster }
          : {
              ...common,
              ring: rings[thread - 1]!,
              dispatcherEvent: events[0]!,
              ready: this.#options.cluster === undefined,
            };
      ready.push(this.#startWorker(setup, port1));
    }
    const [dispatcher] = await Promise.all(ready);
    return dispatcher!;
  }

  async #startWorker(setup: DispatcherSetup | ReaderSetup, port: MessagePort): Promise<Loaded> {
    const reader = setup.thread > 0;
    const name = reader ? `reader ${setup.thread}` : 'dispatcher';
    const entry = new URL(reader ? './reader-thread.js' : './dispatcher-thread.js', import.meta.url);
    const worker = new Worker(entry, { workerData: setup, transferList: [setup.port], name });
    const ending = new AbortController();
    worker.once('exit', () => {
      ending.abort();
      if (!reader) this.#silence();
    });
    this.#workers.push({ port, event: setup.event, ended: ending.signal });
    return new Promise((resolve, reject) => {
      const died = (detail: string): void => {
        if (this.#stopping) return;
        const fault = new LatchwayError({ code: 'thread-died', thread: name, detail });
        // The first is the cause; threads that follow it into death have nothing to add.
        this.#stopping = true;
        reject(fault);
        this.#options.onDeath(fault);
      };
      worker.once('error', (error) => died(error instanceof Error ? error.message : String(error)));
      worker.once('exit', (code) => died(`exit code ${code}`));
      port.on('message', (message: FromThread) => {
        this.#heard(message, resolve);
      });
    });
  }

  #heard(message: FromThread, ready: (loaded: Loaded) => void): void {
    switch (message.type) {
      case 'ready':
        ready(message);
        break;
      case 'answer':
        this.#questions?.get(message.id)?.resolve(message.answer);
        this.#questions?.delete(message.id);
        break;
      case 'cluster-ready':
        for (const reader of this.#workers.slice(1)) tell(reader, { type: 'cluster-ready' });
        this.#options.onCluster(message);
        break;
      case 'copy-request':
      case 'peer':
        this.#options.onCluster(message);
        break;
    }
  }

  /**
   * Asks the dispatcher thread of a cluster.
   * @throws LatchwayError daemon-refused when there is none (any more)
   */
  async ask<What extends ThreadQuestion['what']>(
    question: ThreadQuestion & { readonly what: What },
  ): Promise<Extract<ThreadAnswer, { readonly what: What }>> {
    const [dispatcher] = this.#workers;
    if (dispatcher === undefined || this.#options.cluster === undefined)
      throw new LatchwayError({ code: 'daemon-refused', detail: 'this dispatcher is in no cluster' });
    const questions = this.#questions;
    if (questions === undefined) throw stopping();
    const id = ++this.#asked;
    const answered = new Promise<ThreadAnswer>((resolve, reject) => questions.set(id, { resolve, reject }));
    tell(dispatcher, { type: 'ask', id, question });
    return (await answered) as Extract<ThreadAnswer, { readonly what: What }>;
  }

  /** The dispatcher thread has ended: nothing that it was asked will be answered. */
  #silence(): void {
    const questions = this.#questions;
    this.#questions = undefined;
    for (const { reject } of questions?.values() ?? []) reject(stopping());
  }

  /** What of a configuration the dispatcher thread of a cluster must know. */
  tellConfiguration(told: ToldConfiguration): void {
    const [dispatcher] = this.#workers;
    if (dispatcher !== undefined) tell(dispatcher, { type: 'configuration', ...told });
  }

  /** Tells the dispatcher thread how the copy ended that it asked for. */
  copy(message: Extract<ToThread, { readonly type: 'copy-end' | 'copy-failed' }>): void {
    const [dispatcher] = this.#workers;
    if (dispatcher !== undefined) tell(dispatcher, message);
  }

  /** Gives all threads a generation, and waits until each has it. */
  async apply(generation: Generation, gone: readonly number[]): Promise<void> {
    await this.#askAll({ type: 'generation', generation, gone }, 'applied');
  }

  /** From now on nothing goes in that a server would answer. */
  quiesce(): void {
    for (const one of this.#workers) tell(one, { type: 'quiesce' });
  }

  /** Ends all threads; reader threads first, so that what they hand over is still handled. The device stays. */
  async stop(): Promise<void> {
    this.#stopping = true;
    for (const one of this.#workers.toReversed()) {
      tell(one, { type: 'stop' });
      await untilHeard(one);
      one.port.close();
      loadNative().close(one.event);
    }
    this.#workers.length = 0;
  }

  /** Closes the queues, and with the last one the device goes away. All threads must have ended. */
  closeDevice(): void {
    for (const fd of this.#fds.splice(0)) loadNative().close(fd);
  }

  async #askAll(message: ToThread, answer: FromThread['type']): Promise<void> {
    await Promise.all(
      this.#workers.map((one) => {
        const heard = untilHeard(one, answer);
        tell(one, message);
        return heard;
      }),
    );
  }
}

/**
 * Waits for a message of this type, or for the end of the worker. It leaves nothing behind: a reaction to a promise of the worker's end would stay
 * for as long as the worker runs.
 */
function untilHeard(one: PacketWorker, type?: FromThread['type']): Promise<void> {
  return new Promise((resolve) => {
    const done = (): void => {
      one.port.off('message', listen);
      one.ended.removeEventListener('abort', done);
      resolve();
    };
    const listen = (message: FromThread): void => {
      if (message.type === type) done();
    };
    one.port.on('message', listen);
    one.ended.addEventListener('abort', done);
    if (one.ended.aborted) done();
  });
}

function stopping(): LatchwayError {
  return new LatchwayError({ code: 'daemon-refused', detail: 'the daemon is stopping' });
}

/** Post first, then wake: a wake that finds no message would leave it lying. */
function tell(one: PacketWorker, message: ToThread): void {
  one.port.postMessage(message);
  wakeEvent(one.event);
}
