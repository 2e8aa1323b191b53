/**
 * What the main thread and the threads of the packet path tell each other, over MessagePorts.
 *
 * A packet thread sits in a native wait and reads its port after a wake of its eventfd; the order is therefore: post, then wake.
 * Everything here is structured-cloneable.
 */
import type { MessagePort } from 'node:worker_threads';
import type { ClusterKey } from '../balance/cluster-key.ts';
import type { Generation } from '../balance/generation.ts';
import type { TableBuffers } from '../table/shared-table.ts';
import type { TableFileResult } from '../table/table-decoder.ts';

/** What every packet thread gets as `workerData`. Descriptors belong to the main thread; the worker uses their numbers. */
export interface PacketThreadSetup {
  /** Row of the counters; 0 is the dispatcher thread. */
  readonly thread: number;
  readonly device: string;
  readonly queueFd: number;
  /** Wakes this thread. */
  readonly event: number;
  readonly port: MessagePort;
  readonly table: TableBuffers;
  readonly counters: SharedArrayBuffer;
  readonly generation: Generation;
  readonly clusterKey: ClusterKey;
  /** For the random scheduler. */
  readonly randomSeed: number;
}

export interface DispatcherSetup extends PacketThreadSetup {
  /** Of all reader threads. */
  readonly rings: readonly SharedArrayBuffer[];
  /** Saved table to load before the first packet, if it is there. */
  readonly tableFile: string;
}

export interface ReaderSetup extends PacketThreadSetup {
  readonly ring: SharedArrayBuffer;
  /** Wakes the dispatcher thread. */
  readonly dispatcherEvent: number;
}

export type ToThread =
  /** Services and servers from now on; answered with `applied`. `gone` are indexes of services that are no more. */
  | { readonly type: 'generation'; readonly generation: Generation; readonly gone: readonly number[] }
  /** Let nothing in any more that a server would answer. */
  | { readonly type: 'quiesce' }
  /** Answered with `stopped`, after which the thread ends. */
  | { readonly type: 'stop' };

export type FromThread =
  /** Forwards from now on; what became of the saved table. */
  | {
      readonly type: 'ready';
      readonly loaded: number;
      readonly skipped: number;
      /** Undefined: there was none, or it was not read. */
      readonly result: TableFileResult | undefined;
      /** Why a saved table was not read, in words. */
      readonly problem: string | undefined;
    }
  | { readonly type: 'applied'; readonly number: number }
  | { readonly type: 'stopped' };
