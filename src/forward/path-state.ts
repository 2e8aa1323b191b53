/**
 * What the stages of one thread's packet path share: the batch, its parsed columns, the table, what is balanced, counters.
 *
 * One object per thread, passed to each stage as its first argument; the fields that change (`now`, `services`, `balancer`) are
 * replaced between batches only. Packet `index` always means a row of the batch.
 */
import type { Balancer } from '../balance/balancer.ts';
import { ServerMask } from '../balance/server-mask.ts';
import type { ServiceTable } from '../balance/service-table.ts';
import { COUNTER } from '../base/counters.ts';
import type { TableReader } from '../table/table-reader.ts';
import type { Batch } from '../wire/batch.ts';
import { ParsedBatch } from '../wire/parsed-batch.ts';
import type { ClusterGate } from './cluster-gate.ts';
import { RateLimit } from './rate-limit.ts';
import { SegmentList } from './segment.ts';

/** Generated answers (ICMP errors, resets) per second and thread: as many as a host gives (net.ipv4.icmp_msgs_per_sec). */
const ANSWERS_PER_SECOND = 1000;
const ANSWER_BURST = 1000;

/** What pass 1 found out about a packet. */
export const KIND_DONE = 0;
export const KIND_REQUEST = 1;
export const KIND_REPLY = 2;
export const KIND_VIP_ICMP = 3;
export const KIND_ICMP_ERROR = 4;
export const KIND_PASS = 5;

export class PathState {
  readonly batch: Batch;
  readonly view: DataView;
  readonly parsed: ParsedBatch;
  /** The packet quoted in the ICMP error that is being handled: row 0. */
  readonly quote: ParsedBatch = new ParsedBatch(1);
  /** Segments of the super-packet that is being cut. */
  readonly segments: SegmentList = new SegmentList();
  /** Servers that are left out of the selection that is being made. */
  readonly excluded: ServerMask = new ServerMask();
  readonly table: TableReader;
  readonly counters: Float64Array;
  /** Of errors and of resets that are sent, by what they are: a flood that is answered by one must not take the others away. */
  readonly answers = {
    reset: new RateLimit(ANSWERS_PER_SECOND, ANSWER_BURST),
    tooBig: new RateLimit(ANSWERS_PER_SECOND, ANSWER_BURST),
    timeExceeded: new RateLimit(ANSWERS_PER_SECOND, ANSWER_BURST),
  } as const;
  services: ServiceTable;
  balancer: Balancer;
  /** Monotonic ms of this batch, as a signed number: V8 boxes unsigned ones from 2^31 on, which is 24.8 days. */
  now = 0;
  /** What other dispatchers have a say in; undefined for a dispatcher alone, and on reader threads. */
  cluster: ClusterGate | undefined = undefined;
  /** This dispatcher knows the table of its cluster. Until then nothing of a service is forwarded. */
  ready = true;
  /** The daemon is about to stop: nothing that asks a server for an answer goes in any more (classify.ts). */
  quiescing = false;

  // Columns of pass 1.
  readonly kind: Uint8Array;
  /** Forward hash of a request, reverse hash of a reply. */
  readonly hash: Int32Array;
  /** DIRECTION_ constant of locate.ts: which index `hash` is for. */
  readonly direction: Uint8Array;
  /** Row that the table's `locate` proposes. */
  readonly candidate: Int32Array;
  /** Service index of a request. */
  readonly service: Int32Array;
  /** `packPorts` of a request, `packEndpointPort` of a reply. */
  readonly key: Int32Array;
  /** The dispatcher that tunnelled the packet here, 0 for those of the device; and how often it was tunnelled. */
  readonly from: Uint32Array;
  readonly hops: Uint8Array;

  constructor(parts: {
    readonly batch: Batch;
    readonly table: TableReader;
    readonly services: ServiceTable;
    readonly balancer: Balancer;
    readonly counters: Float64Array;
  }) {
    this.batch = parts.batch;
    this.view = parts.batch.view;
    this.parsed = new ParsedBatch(parts.batch.capacity);
    this.table = parts.table;
    this.services = parts.services;
    this.balancer = parts.balancer;
    this.counters = parts.counters;
    this.kind = new Uint8Array(parts.batch.capacity);
    this.hash = new Int32Array(parts.batch.capacity);
    this.direction = new Uint8Array(parts.batch.capacity);
    this.candidate = new Int32Array(parts.batch.capacity);
    this.service = new Int32Array(parts.batch.capacity);
    this.key = new Int32Array(parts.batch.capacity);
    this.from = new Uint32Array(parts.batch.capacity);
    this.hops = new Uint8Array(parts.batch.capacity);
  }
}

/** Counts one. Allocates nothing, never throws. */
export function count(state: PathState, counter: number): void {
  state.counters[counter] = state.counters[counter]! + 1;
}

const PASSED = COUNTER['passed'];
const DROP_WRITE = COUNTER['drop-write'];

/** Puts packet `index` on the list for the device as it lies in its slot, and counts `verdict`. */
export function transmit(state: PathState, index: number, verdict: number): void {
  const { batch } = state;
  const sent = batch.pushTx(batch.rxOffset[index]!, batch.rxLength[index]!);
  count(state, sent ? verdict : DROP_WRITE);
}

/** Passes a packet that is none of ours. */
export function pass(state: PathState, index: number): void {
  transmit(state, index, PASSED);
}
