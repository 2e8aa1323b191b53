/**
 * From records to sealed datagrams and back.
 *
 *   queue(record, to) ... flush(now) -> datagrams        open(bytes) -> sender, stream, sequence, records
 *
 * Records of one step share datagrams, up to the MTU: a lock and the update that ends it cost one header together.
 * Three streams: `hello` before an incarnation is believed, `broadcast` (one datagram for all, kept in the ring), and one
 * `unicast` stream for each peer in its present incarnation.
 */

import type { NodeId } from './identity.ts';
import { MAX_RECORD_SIZE } from './message-layout.ts';
import { type AnyRecord, isControl, RecordWriter, recordSize } from './messages.ts';
import { readRecords } from './messages-read.ts';
import {
  HEADER_SIZE,
  type Header,
  type Life,
  ReplayWindow,
  readHeader,
  type Sealer,
  STREAM_BROADCAST,
  STREAM_HELLO,
  STREAM_UNICAST,
  TAG_SIZE,
} from './seal.ts';
import { SentRing } from './streams.ts';

/** IPv6 and UDP headers. */
const IP_UDP_SIZE = 48;
/** Records that may wait for one flush toward one receiver, and how many of those make it a busy one: then refreshes are shed. */
const MAX_WAITING = 8_192;
const BUSY_WAITING = 1_024;
/** A repair wraps a datagram: its own header, tag, type, age and size. */
const REPAIR_SIZE = HEADER_SIZE + TAG_SIZE + 7;

/** In the place of a receiver: all other dispatchers. No node has this id. */
export const EVERYBODY = 0;

export interface Datagram {
  readonly to: NodeId | typeof EVERYBODY;
  readonly bytes: Buffer;
}

export interface Opened {
  readonly header: Header;
  readonly records: readonly AnyRecord[];
}

export interface LinkCounters {
  sentDatagrams: number;
  sentBytes: number;
  broadcastDatagrams: number;
  refusedHeader: number;
  refusedStranger: number;
  refusedSeal: number;
  refusedReplay: number;
  refusedRecords: number;
  /** Answers to a challenge that was not ours, or not the last one. */
  refusedEcho: number;
  /** Repairs that are not what was asked for, or came already. */
  refusedRepair: number;
  /** Repairs that were not sent: too many are queued for that peer already. */
  limitedRepairs: number;
}

interface Outgoing {
  readonly stream: typeof STREAM_UNICAST | typeof STREAM_BROADCAST;
  readonly peer: NodeId;
  records: AnyRecord[];
}

export class Link {
  readonly self: Life;
  readonly sealer: Sealer;
  /** Nothing else is worth a look at its seal. */
  readonly peers: ReadonlySet<NodeId>;
  readonly ring = new SentRing();
  readonly plaintextSize: number;
  readonly outgoing = new Map<NodeId, Outgoing>();
  readonly sequences = new Map<string, number>();
  readonly windows = new Map<string, ReplayWindow>();
  /** What a datagram is written into before it is sealed. */
  readonly scratch: RecordWriter;
  readonly counters: LinkCounters = {
    sentDatagrams: 0,
    sentBytes: 0,
    broadcastDatagrams: 0,
    refusedHeader: 0,
    refusedStranger: 0,
    refusedSeal: 0,
    refusedReplay: 0,
    refusedRecords: 0,
    refusedEcho: 0,
    refusedRepair: 0,
    limitedRepairs: 0,
  };

  /** @param mtuBytes of the path between dispatchers, IP header included. */
  constructor(self: Life, sealer: Sealer, mtuBytes: number, peers: Iterable<NodeId>) {
    this.self = self;
    this.sealer = sealer;
    this.peers = new Set(peers);
    this.plaintextSize = mtuBytes - IP_UDP_SIZE - HEADER_SIZE - TAG_SIZE;
    this.scratch = new RecordWriter(this.plaintextSize + MAX_RECORD_SIZE, self.node);
  }

  /** For the durable stream. @returns false when too much waits already: the record is shed, and digests bring it */
  broadcast(record: AnyRecord): boolean {
    return this.enqueue(EVERYBODY, STREAM_BROADCAST, record);
  }

  /** @returns false when too much waits already: the record is shed, and whoever needs it asks again */
  unicast(to: NodeId, record: AnyRecord): boolean {
    return this.enqueue(to, STREAM_UNICAST, record);
  }

  enqueue(peer: NodeId, stream: Outgoing['stream'], record: AnyRecord): boolean {
    const waiting = this.outgoing.get(peer);
    if (waiting === undefined) this.outgoing.set(peer, { stream, peer, records: [record] });
    else if (waiting.records.length >= MAX_WAITING && !isControl(record)) return false;
    else waiting.records.push(record);
    return true;
  }

