/**
 * The daemon: puts the parts together, and changes them as one.
 *
 *   configuration -> pool -> generation -> threads           (what is balanced)
 *   configuration -> host set-up                             (what the kernel brings to the device)
 *   health, operators, routes -> pool -> next generation
 *
 * Start: the host is checked, the device opened, threads started with the saved table, and only then do routes bring packets. Stop goes
 * the other way: servers fall silent, threads end, the table is saved, the host is put back, the device goes.
 * Changes are applied one after the other (`#inOrder`), each as one generation that all threads have before the next begins.
 */
import { randomInt } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { type ClusterKey, DEFAULT_CLUSTER_KEY, selectionKey } from '../balance/cluster-key.ts';
import type { Generation } from '../balance/generation.ts';
import { type CounterName, sumCounters } from '../base/counters.ts';
import { LatchwayError } from '../base/fault.ts';
import { loadNative } from '../io/native.ts';
import { SharedTable, type TableBuffers, tableBytes } from '../table/shared-table.ts';
import { Checks } from './checks.ts';
import { type Config, loadConfig } from './config.ts';
import { hostInput } from './config-host.ts';
import type { FlowFilter, FlowView, ServerView } from './control.ts';
import { CounterWatch } from './counter-watch.ts';
import { Egresses } from './egresses.ts';

import { preflight } from './host-faults.ts';
import { HostKeeper } from './host-keeper.ts';
import type { Log } from './log.ts';
import { Pool, type ServerChange } from './pool.ts';
import { quiesced } from './quiesce.ts';
import { RateMeter } from './rate-meter.ts';
import { needsRestart } from './restart-needs.ts';
import { saveTable } from './table-store.ts';
import { Threads } from './threads.ts';
import { flowViews, serverView } from './views.ts';

const HOUSEKEEPING_MS = 1000;
/** Some changes make no event: a flushed nftables ruleset, a path MTU that the kernel learnt. */
const LOOK_AGAIN_MS = 15_000;
/** Seconds that flows per second are taken over. */
const RATE_SAMPLES = 5;

export interface DaemonOptions {
  readonly config: Config;
  readonly node: string;
  readonly tableFile: string;
  /** On a clean stop, leave what keeps replies from leaking (blackhole routes, rules) for the next start. */
  readonly hold: boolean;
  readonly log: Log;
  /** Called once when the daemon cannot go on. */
  readonly onDeath: (fault: LatchwayError) => void;
}

export class Daemon {
  readonly node: string;
  readonly pool: Pool;
  readonly host: HostKeeper;
  readonly threads: Threads;
  readonly table: SharedTable;
  readonly openedFlows = new RateMeter(RATE_SAMPLES);
  readonly startedAt = new Date();
  config: Config;
  loadedAt = new Date();
  generation: Generation;
  ready = false;
  readonly #options: DaemonOptions;
  readonly #log: Log;
  readonly #checks: Checks;
  readonly #egresses: Egresses;
  readonly #counterWatch: CounterWatch;
  #lookedAtMs = performance.now();
  #housekeeping: NodeJS.Timeout | undefined;
  #last: Promise<unknown> = Promise.resolve();

  /**
   * Opens the device; nothing on the host is changed yet.
   * @throws LatchwayError device-taken, not-root, no-tun-device, system-call
   */
  constructor(options: DaemonOptions) {
    const { config, log } = options;
    this.#options = options;
    this.#log = log;
    this.node = options.node;
    this.config = config;
    const key = clusterKey(config);
    this.pool = new Pool(key, Date.now);
    this.pool.configure(config.services);
    this.generation = this.pool.generation();
    const buffers = createTable(config.table.capacity);
    this.table = new SharedTable(buffers);
    this.threads = new Threads({
      device: config.device.name,
      queues: config.device.queues,
      table: buffers,
      tableFile: options.tableFile,
      generation: this.generation,
      clusterKey: key,
      random: randomWord,
      onDeath: options.onDeath,
    });
    this.host = new HostKeeper(log);
    this.#counterWatch = new CounterWatch(log);
    this.#checks = new Checks(this.pool, log, () => this.#refresh());
    this.#egresses = new Egresses(this.pool, log, () => this.#onRoutes());
  }

