/**
 * One dispatcher's whole cluster protocol: session core, membership, streams, digests, joining, over sealed datagrams.
 *
 *   datagram, packet, note, copy, deadline  ->  step(now, event)  ->  effects
 *
 * Still without I/O: datagrams go in and out as bytes, the copy of a table to a joiner as records (its TCP is the
 * caller's). What is sent stands before what is forwarded because of it.
 */

import type { Effect, Environment, Settings } from './context.ts';
import { Core, type CoreEvent } from './core.ts';
import { type DigestSettings, Digests } from './digests.ts';
import type { ClusterSeed, NodeId } from './identity.ts';
import { Joining, type VectorPart } from './joining.ts';
import { type Datagram, Link, type Opened } from './link.ts';
import { type Member, Membership, type MembershipSettings, type PeerChange } from './membership.ts';
import { type AnyRecord, isControl } from './messages.ts';
import type { ControlRecord } from './messages-control.ts';
import { readRecords } from './messages-read.ts';
import type { EntryRecord, SessionRecord } from './records.ts';
import {
  type Life,
  PROTOCOL_VERSION,
  readHeader,
  Sealer,
  STREAM_BROADCAST,
  STREAM_HELLO,
  tagOf,
} from './seal.ts';
import type { EntryStore } from './store.ts';

export type NodeEvent =
  | Extract<CoreEvent, { readonly kind: 'packet' | 'note' | 'deadline' }>
  | { readonly kind: 'datagram'; readonly bytes: Buffer }
  /** A part of the copy that was asked for, its end, or its failure. */
  | { readonly kind: 'copy'; readonly records: readonly EntryRecord[] }
  | { readonly kind: 'copy-end'; readonly vector: readonly VectorPart[] }
  | { readonly kind: 'copy-failed' }
  | { readonly kind: 'alone-done' }
  /** Says goodbye: the others know then that we are stopped. */
  | { readonly kind: 'leave' };

export type NodeEffect =
  | Exclude<Effect, { readonly kind: 'send' | 'broadcast' }>
  /** Ask this dispatcher for a copy of its table. */
  | { readonly kind: 'copy-request'; readonly from: NodeId }
  /** Nobody is ready, and this dispatcher is to be the first: it may load a saved table now, then `alone-done`. */
  | { readonly kind: 'alone' }
  | { readonly kind: 'ready' }
  | { readonly kind: 'peer'; readonly change: PeerChange };

export interface NodeOptions {
  readonly life: Life;
  readonly peers: readonly NodeId[];
  readonly seed: ClusterSeed;
  readonly clusterKeys: readonly Buffer[];
  readonly settings: Settings;
  readonly membership: MembershipSettings;
  readonly digests: DigestSettings;
  readonly environment: Environment;
  readonly store: EntryStore;
  readonly mtuBytes: number;
  /** How long no ready dispatcher may be heard before those present agree on one (rule 17). */
  readonly aloneAfterMs: number;
  readonly configuration: number;
  /** 16 random bytes. */
  readonly random: () => Buffer;
  readonly now: number;
}

/** Repairs sent in answer to one datagram. */
const REPAIR_TICK_MS = 2;

export class ClusterNode {
  readonly core: Core;
  readonly link: Link;
  readonly membership: Membership;
  readonly digests: Digests;
  readonly joining: Joining;
  readonly options: NodeOptions;
  effects: NodeEffect[] = [];
  /** Sealed already, and wait for the flush. */
  hellos: Datagram[] = [];
  repairAt = 0;
  stopped = false;
  believed = 0;
  unbelieved = 0;

  constructor(options: NodeOptions) {
    this.options = options;
    const { life, seed, settings, environment, store, peers } = options;
    this.core = new Core({ self: life.node, seed, settings, environment, store, peers });
    const { context, entries, sweep } = this.core;
    context.now = options.now;
    this.link = new Link(life, new Sealer(options.clusterKeys), options.mtuBytes);
    this.membership = new Membership(context, life, options.membership, options.now);
    this.digests = new Digests(context, entries, options.digests);
    this.joining = new Joining(context, this.membership, options.aloneAfterMs, options.now);
    sweep.visit = (entry) => this.digests.visit(entry);
    sweep.onPass = () => this.digests.pass();
  }

