/**
 * Who is there, in which life, and who hears whom (PROTOCOL.md, incarnation of a dispatcher and rule 4).
 *
 * An incarnation is believed only after it echoed a random challenge of ours, so a recording of an earlier run is worth
 * nothing and the order of two lives needs no clock. A peer is up while it is heard; live when its heartbeats also say
 * that it hears this life of ours. Down after `deadAfterMs` of silence; known to be stopped when it says so, when a new
 * life is believed, or after `stoppedAfterMs`, which is meant to be longer than any partition that ends by itself.
 */

import { type Context, isLive, type Peer } from './context.ts';
import type { NodeId } from './identity.ts';
import type { HeartbeatRecord } from './messages-control.ts';
import { type Life, tagOf } from './seal.ts';
import { HeardStream } from './streams.ts';

export interface MembershipSettings {
  readonly heartbeatMs: number;
  readonly deadAfterMs: number;
  readonly stoppedAfterMs: number;
}

export const DEFAULT_MEMBERSHIP: MembershipSettings = {
  heartbeatMs: 100,
  deadAfterMs: 500,
  stoppedAfterMs: 60_000,
};

/** Least time between two hellos to one peer: what strangers send cannot make us talk more. */
const HELLO_EVERY_MS = 20;

export interface Member {
  readonly peer: Peer;
  /** Believed life; '' none. */
  incarnation: string;
  /** That life said goodbye: what of it comes later was under way. */
  left: boolean;
  challenge: Buffer | undefined;
  helloAt: number;
  heardAt: number;
  /** Since when it hears us and we hear it; and when its last heartbeat came. */
  liveSince: number;
  beatHeardAt: number;
  /** Whom it hears, as its last heartbeat says. */
  hears: readonly NodeId[];
  stream: HeardStream;
  configuration: number;
  version: number;
}

/** What membership tells the core: these are its events. */
export interface PeerChange {
  readonly kind: 'peer-up' | 'peer-down' | 'peer-stopped';
  readonly node: NodeId;
}

export class Membership {
  readonly members = new Map<NodeId, Member>();
  readonly context: Context;
  readonly settings: MembershipSettings;
  readonly self: Life;
  beatAt = 0;

  constructor(context: Context, self: Life, settings: MembershipSettings, now: number) {
    this.context = context;
    this.self = self;
    this.settings = settings;
    for (const peer of context.peers.values()) {
      this.members.set(peer.node, {
        peer,
        incarnation: '',
        left: false,
        challenge: undefined,
        helloAt: Number.NEGATIVE_INFINITY,
        heardAt: now,
        liveSince: now,
        beatHeardAt: Number.NEGATIVE_INFINITY,
        hears: [],
        stream: new HeardStream(peer.node),
        configuration: 0,
        version: 0,
      });
    }
  }

  lifeOf(node: NodeId): Life | undefined {
    const member = this.members.get(node);
    return member === undefined || member.incarnation === ''
      ? undefined
      : { node, incarnation: member.incarnation };
  }

  /** Whether it is time to challenge this peer (again); `random` makes 16 bytes. */
  challenge(member: Member, now: number, random: () => Buffer): Buffer | undefined {
    if (now - member.helloAt < HELLO_EVERY_MS) return undefined;
    member.helloAt = now;
    member.challenge ??= random();
    return member.challenge;
  }

  isOwnChallenge(member: Member, echo: Buffer): boolean {
    return member.challenge?.equals(echo) ?? false;
  }

  /**
   * Our challenge came back (`isOwnChallenge`): the life that echoed it is believed.
   * @param lastSequence of its broadcast stream when it answered: a recording of what it sent before is worth nothing
   * @returns changes
   */
  echoed(member: Member, incarnation: string, lastSequence: number, now: number): readonly PeerChange[] {
    member.challenge = undefined;
    if (member.incarnation === incarnation) return this.heard(member, now);
    const changes: PeerChange[] = [];
    const { peer } = member;
    if (member.incarnation !== '') {
      if (isLive(peer)) changes.push({ kind: 'peer-down', node: peer.node });
      changes.push({ kind: 'peer-stopped', node: peer.node });
    }
    member.incarnation = incarnation;
    member.left = false;
    member.hears = [];
    member.stream = new HeardStream(peer.node);
    member.stream.tail(lastSequence, now);
    peer.tag = tagOf(incarnation);
    peer.up = true;
    peer.hearsMe = false;
    peer.ready = false;
    peer.flooding = false;
    peer.flooded = false;
    peer.stopped = false;
    member.heardAt = now;
    return changes;
  }

  /** Anything authentic of the believed life came. */
  heard(member: Member, now: number): readonly PeerChange[] {
    if (member.left) return [];
    member.heardAt = now;
    const { peer } = member;
    peer.stopped = false;
    if (peer.up) return [];
    peer.up = true;
    member.liveSince = now;
    return isLive(peer) ? [{ kind: 'peer-up', node: peer.node }] : [];
  }

  heartbeat(member: Member, record: HeartbeatRecord, now: number): readonly PeerChange[] {
    const { peer } = member;
    if (member.left) return [];
    const tag = tagOf(this.self.incarnation);
    const hearsMe = record.hears.some((one) => one.node === this.self.node && one.tag === tag);
    const was = isLive(peer);
    peer.hearsMe = hearsMe;
    peer.ready = record.ready;
    peer.flooding = record.flooding;
    peer.flooded = record.flooded;
    member.configuration = record.configuration;
    member.version = record.version;
    member.beatHeardAt = now;
    member.hears = record.hears.map(({ node }) => node);
    const is = isLive(peer);
    if (was === is) return [];
    member.liveSince = now;
    return [{ kind: is ? 'peer-up' : 'peer-down', node: peer.node }];
  }

  /** It said that it stops. */
  left(member: Member): readonly PeerChange[] {
    const { peer } = member;
    const changes: PeerChange[] = [];
    if (isLive(peer)) changes.push({ kind: 'peer-down', node: peer.node });
    member.left = true;
    peer.up = false;
    peer.stopped = true;
    return [...changes, { kind: 'peer-stopped', node: peer.node }];
  }

  /** Who fell silent. */
  check(now: number): readonly PeerChange[] {
    const changes: PeerChange[] = [];
    for (const { peer, heardAt } of this.members.values()) {
      if (peer.up && now - heardAt >= this.settings.deadAfterMs) {
        if (isLive(peer)) changes.push({ kind: 'peer-down', node: peer.node });
        peer.up = false;
      }
      if (!peer.up && !peer.stopped && now - heardAt >= this.settings.stoppedAfterMs) {
        peer.stopped = true;
        changes.push({ kind: 'peer-stopped', node: peer.node });
      }
    }
    return changes;
  }

  /** Whom we hear, for our heartbeats. */
  hears(): { node: NodeId; tag: number }[] {
    const heard: { node: NodeId; tag: number }[] = [];
    for (const { peer } of this.members.values()) if (peer.up) heard.push({ node: peer.node, tag: peer.tag });
    return heard;
  }
}
