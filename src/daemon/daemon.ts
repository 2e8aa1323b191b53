/**
 * The daemon: puts the parts together, and changes them as one.
 *
 *   configuration -> pool -> generation -> threads           (what is balanced)
 *   configuration -> host set-up                             (what the kernel brings to the device)
 *   health, operators, routes -> pool -> next generation
 *
 * Start: the host is checked, the device opened, threads started with the saved table, and only then do routes bring packets. Stop goes
 * the other way: servers fall silent, threads end, the table is saved, the host is put back, the device goes.
 * All changes of the pool go through one queue, each ends in one generation that every thread has before the next begins. A reload
 * is built aside and taken over at its end: on a fault nothing has changed.
 */
import { type ClusterKey, DEFAULT_CLUSTER_KEY } from '../balance/cluster-key.ts';
import type { Generation } from '../balance/generation.ts';
import { COUNTER, type CounterName, sumCounters } from '../base/counters.ts';
import type { LatchwayError } from '../base/fault.ts';
import { loadNative } from '../io/native.ts';
import { SharedTable } from '../table/shared-table.ts';
import { Agreement } from './cluster/agreement.ts';
import { ClusterSide } from './cluster/cluster-side.ts';
import { FreshServers } from './cluster/fresh-servers.ts';
import { memberSetup, toldConfiguration } from './cluster/member-setup.ts';
import { type Config, loadConfig } from './config/config.ts';
import { CounterWatch } from './counter-watch.ts';
import { packetsDropped } from './host/device.ts';
import { findEgresses, noteEgresses } from './host/egresses.ts';
import { preflight } from './host/faults.ts';
import { hostInput } from './host/input.ts';
import { HostKeeper } from './host/keeper.ts';
import { type EgressWatch, watchEgress } from './host/routes.ts';
import type { Log } from './log.ts';
import type { MemberSetup } from './member/setup.ts';
import { Checks } from './pool/checks.ts';
import { Pool, type ServerChange } from './pool/pool.ts';
import { quiesced } from './quiesce.ts';
import { RateMeter } from './rate-meter.ts';
import { keepRunning } from './restart-needs.ts';
import { createTable, randomWord } from './table/fresh-table.ts';
import { forgetSaved, keepTable, noteSaved } from './table/saved-table.ts';
import { Threads } from './threads/threads.ts';
import { WorkQueue } from './work-queue.ts';

const HOUSEKEEPING_MS = 1000;
/** Some changes make no event: a flushed nftables ruleset, a path MTU that the kernel learnt. */
const LOOK_AGAIN_MS = 15_000;
/** Seconds that flows per second are taken over. */
const RATE_SAMPLES = 5;
const DEVICE_FULL = COUNTER['drop-device-full'];

export interface DaemonOptions {
  readonly config: Config;
  readonly node: string;
  readonly tableFile: string;
  /** On a clean stop, leave what keeps replies from leaking (blackhole routes, rules) for the next start. */
  readonly hold: boolean;
  readonly log: Log;
  /** Aborted when the daemon is to stop: a start that waits for its cluster ends then. */
  readonly stopping: AbortSignal;
  /** Called once when the daemon cannot go on. */
  readonly onDeath: (fault: LatchwayError) => void;
}

export class Daemon {
  readonly node: string;
  readonly pool: Pool;
  readonly host: HostKeeper;
  readonly threads: Threads;
  readonly table: SharedTable;
  readonly clusterKey: ClusterKey;
  /** Undefined for a dispatcher alone. */
  readonly cluster: ClusterSide | undefined;
  readonly openedFlows = new RateMeter(RATE_SAMPLES);
  readonly startedAt = new Date();
  /** In force: of a reloaded file, what only a restart can change is as it was. */
  config: Config;
  loadedAt = new Date();
  generation: Generation;
  ready = false;
  readonly #options: DaemonOptions;
  readonly #log: Log;
  readonly #checks: Checks;
  readonly #counterWatch: CounterWatch;
  readonly #changes = new WorkQueue();
  readonly #fresh: FreshServers | undefined;
  /** Before a server that left is forgotten: others may still send flows to it, whose replies are held back here until then. */
  readonly #leaving: Agreement | undefined;
  #waitingReload: Promise<readonly string[]> | undefined;
  #routes: EgressWatch | undefined;
  #looking = false;
  #lookedAtMs = 0;
  #housekeeping: NodeJS.Timeout | undefined;