  step(now: number, event: NodeEvent): readonly NodeEffect[] {
    this.effects = [];
    const { context } = this.core;
    context.now = now;
    const wasReady = context.ready;
    switch (event.kind) {
      case 'datagram':
        this.datagram(now, event.bytes);
        break;
      case 'copy':
        this.joining.progressAt = now;
        this.records(0, event.records, false, 0);
        break;
      case 'copy-end':
        this.joining.copied(now, event.vector);
        break;
      case 'copy-failed':
        this.joining.failed(now);
        break;
      case 'alone-done':
        this.joining.becomeReady();
        break;
      case 'leave':
        this.stopped = true;
        for (const node of this.membership.members.keys()) this.link.unicast(node, { type: 'leave' });
        break;
      case 'deadline':
        this.tick(now);
        break;
      default:
        this.pass(this.core.step(now, event));
    }
    if (context.ready && !wasReady) {
      this.effects.push({ kind: 'ready' });
      this.beat();
    }
    return this.effects;
  }

  /** When `step` wants a deadline event, ms. */
  get deadline(): number {
    return Math.min(this.core.deadline, this.membership.beatAt, this.repairAt);
  }

  /** The streams that the table includes now: taken before the first entry of a copy is read. */
  vector(): VectorPart[] {
    const parts: VectorPart[] = [
      {
        node: this.options.life.node,
        tag: tagOf(this.options.life.incarnation),
        sequence: this.link.ring.last,
      },
    ];
    for (const { peer, stream } of this.membership.members.values()) {
      if (peer.tag !== 0) parts.push({ node: peer.node, tag: peer.tag, sequence: stream.contiguous });
    }
    return parts;
  }

  tick(now: number): void {
    for (const change of this.membership.check(now)) this.changed(now, change);
    this.pass(this.core.step(now, { kind: 'deadline' }));
    if (now >= this.membership.beatAt) {
      this.membership.beatAt = now + this.options.membership.heartbeatMs;
      this.beat();
      const ranges = this.core.context.ready ? this.digests.due() : undefined;
      if (ranges !== undefined) this.toLive({ type: 'digest', ranges });
    }
    this.repairAt = Number.POSITIVE_INFINITY;
    for (const member of this.membership.members.values()) this.askMissing(member, now);
    const from = this.joining.step(now);
    if (from === 'alone') this.effects.push({ kind: 'alone' });
    else if (from !== undefined) this.effects.push({ kind: 'copy-request', from });
  }

  askMissing({ peer, stream }: Member, now: number): void {
    if (stream.missing.size === 0 || !peer.up) return;
    const sequences = stream.toAsk(now);
    if (sequences.length > 0) this.link.unicast(peer.node, { type: 'repair-request', sequences });
    this.repairAt = now + REPAIR_TICK_MS;
  }

  toLive(record: ControlRecord): void {
    for (const { peer } of this.membership.members.values()) {
      if (peer.up && peer.hearsMe) this.link.unicast(peer.node, record);
    }
  }

  beat(): void {
    if (this.stopped) return;
    const { context, flood } = this.core;
    const record: ControlRecord = {
      type: 'heartbeat',
      ready: context.ready,
      flooding: flood.here,
      flooded: flood.remembered,
      lastSequence: this.link.ring.last,
      configuration: this.options.configuration,
      version: PROTOCOL_VERSION,
      hears: this.membership.hears(),
    };
    for (const member of this.membership.members.values()) {
      if (member.incarnation !== '') this.link.unicast(member.peer.node, record);
      if (!member.peer.up) this.sayHello(member, context.now);
    }
  }

  sayHello(member: Member, now: number): void {
    const challenge = this.membership.challenge(member, now, this.options.random);
    if (challenge === undefined) return;
    this.transmit(this.link.hello(member.peer.node, { type: 'hello', challenge }));
  }

  datagram(now: number, bytes: Buffer): void {
    const opened = this.link.open(bytes);
    if (opened === undefined) return;
    const { sender, stream } = opened.header;
    const member = this.membership.members.get(sender.node);
    if (member === undefined) {
      this.unbelieved++;
    } else if (stream === STREAM_HELLO) this.helloHeard(member, opened, now);
    else if (member.incarnation !== sender.incarnation) {
      this.unbelieved++;
      this.sayHello(member, now);
    } else if (this.link.isNew(opened.header)) {
      this.believed++;
      for (const change of this.membership.heard(member, now)) this.changed(now, change);
      if (stream === STREAM_BROADCAST) {
        if (!member.stream.heard(opened.header.sequence, now)) return;
        if (member.stream.missing.size > 0) this.repairAt = Math.min(this.repairAt, now + REPAIR_TICK_MS);
      }
      this.dispatch(member, opened.records, now);
    }
  }

