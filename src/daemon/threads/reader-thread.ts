/**
 * A reader thread: owns one more device queue, forwards what hits an entry, and hands the rest to the dispatcher thread.
 * Entry point of a worker. It never writes the table (forward/reader-path.ts).
 */
import { workerData } from 'node:worker_threads';
import { HandoverRing } from '../../forward/handover-ring.ts';
import { processReaderBatch } from '../../forward/reader-path.ts';
import { wakeEvent } from '../../io/wait.ts';
import { TableReader } from '../../table/table-reader.ts';
import { raiseInlining } from './inlining.ts';
import type { ReaderSetup } from './messages.ts';
import { PacketThread } from './packet-thread.ts';

const WAIT_MS = 1000;

function run(setup: ReaderSetup): void {
  const thread = new PacketThread(setup, new TableReader(setup.table));
  const ring = new HandoverRing(setup.ring);
  thread.state.ready = setup.ready;
  thread.applyGeneration(setup.generation, []);
  thread.post({ type: 'ready', loaded: 0, skipped: 0, result: undefined, problem: undefined });
  let busy = false;
  while (!thread.stopped) {
    thread.wait(busy ? 0 : WAIT_MS);
    busy = thread.read();
    if (thread.batch.rxCount === 0) continue;
    const handed = processReaderBatch(thread.state, ring, thread.words, thread.now());
    thread.flush();
    if (handed > 0) wakeEvent(setup.dispatcherEvent);
  }
  thread.close();
}

raiseInlining();
run(workerData as ReaderSetup);
