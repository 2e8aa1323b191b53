/**
 * What the main thread and the threads of the packet path tell each other, over MessagePorts.
 *
 * A packet thread sits in a native wait and reads its port after a wake of its eventfd; the order is therefore: post, then wake.
 * Everything here is structured-cloneable.
 */
import type { MessagePort } from 'node:worker_threads';
import type { ClusterKey } from '../../balance/cluster-key.ts';
import type { Generation } from '../../balance/generation.ts';
import type { VectorPart } from '../../cluster/joining.ts';
import type { PeerChange } from '../../cluster/membership.ts';
import type { TableBuffers } from '../../table/shared-table.ts';
import type { TableFileResult } from '../../table/table-decoder.ts';
import type {
  ClusterState,
  Explained,
  ExplainedPacket,
  KnownEntry,
  LockState,
  PeerState,
  PlainKey,
} from '../member/answers.ts';
import type { MemberSetup, ToldConfiguration } from '../member/setup.ts';

/** What every packet thread gets as `workerData`. Descriptors belong to the main thread; the worker uses their numbers. */
export interface PacketThreadSetup {
  /** Row of the counters; 0 is the dispatcher thread. */
  readonly thread: number;
  readonly device: string;
  readonly queueFd: number;
  /** Bits of OFFLOAD that hold on the device. */
  readonly offloads: number;
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
  /** Saved table to load before the first packet, if it is there; in a cluster, only when this dispatcher is the first to be ready. */
  readonly tableFile: string;
  /** Undefined for a dispatcher alone. */
  readonly cluster: MemberSetup | undefined;
}

export interface ReaderSetup extends PacketThreadSetup {
  /** False in a cluster, until the dispatcher thread says `cluster-ready`. */
  readonly ready: boolean;
  readonly ring: SharedArrayBuffer;
  /** Wakes the dispatcher thread. */
  readonly dispatcherEvent: number;
}

export type ToThread =
  /** Services and servers from now on; answered with `applied`. `gone` are indexes of services that are no more. */
  | { readonly type: 'generation'; readonly generation: Generation; readonly gone: readonly number[] }
  /** To the dispatcher thread: what the others compare with theirs. */
  | ({ readonly type: 'configuration' } & ToldConfiguration)
  /** To reader threads: this dispatcher knows the table of its cluster. */
  | { readonly type: 'cluster-ready' }
  | { readonly type: 'copy-end'; readonly vector: readonly VectorPart[] }
  | { readonly type: 'copy-failed' }
  /** Asks for something; answered with `answer` of the same id. */
  | { readonly type: 'ask'; readonly id: number; readonly question: ThreadQuestion }
  /** Let nothing in any more that a server would answer. */
  | { readonly type: 'quiesce' }
  /** Answered with `stopped`, after which the thread ends. */
  | { readonly type: 'stop' };

/** What became of the saved table. */
export interface LoadedTable {
  readonly loaded: number;
  readonly skipped: number;
  /** Undefined: there was none, or it was not read. */
  readonly result: TableFileResult | undefined;
  /** Why a saved table was not read, in words. */
  readonly problem: string | undefined;
}

/** What the main thread may ask of the dispatcher thread of a cluster. */
export type ThreadQuestion =
  /** The streams that the table includes now: before the first piece of a copy. */
  | { readonly what: 'vector' }
  /** Entries as records, some rows from `cursor` on. */
  | { readonly what: 'copy'; readonly cursor: number }
  /** A part of the copy that was asked for, out of the table of dispatcher `from`; answered when it is in this one's. */
  | { readonly what: 'take'; readonly from: number; readonly bytes: Uint8Array }
  | { readonly what: 'peers' }
  | { readonly what: 'locks' }
  | { readonly what: 'cluster' }
  /** What is known under some keys, MAX_KEYS at most. */
  | { readonly what: 'known'; readonly keys: readonly PlainKey[] }
  | { readonly what: 'explain'; readonly packet: ExplainedPacket };

/** What it answers: plain data. */
export type ThreadAnswer =
  | { readonly what: 'vector'; readonly vector: readonly VectorPart[] }
  /** `cursor` is where the next piece begins, 0 at the end. */
  | { readonly what: 'copy'; readonly bytes: Uint8Array; readonly cursor: number }
  | { readonly what: 'take'; readonly entries: number }
  | { readonly what: 'peers'; readonly peers: readonly PeerState[] }
  | { readonly what: 'locks'; readonly locks: readonly LockState[] }
  | { readonly what: 'cluster'; readonly cluster: ClusterState }
  /** In the order of the keys; null: nothing is known under it. */
  | { readonly what: 'known'; readonly entries: readonly (KnownEntry | null)[] }
  | { readonly what: 'explain'; readonly explained: Explained };

export type FromThread =
  /** A copy of the table of another dispatcher is needed. */
  | { readonly type: 'copy-request'; readonly from: number }
  /** This dispatcher knows the table of its cluster, and forwards. `loaded`: what became of the saved table, where it was used. */
  | { readonly type: 'cluster-ready'; readonly loaded: LoadedTable | undefined }
  | { readonly type: 'peer'; readonly change: PeerChange }
  | { readonly type: 'answer'; readonly id: number; readonly answer: ThreadAnswer }
  /** Forwards from now on; what became of the saved table. */
  | ({ readonly type: 'ready' } & LoadedTable)
  | { readonly type: 'applied'; readonly number: number }
  | { readonly type: 'stopped' };