  /**
   * Opens the device; nothing else on the host is changed yet.
   * @throws LatchwayError device-taken, not-root, no-tun-device, system-call
   */
  constructor(options: DaemonOptions, setup: MemberSetup | undefined) {
    const { config, log } = options;
    this.#options = options;
    this.#log = log;
    this.node = options.node;
    this.config = config;
    this.clusterKey = setup?.seed ?? DEFAULT_CLUSTER_KEY;
    this.pool = new Pool(this.clusterKey, Date.now);
    this.pool.commit(this.pool.prepare(config.services));
    this.generation = this.pool.generation();
    const buffers = createTable(config.table.capacity);
    this.table = new SharedTable(buffers);
    this.threads = new Threads({
      device: config.device.name,
      queues: config.device.queues,
      table: buffers,
      tableFile: options.tableFile,
      clusterKey: this.clusterKey,
      random: randomWord,
      cluster: setup,
      onCluster: (message) => this.cluster?.heard(message),
      onDeath: options.onDeath,
    });
    this.cluster = setup && new ClusterSide({ setup, threads: this.threads, log });
    const settle = (known: readonly number[]) => this.#change(() => this.pool.settle(known));
    this.#leaving = this.cluster && new Agreement(this.cluster);
    this.#fresh = this.cluster && new FreshServers({ pool: this.pool, cluster: this.cluster, settle, log });
    this.host = new HostKeeper(log);
    this.#counterWatch = new CounterWatch(log);
    this.#checks = new Checks(log, (index, up, detail) => {
      this.#change(() => this.pool.setUp(index, up, detail)).catch(() => undefined);
    });
  }

  /** Brings everything up; in a cluster, until its table is known. On a fault `stop` takes down what is up. @throws LatchwayError */
  async start(): Promise<void> {
    noteEgresses(this.pool.services, await findEgresses(this.pool.services), this.#log);
    this.generation = this.pool.generation();
    await this.cluster?.listen();
    const saved = await this.threads.start(this.generation);
    await this.host.apply(this.config, this.pool.services);
    const used = this.cluster === undefined ? saved : await this.cluster.ready(this.#options.stopping);
    if (this.#options.stopping.aborted) return;
    if (used !== undefined) noteSaved(used, this.#log);
    forgetSaved(this.#options.tableFile, this.#log);
    this.ready = true;
    this.#checks.update(this.pool.services);
    this.#lookedAtMs = performance.now();
    this.#routes = watchEgress(() => this.#onRoutes());
    this.#housekeeping = setInterval(() => this.#keepHouse(), HOUSEKEEPING_MS);
  }

  /**
   * Stops in order, saving the table. Faults on the way are logged, and the rest is done all the same.
   * @returns whether the host was put back entirely.
   */
  async stop(): Promise<boolean> {
    const wasReady = this.ready;
    this.ready = false;
    clearInterval(this.#housekeeping);
    await this.#changes.close();
    this.#checks.stop();
    await this.#routes?.stop();
    await this.cluster?.close();
    if (wasReady) await this.#fallSilent();
    await this.threads.stop();
    const { table, generation } = this;
    if (wasReady) keepTable(this.#options.tableFile, { table, generation, now: this.now() }, this.#log);
    // Who never forwarded leaves what an earlier run had left to hold replies back: it is still needed.
    const restored = await this.host.stop(wasReady ? this.#options.hold : this.host.tookOver);
    this.threads.closeDevice();
    return restored;
  }

  async #fallSilent(): Promise<void> {
    this.threads.quiesce();
    if (this.#options.hold || (await quiesced(() => this.counters()['nat-reply']))) return;
    this.#log.warn(
      'servers are still sending; connections of theirs may break unless the daemon runs with --hold',
    );
  }

  /**
   * Rereads the configuration file; on a fault nothing changes. A reload that has not begun serves all who ask for one.
   * @returns what takes effect at the next start only.
   * @throws LatchwayError config, file, host-command, those of the preflight, daemon-refused
   */
  reload(): Promise<readonly string[]> {
    this.#waitingReload ??= this.#changes.add(() => {
      this.#waitingReload = undefined;
      return this.#reload();
    });
    return this.#waitingReload;
  }

  async #reload(): Promise<readonly string[]> {
    const { config, needs } = keepRunning(loadConfig(this.config.file), this.config);
    const draft = this.pool.prepare(config.services, this.cluster !== undefined);
    const services = [...draft.services.values()];
    try {
      await this.host.check(config, services);
      noteEgresses(services, await findEgresses(services), this.#log);
      await this.host.apply(config, services);
    } catch (error) {
      this.pool.abandon(draft);
      throw error;
    }
    const gone = this.pool.commit(draft);
    this.config = config;
    this.loadedAt = new Date();
    await this.#publish(gone);
    // Others use an added server once we say so: its replies have to be known by then.
    this.threads.tellConfiguration(toldConfiguration(config));
    this.#checks.update(services);
    return needs;
  }

  /** @throws LatchwayError daemon-refused */
  changeServer(service: string, server: string, change: ServerChange): Promise<void> {
    return this.#change(() => this.pool.change(service, server, change));
  }

  counters(): Record<CounterName, number> {
    // What never came to a thread only the kernel has counted.
    const { ownCounters } = this.threads;
    ownCounters[DEVICE_FULL] = packetsDropped(this.config.device.name) ?? ownCounters[DEVICE_FULL]!;
    return sumCounters(this.threads.counters);
  }

  /** Monotonic ms. */
  now(): number {
    return loadNative().monotonicMs();
  }

  /** Changes the pool in its turn, and tells the threads. */
  #change(work: () => unknown): Promise<void> {
    return this.#changes.add(() => {
      work();
      return this.#publish([]);
    });
  }

  /** Makes the next generation of the pool and waits until every thread has it. */
  async #publish(gone: readonly number[]): Promise<void> {
    this.generation = this.pool.generation();
    await this.threads.apply(this.generation, gone);
  }

  /** Interfaces, addresses, routes or rules may have changed: mend what is ours, and look up the ways to the servers. */
  async #onRoutes(): Promise<void> {
    if (this.#looking || !this.ready) return;
    this.#looking = true;
    this.#lookedAtMs = performance.now();
    try {
      // Not in the queue of changes: a slow host must not hold up what health or an operator says.
      await this.host.repair();
      const found = await findEgresses(this.pool.services);
      await this.#changes.add(async () => {
        if (noteEgresses(this.pool.services, found, this.#log)) await this.#publish([]);
      });
    } catch (error) {
      if (this.ready) this.#log.warn({ error: String(error) }, 'routes could not be followed');
    } finally {
      this.#looking = false;
    }
  }

  #keepHouse(): void {
    const now = performance.now();
    const counters = this.counters();
    this.openedFlows.sample(now, counters['flow-opened']);
    this.#counterWatch.look(counters, now);
    if (now - this.#lookedAtMs > LOOK_AGAIN_MS) void this.#onRoutes();
    void this.#fresh?.look(now);
    const { active, inactive } = this.table;
    const flowsOf = (index: number): number => active[index]! + inactive[index]!;
    if (!this.pool.hasLeft(flowsOf)) return this.#leaving?.forget();
    this.#changes
      .add(async () => {
        if (this.#leaving !== undefined && (await this.#leaving.reached(now)) === undefined) return;
        if (!this.pool.forgetLeft(flowsOf)) return;
        await this.#publish([]);
        await this.host.apply(this.config, this.pool.services);
      })
      .catch((error: unknown) =>
        this.#log.warn({ error: String(error) }, 'a server that left could not be forgotten'),
      );
  }
}

/**
 * Checks the host and makes a daemon.
 * @throws LatchwayError of the preflight, device-taken and what else opening a device may be refused for
 */
export async function createDaemon(options: DaemonOptions): Promise<Daemon> {
  await preflight(hostInput(options.config, options.node));
  return new Daemon(options, await memberSetup(options.config, options.node));
}