  /** Whether so much waits for the next flush that what can wait should. */
  get isBusy(): boolean {
    return (this.outgoing.get(EVERYBODY)?.records.length ?? 0) >= BUSY_WAITING;
  }

  /** Records that wait for the flush toward a peer. */
  queued(to: NodeId): number {
    return this.outgoing.get(to)?.records.length ?? 0;
  }

  /** A datagram outside of any incarnation, at once. */
  hello(to: NodeId, record: AnyRecord): Datagram {
    const writer = new RecordWriter(64, this.self.node);
    writer.write(record);
    const plaintext = writer.writer.bytes.subarray(0, writer.end);
    return { to, bytes: this.seal(STREAM_HELLO, undefined, plaintext) };
  }

  /** Seals all that was queued: the broadcast first, for an update leaves before what follows from it. */
  flush(now: number, lifeOf: (node: NodeId) => Life | undefined): Datagram[] {
    if (this.outgoing.size === 0) return [];
    const datagrams: Datagram[] = [];
    const all = [...this.outgoing.values()];
    this.outgoing.clear();
    const first = all.findIndex((one) => one.stream === STREAM_BROADCAST);
    if (first > 0) all.unshift(...all.splice(first, 1));
    for (const one of all) {
      const life = one.stream === STREAM_UNICAST ? lifeOf(one.peer) : undefined;
      if (one.stream === STREAM_UNICAST && life === undefined) continue;
      this.pack(one, life, now, datagrams);
    }
    return datagrams;
  }

  pack(out: Outgoing, life: Life | undefined, now: number, datagrams: Datagram[]): void {
    const room = out.stream === STREAM_BROADCAST ? this.plaintextSize - REPAIR_SIZE : this.plaintextSize;
    const writer = this.scratch;
    writer.reset();
    const emit = (): void => {
      const plaintext = writer.writer.bytes.subarray(0, writer.end);
      const bytes = this.seal(out.stream, life, plaintext);
      if (out.stream === STREAM_BROADCAST) {
        this.ring.add(bytes, now);
        this.counters.broadcastDatagrams++;
      }
      datagrams.push({ to: out.peer, bytes });
      writer.reset();
    };
    for (const record of out.records) {
      if (writer.end > 0 && writer.end + recordSize(record) > room) emit();
      writer.write(record);
    }
    if (writer.end > 0) emit();
  }

  seal(stream: Header['stream'], life: Life | undefined, plaintext: Uint8Array): Buffer {
    const name = life === undefined ? `${stream}` : `${stream}/${life.node}/${life.incarnation}`;
    const sequence = (this.sequences.get(name) ?? 0) + 1;
    this.sequences.set(name, sequence);
    const bytes = this.sealer.seal({ stream, sender: this.self, sequence }, life, plaintext);
    this.counters.sentDatagrams++;
    this.counters.sentBytes += bytes.length;
    return bytes;
  }

  /** Takes any bytes. @returns undefined for what is not of a cluster member, counted. Replays are the caller's to check. */
  open(bytes: Buffer): Opened | undefined {
    const header = readHeader(bytes);
    if (header === undefined) {
      this.counters.refusedHeader++;
      return undefined;
    }
    if (!this.peers.has(header.sender.node)) {
      this.counters.refusedStranger++;
      return undefined;
    }
    const plaintext = this.sealer.open(header, this.self, bytes);
    if (plaintext === undefined) {
      this.counters.refusedSeal++;
      return undefined;
    }
    const records = readRecords(plaintext, header.sender.node);
    if (records === undefined) {
      this.counters.refusedRecords++;
      return undefined;
    }
    return { header, records };
  }

  /** Whether a datagram of a believed incarnation comes for the first time. */
  isNew(header: Header): boolean {
    const name = `${header.sender.node}/${header.stream}`;
    let window = this.windows.get(name);
    if (window === undefined) {
      window = new ReplayWindow();
      this.windows.set(name, window);
    }
    if (window.take(header.sequence)) return true;
    this.counters.refusedReplay++;
    return false;
  }

  refuseReplay(): void {
    this.counters.refusedReplay++;
  }

  /** A peer has a new incarnation: its streams begin anew. */
  forget(node: NodeId): void {
    for (const stream of [STREAM_HELLO, STREAM_BROADCAST, STREAM_UNICAST])
      this.windows.delete(`${node}/${stream}`);
    for (const name of [...this.sequences.keys()]) {
      if (name.startsWith(`${STREAM_UNICAST}/${node}/`)) this.sequences.delete(name);
    }
  }
}
