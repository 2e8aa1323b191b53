/**
 * The dispatcher thread: owns device queue 0, and alone writes the dispatch table. Entry point of a worker.
 *
 * One turn of its loop:
 *   1. wait, in one native poll, for the device, the eventfd (main thread and reader threads wake it) and, in a cluster, other dispatchers;
 *   2. do what the main thread asks (generations, stop);
 *   3. in a cluster: take what other dispatchers said, and run the packets that they tunnelled here;
 *   4. read a batch from the device, run it through the packet path, write what comes out;
 *   5. the same for what reader threads handed over, and for packets that waited and may go on;
 *   6. let the expiry cursor go on, a bounded step (in a cluster the protocol does so).
 * It waits again only when a batch was not full and the rings are empty.
 */
import { workerData } from 'node:worker_threads';
import { HandoverRing } from '../../forward/handover-ring.ts';
import { processBatch } from '../../forward/packet-path.ts';
import { followReleases, forgetChangedSessions } from '../../forward/release.ts';
import { DispatchTable } from '../../table/dispatch-table.ts';
import { timeoutsByState } from '../../table/lifetimes.ts';
import { MemberThread } from '../member/member-thread.ts';
import { loadTable } from '../table/store.ts';
import { raiseInlining } from './inlining.ts';
import type { DispatcherSetup, LoadedTable } from './messages.ts';
import { PacketThread } from './packet-thread.ts';

/** Longest wait, so that expiry goes on without traffic. */
const WAIT_MS = 20;
/** The cursor goes once round the table in about this time. */
const SWEEP_MS = 2000;
const NOTHING_LOADED: LoadedTable = { loaded: 0, skipped: 0, result: undefined, problem: undefined };

class DispatcherThread {
  readonly #setup: DispatcherSetup;
  readonly #table: DispatchTable;
  readonly #thread: PacketThread;
  readonly #rings: readonly HandoverRing[];
  readonly #cluster: MemberThread | undefined;
  /** Of what is polled beside the device, in the order of `MemberThread.fds`. */
  readonly #isReady = (place: number): boolean => this.#thread.isReady(1 + place);
  #expiredAt: number;

  constructor(setup: DispatcherSetup) {
    this.#setup = setup;
    this.#table = DispatchTable.attach(setup.table);
    this.#thread = new PacketThread(setup, this.#table);
    this.#rings = setup.rings.map((buffer) => new HandoverRing(buffer));
    this.#expiredAt = this.#thread.now();
    followReleases(this.#thread.state, this.#table);
    this.#cluster = setup.cluster === undefined ? undefined : this.#join(setup.cluster);
    this.#followGenerations();
  }

  run(): void {
    const thread = this.#thread;
    thread.post({ type: 'ready', ...(this.#cluster === undefined ? this.#load() : NOTHING_LOADED) });
    let busy = false;
    while (!thread.stopped) {
      thread.wait(busy ? 0 : (this.#cluster?.waitMs(WAIT_MS) ?? WAIT_MS));
      const now = thread.now();
      thread.state.now = now | 0;
      busy = this.#cluster === undefined ? false : this.#hearCluster(this.#cluster);
      busy = thread.read() || busy;
      if (thread.batch.rxCount > 0) this.#process(now);
      for (const ring of this.#rings) {
        if (ring.isEmpty) continue;
        thread.batch.reset();
        ring.drain(thread.batch, thread.words);
        this.#process(now);
        busy ||= !ring.isEmpty;
      }
      if (this.#cluster === undefined) this.#expire(now);
      else busy = this.#letGo(this.#cluster) || busy;
    }
    this.#cluster?.close();
    thread.close();
  }

  #process(now: number): void {
    processBatch(this.#thread.state, this.#table, now);
    this.#thread.flush();
  }

  /** Datagrams of other dispatchers, then packets that they tunnelled here. @returns whether more waits */
  #hearCluster(cluster: MemberThread): boolean {
    const thread = this.#thread;
    let more = cluster.begin(cluster.hasDatagrams(this.#isReady));
    thread.batch.reset();
    if (cluster.hasTunnelled(this.#isReady)) more = cluster.tunnel.receive(thread.batch) || more;
    if (thread.batch.rxCount > 0) {
      cluster.member.tunnelled(cluster.tunnel.sources);
      thread.flush();
    }
    return more;
  }

  /** Packets that waited and may go on; then what is left to say leaves. @returns whether more waits */
  #letGo(cluster: MemberThread): boolean {
    const thread = this.#thread;
    let more = false;
    if (cluster.member.hasReleased) {
      thread.batch.reset();
      more = cluster.member.release();
      thread.flush();
    }
    cluster.flush();
    return more;
  }

  #expire(now: number): void {
    const elapsed = (now - this.#expiredAt) >>> 0;
    if (elapsed === 0) return;
    const table = this.#table;
    table.expire(now, Math.ceil((table.usedRows * Math.min(elapsed, WAIT_MS * 2)) / SWEEP_MS));
    this.#expiredAt = now;
  }

  #load(): LoadedTable {
    const { tableFile, generation } = this.#setup;
    return loadTable(tableFile, this.#table, generation, this.#thread.now());
  }

  #join(setup: NonNullable<DispatcherSetup['cluster']>): MemberThread {
    const thread = this.#thread;
    const cluster = new MemberThread({
      setup,
      state: thread.state,
      table: this.#table,
      post: (message) => thread.post(message),
      load: () => {
        const loaded = this.#load();
        cluster.member.store.columns.adopt(this.#table, setup.self.node);
        return loaded;
      },
    });
    const peers = setup.peers.map(({ address }) => address);
    thread.joinCluster(cluster.fds, setup.self.address, peers);
    thread.onMessage = (message) => cluster.obey(message);
    thread.beforeFlush = () => cluster.flush();
    return cluster;
  }

  #followGenerations(): void {
    const thread = this.#thread;
    const table = this.#table;
    let { services } = thread.state;
    thread.onGeneration = (generation, gone) => {
      for (const service of generation.services)
        table.setTimeouts(service.index, timeoutsByState(service.timeoutsMs));
      for (const service of gone) table.removeService(service);
      forgetChangedSessions(table, services, thread.state.services);
      services = thread.state.services;
      this.#cluster?.generationChanged(generation);
    };
    thread.applyGeneration(this.#setup.generation, []);
  }
}

raiseInlining();
new DispatcherThread(workerData as DispatcherSetup).run();