  helloHeard(member: Member, opened: Opened, now: number): void {
    const { sender } = opened.header;
    for (const record of opened.records) {
      if (record.type === 'hello') {
        this.transmit(this.link.hello(sender.node, { type: 'hello-ack', echo: record.challenge }));
        if (member.incarnation !== sender.incarnation) this.sayHello(member, now);
      } else if (record.type === 'hello-ack') {
        const renewed = member.incarnation !== sender.incarnation;
        const changes = this.membership.echoed(member, sender.incarnation, record.echo, now);
        if (renewed && member.incarnation === sender.incarnation) {
          this.link.forget(sender.node);
          this.joining.met(now);
        }
        for (const change of changes) this.changed(now, change);
        if (renewed) this.beat();
      }
    }
  }

  changed(now: number, change: PeerChange): void {
    this.effects.push({ kind: 'peer', change });
    this.pass(this.core.step(now, { kind: change.kind, node: change.node }));
  }

  /** Records of a believed life: those about sessions in one step, control records one by one. */
  dispatch(member: Member, records: readonly AnyRecord[], now: number): void {
    const sessions: SessionRecord[] = [];
    for (const record of records) {
      if (isControl(record)) this.control(member, record, now);
      else sessions.push(record);
    }
    if (sessions.length > 0) this.records(member.peer.node, sessions, false, 0);
  }

  records(from: NodeId, records: readonly SessionRecord[], repaired: boolean, heldMs: number): void {
    const { now } = this.core.context;
    this.pass(this.core.step(now, { kind: 'records', from, records, repaired, heldMs }));
  }

  control(member: Member, record: ControlRecord, now: number): void {
    const { node } = member.peer;
    switch (record.type) {
      case 'heartbeat':
        for (const change of this.membership.heartbeat(member, record, now)) this.changed(now, change);
        member.stream.tail(record.lastSequence, now);
        if (member.stream.missing.size > 0) this.repairAt = Math.min(this.repairAt, now + REPAIR_TICK_MS);
        break;
      case 'repair-request':
        this.answerRepair(node, record.sequences, now);
        break;
      case 'repair':
        this.repaired(member, record.datagram, record.heldMs, now);
        break;
      case 'gone':
        for (const sequence of record.sequences) member.stream.gone(sequence);
        break;
      case 'digest':
        this.digests.heard(node, record.ranges);
        break;
      case 'leave':
        for (const change of this.membership.left(member)) this.changed(now, change);
        break;
      case 'hello':
      case 'hello-ack':
        break;
    }
  }

  answerRepair(to: NodeId, sequences: readonly number[], now: number): void {
    const gone: number[] = [];
    for (const sequence of sequences) {
      const sent = this.link.ring.get(sequence);
      if (sent === undefined) gone.push(sequence);
      else this.link.unicast(to, { type: 'repair', heldMs: now - sent.sentAt, datagram: sent.datagram });
    }
    if (gone.length > 0) this.link.unicast(to, { type: 'gone', sequences: gone });
  }

  /** A datagram of the broadcast stream, sealed as it was, out of its sender's ring. */
  repaired(member: Member, datagram: Buffer, heldMs: number, now: number): void {
    const header = readHeader(datagram);
    if (header === undefined || header.stream !== STREAM_BROADCAST) return;
    const { sender } = header;
    if (sender.node !== member.peer.node || sender.incarnation !== member.incarnation) return;
    const plaintext = this.link.sealer.open(header, this.options.life, datagram);
    const records = plaintext && readRecords(plaintext, sender.node);
    if (records === undefined || !member.stream.heard(header.sequence, now)) return;
    member.stream.repaired++;
    const sessions = records.filter((record): record is SessionRecord => !isControl(record));
    this.records(sender.node, sessions, true, heldMs);
  }

  /** The core's effects: records are queued, the rest leaves after them. */
  pass(effects: readonly Effect[]): void {
    for (const effect of effects) {
      if (effect.kind === 'send') this.link.unicast(effect.to, effect.record);
      else if (effect.kind === 'broadcast') this.link.broadcast(effect.record);
      else this.effects.push(effect);
    }
  }

  /** Seals what the steps since the last flush have to say: one turn, one flush, so that records of many sessions share datagrams. */
  flush(now: number): readonly Datagram[] {
    const sent: Datagram[] = this.hellos;
    this.hellos = [];
    for (const datagram of this.link.flush(now, (node) => this.membership.lifeOf(node))) {
      if (datagram.to !== 0) sent.push(datagram);
      else {
        for (const { peer } of this.membership.members.values()) {
          if (peer.up) sent.push({ to: peer.node, bytes: datagram.bytes });
        }
      }
    }
    return sent;
  }

  transmit(datagram: Datagram): void {
    this.hellos.push(datagram);
  }
}
