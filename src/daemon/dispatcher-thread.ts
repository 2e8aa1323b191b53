/**
 * The dispatcher thread: owns device queue 0, and alone writes the dispatch table. Entry point of a worker.
 *
 * One turn of its loop:
 *   1. wait, in one native poll, for the device and the eventfd (main thread and reader threads wake it);
 *   2. do what the main thread asks (generations, stop);
 *   3. read a batch from the device, run it through the packet path, write what comes out;
 *   4. the same for what reader threads handed over;
 *   5. let the expiry cursor go on, a bounded step.
 * It waits again only when a batch was not full and the rings are empty.
 */
import { workerData } from 'node:worker_threads';
import { HandoverRing } from '../forward/handover-ring.ts';
import { processBatch } from '../forward/packet-path.ts';
import { followReleases, forgetChangedSessions } from '../forward/release.ts';
import { DispatchTable } from '../table/dispatch-table.ts';
import { timeoutsByState } from '../table/lifetimes.ts';
import { raiseInlining } from './inlining.ts';
import { PacketThread } from './packet-thread.ts';
import { loadTable } from './table-store.ts';
import type { DispatcherSetup } from './thread-messages.ts';

/** Longest wait, so that expiry goes on without traffic. */
const WAIT_MS = 20;
/** The cursor goes once round the table in about this time. */
const SWEEP_MS = 2000;

function run(setup: DispatcherSetup): void {
  const table = DispatchTable.attach(setup.table);
  const thread = new PacketThread(setup, table);
  const rings = setup.rings.map((buffer) => new HandoverRing(buffer));
  const { state, batch, words } = thread;
  followReleases(state, table);
  let services = state.services;
  thread.onGeneration = (generation, gone) => {
    for (const service of generation.services)
      table.setTimeouts(service.index, timeoutsByState(service.timeoutsMs));
    for (const service of gone) table.removeService(service);
    forgetChangedSessions(table, services, state.services);
    services = state.services;
  };
  thread.applyGeneration(setup.generation, []);
  thread.post({ type: 'ready', ...loadTable(setup.tableFile, table, setup.generation, thread.now()) });

  let expiredAt = thread.now();
  let busy = false;
  while (!thread.stopped) {
    thread.wait(busy ? 0 : WAIT_MS);
    const now = thread.now();
    busy = thread.read();
    if (batch.rxCount > 0) {
      processBatch(state, table, now);
      thread.flush();
    }
    for (const ring of rings) {
      if (ring.isEmpty) continue;
      batch.reset();
      ring.drain(batch, words);
      processBatch(state, table, now);
      thread.flush();
      busy ||= !ring.isEmpty;
    }
    const elapsed = (now - expiredAt) >>> 0;
    if (elapsed > 0) {
      table.expire(now, Math.ceil((table.usedRows * Math.min(elapsed, WAIT_MS * 2)) / SWEEP_MS));
      expiredAt = now;
    }
  }
  thread.close();
}

raiseInlining();
run(workerData as DispatcherSetup);
