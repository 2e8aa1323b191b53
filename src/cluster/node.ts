/**
 * One dispatcher's whole cluster protocol: session core, membership, streams, digests, joining, over sealed datagrams.
 *
 *   datagram, packet, note, copy, deadline  ->  step(now, event)  ->  effects
 *
 * Still without I/O: datagrams go in and out as bytes, the copy of a table to a joiner as records (its TCP is the
 * caller's). What is sent stands before what is forwarded because of it.
 */

import type { Effect } from './context.ts';
import { Core } from './core.ts';
import { Digests } from './digests.ts';
import type { NodeId } from './identity.ts';
import { Joining, type VectorPart } from './joining.ts';
import { type Datagram, EVERYBODY, Link, type Opened } from './link.ts';
import { type Member, Membership, type PeerChange } from './membership.ts';
import { type AnyRecord, isControl } from './messages.ts';
import type { ControlRecord } from './messages-control.ts';
import type { NodeEffect, NodeEvent, NodeOptions } from './node-events.ts';
import type { SessionRecord } from './records.ts';
import { Repairs } from './repairs.ts';
import { PROTOCOL_VERSION, Sealer, STREAM_BROADCAST, STREAM_HELLO, tagOf } from './seal.ts';

/** How long after the way out was full refreshes are put off. */
const PRESSED_MS = 100;

export class ClusterNode {
  readonly core: Core;
  readonly link: Link;
  readonly membership: Membership;
  readonly digests: Digests;
  readonly joining: Joining;
  readonly repairs: Repairs;
  readonly options: NodeOptions;
  effects: NodeEffect[] = [];
  hellos: Datagram[] = [];
  stopped = false;
  /** Until then what can wait is not sent. */
  pressedUntil = Number.NEGATIVE_INFINITY;
  /** 32 bits that heartbeats carry; a reload changes them. */
  configuration: number;
  believed = 0;
  unbelieved = 0;

  constructor(options: NodeOptions) {
    this.options = options;
    this.configuration = options.configuration;
    const { life, seed, settings, environment, store, peers } = options;
    const tag = tagOf(life.incarnation);
    this.core = new Core({ self: life.node, tag, seed, settings, environment, store, peers });
    const { context, entries, sweep } = this.core;
    context.now = options.now;
    this.link = new Link(life, new Sealer(options.clusterKeys, options.aead), options.mtuBytes, peers);
    this.membership = new Membership(context, life, options.membership, options.now);
    this.digests = new Digests(context, entries, options.digests);
    this.repairs = new Repairs(this.link, life, options.settings.tombstoneMs);
    this.joining = new Joining(context, this.membership, options.aloneAfterMs, options.now);
    sweep.visit = (entry) => this.digests.visit(entry);
    sweep.onPass = () => this.digests.pass();
    sweep.isShedding = () => context.now < this.pressedUntil || this.link.isBusy;
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
        this.joining.becomeReady(now);
        break;
      case 'pressed':
        this.pressedUntil = now + PRESSED_MS;
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
    return Math.min(this.core.deadline, this.membership.beatAt, this.repairs.askAt);
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
    this.repairs.askAt = Number.POSITIVE_INFINITY;
    for (const member of this.membership.members.values()) this.repairs.ask(member, now);
    const from = this.joining.step(now);
    if (from === 'alone') this.effects.push({ kind: 'alone' });
    else if (from !== undefined) this.effects.push({ kind: 'copy-request', from });
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
      configuration: this.configuration,
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
    const member = this.membership.members.get(sender.node)!;
    if (stream === STREAM_HELLO) this.helloHeard(member, opened, now);
    else if (member.incarnation !== sender.incarnation) {
      this.unbelieved++;
      this.sayHello(member, now);
    } else if (this.link.isNew(opened.header)) {
      if (stream === STREAM_BROADCAST && !member.stream.heard(opened.header.sequence, now)) {
        return this.link.refuseReplay(); // Repaired meanwhile, or older than this life: no sign that its sender lives.
      }
      this.believed++;
      for (const change of this.membership.heard(member, now)) this.changed(now, change);
      if (stream === STREAM_BROADCAST) this.repairs.missing(member, now);
      this.dispatch(member, opened.records, now);
    }
  }

  helloHeard(member: Member, opened: Opened, now: number): void {
    const { sender } = opened.header;
    const [record] = opened.records; // One, as it is sent: a datagram is worth one answer.
    if (record?.type === 'hello') {
      const ack = { type: 'hello-ack', echo: record.challenge, lastSequence: this.link.ring.last } as const;
      this.transmit(this.link.hello(sender.node, ack));
      if (member.incarnation !== sender.incarnation) this.sayHello(member, now);
    } else if (record?.type !== 'hello-ack') {
      this.link.counters.refusedRecords++;
    } else if (!this.membership.isOwnChallenge(member, record.echo)) {
      this.link.counters.refusedEcho++;
    } else {
      const renewed = member.incarnation !== sender.incarnation;
      const changes = this.membership.echoed(member, sender.incarnation, record.lastSequence, now);
      if (renewed) {
        this.link.forget(sender.node);
        this.joining.met(sender.node, now);
        if (this.core.context.ready) member.stream.require(0, now); // No copy tells what it said before it was believed.
      }
      for (const change of changes) this.changed(now, change);
      if (renewed) this.beat();
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
        this.repairs.missing(member, now);
        break;
      case 'repair-request':
        this.repairs.answer(node, record.sequences, now);
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

  repaired(member: Member, datagram: Buffer, heldMs: number, now: number): void {
    const records = this.repairs.open(member, datagram, now);
    if (records === undefined) this.link.counters.refusedRepair++;
    else this.records(member.peer.node, records, true, heldMs);
  }

  /** The core's effects: records are queued, the rest leaves after them. */
  pass(effects: readonly Effect[]): void {
    for (const effect of effects) {
      if (effect.kind === 'send') this.shed(this.link.unicast(effect.to, effect.record));
      else if (effect.kind === 'broadcast') this.shed(this.link.broadcast(effect.record));
      else this.effects.push(effect);
    }
  }

  shed(queued: boolean): void {
    if (!queued) this.core.context.count('updatesShed');
  }

  /** Seals what the steps since the last flush have to say: one turn, one flush, so that records of many sessions share datagrams. */
  flush(now: number): readonly Datagram[] {
    const sent: Datagram[] = this.hellos;
    this.hellos = [];
    for (const datagram of this.link.flush(now, (node) => this.membership.lifeOf(node))) {
      if (datagram.to !== EVERYBODY || this.options.multicast === true) sent.push(datagram);
      else
        for (const { peer } of this.membership.members.values())
          if (peer.up) sent.push({ to: peer.node, bytes: datagram.bytes });
    }
    return sent;
  }

  transmit(datagram: Datagram): void {
    this.hellos.push(datagram);
  }
}