  /** Brings everything up; on a fault everything is taken down again. @throws LatchwayError */
  async start(): Promise<void> {
    try {
      await this.#egresses.update();
      const loaded = await this.threads.start();
      if (loaded.result !== undefined) {
        const { loaded: rows, skipped, result } = loaded;
        if (result.ok) this.#log.info({ rows, skipped }, 'saved table loaded');
        else
          this.#log.warn(
            { rows, skipped, fault: result.fault },
            'saved table was damaged; what was good is loaded',
          );
      }
      await this.#publish([]);
      await this.host.apply(this.config, this.pool);
    } catch (error) {
      await this.#takeDown();
      throw error;
    }
    this.ready = true;
    this.#checks.update();
    this.#egresses.watch();
    this.#housekeeping = setInterval(() => this.#keepHouse(), HOUSEKEEPING_MS);
  }

  /** Stops in order, saving the table. Faults on the way are logged, and the rest is done all the same. */
  async stop(): Promise<void> {
    this.ready = false;
    clearInterval(this.#housekeeping);
    this.#checks.stop();
    await this.#egresses.stop();
    await this.#last.catch(() => undefined);
    this.threads.quiesce();
    if (!(await quiesced(() => this.counters()['nat-reply'])))
      this.#log.warn(
        'servers are still sending; connections of theirs may break unless the daemon runs with --hold',
      );
    await this.threads.stop();
    try {
      const rows = saveTable(this.#options.tableFile, this.table, this.generation, this.now());
      this.#log.info({ rows, file: this.#options.tableFile }, 'table saved');
    } catch (error) {
      this.#log.error(
        { error: String(error), file: this.#options.tableFile },
        'the table could not be saved',
      );
    }
    await this.#takeDown();
  }

  /** Ends threads, puts the host back, closes the device. */
  async #takeDown(): Promise<void> {
    await this.threads.stop();
    await this.host.stop(this.#options.hold);
    this.threads.closeDevice();
  }

  /**
   * Rereads the configuration file; on a fault nothing changes.
   * @throws LatchwayError config, file, host-command, server-not-routable
   */
  reload(): Promise<readonly string[]> {
    return this.#inOrder(() => this.#reload());
  }

  async #reload(): Promise<readonly string[]> {
    const before = this.config;
    const next = loadConfig(before.file);
    const gone = this.pool.configure(next.services);
    try {
      await this.#egresses.update();
      await this.#publish([]);
      this.config = next;
      await this.host.apply(this.config, this.pool);
    } catch (error) {
      this.config = before;
      this.pool.configure(before.services);
      await this.#publish([]);
      throw error;
    }
    await this.#publish(gone);
    this.#checks.update();
    this.loadedAt = new Date();
    return needsRestart(before, next);
  }

  /** @throws LatchwayError daemon-refused */
  changeServer(service: string, server: string, change: ServerChange): Promise<void> {
    return this.#inOrder(async () => {
      this.pool.change(service, server, change);
      await this.#publish([]);
    });
  }

  counters(): Record<CounterName, number> {
    return sumCounters(this.threads.counters);
  }

  servers(): ServerView[] {
    return this.pool.services.flatMap((service) =>
      service.servers.map((server) => serverView(service, server, this.table)),
    );
  }

  flows(filter: FlowFilter): Generator<FlowView> {
    return flowViews(this.pool, this.table, filter, this.now());
  }

  /** Monotonic ms. */
  now(): number {
    return loadNative().monotonicMs();
  }

  #inOrder<Result>(work: () => Promise<Result>): Promise<Result> {
    const result = this.#last.then(work);
    this.#last = result.catch(() => undefined);
    return result;
  }

  /** Makes the next generation of the pool and waits until every thread has it. */
  async #publish(gone: readonly number[]): Promise<void> {
    this.generation = this.pool.generation();
    await this.threads.apply(this.generation, gone);
  }

  #refresh(): void {
    this.#inOrder(() => this.#publish([])).catch((error: unknown) =>
      this.#log.error({ error: String(error) }, 'a change could not be applied'),
    );
  }

  /** Interfaces, addresses, routes or rules changed: look up the ways to the servers, and mend what is ours. */
  #onRoutes(): void {
    this.#lookedAtMs = performance.now();
    this.#inOrder(async () => {
      if (await this.#egresses.update()) await this.#publish([]);
      await this.host.repair();
    }).catch((error: unknown) => this.#log.warn({ error: String(error) }, 'routes could not be followed'));
  }

  #keepHouse(): void {
    const now = performance.now();
    const counters = this.counters();
    this.openedFlows.sample(now, counters['flow-opened']);
    this.#counterWatch.look(counters, now);
    if (now - this.#lookedAtMs > LOOK_AGAIN_MS) this.#onRoutes();
    const { active, inactive } = this.table;
    if (!this.pool.forgetLeft((index) => active[index]! + inactive[index]!)) return;
    this.#inOrder(async () => {
      await this.#publish([]);
      await this.host.apply(this.config, this.pool);
    }).catch((error: unknown) =>
      this.#log.error({ error: String(error) }, 'a server that left could not be forgotten'),
    );
  }
}

/**
 * Checks the host and makes a daemon.
 * @throws LatchwayError of the preflight, device-taken and what else opening a device may be refused for
 */
export async function createDaemon(options: DaemonOptions): Promise<Daemon> {
  await preflight(hostInput(options.config));
  return new Daemon(options);
}

function clusterKey(config: Config): ClusterKey {
  if (config.cluster === undefined) return DEFAULT_CLUSTER_KEY;
  return selectionKey(Buffer.from(readFileSync(config.cluster.keyFile, 'utf8').trim(), 'hex'));
}

function randomWord(): number {
  return randomInt(2 ** 32);
}

/** @throws LatchwayError daemon-refused when there is not enough memory */
function createTable(capacity: number): TableBuffers {
  try {
    const memory = new SharedArrayBuffer(tableBytes(capacity));
    return { capacity, seed: [randomWord(), randomWord(), randomWord(), randomWord()], memory };
  } catch {
    const mebibytes = Math.ceil(tableBytes(capacity) / 2 ** 20);
    const detail = `table.capacity ${capacity} needs ${mebibytes} MiB of memory, which is not to be had`;
    throw new LatchwayError({ code: 'daemon-refused', detail });
  }
}
