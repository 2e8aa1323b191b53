/**
 * From start to ready (rules 16 and 17 of PROTOCOL.md).
 *
 *   waiting -> copying -> catching up -> ready          waiting -> first -> ready, when nobody is
 *
 * The copy of a table carries the vector of streams that it includes; the joiner is ready when it has each live sender's
 * stream from there on. Gaps that cannot be filled any more mean another copy. If no ready dispatcher is heard for
 * `aloneAfterMs`, the best-ranked of those present is ready with what it has, and the others copy from it. One that is
 * ready and fell behind a sender copies that one's table, and stays ready meanwhile.
 */

import { type Context, isLive, type Peer } from './context.ts';
import { NOBODY, type NodeId, outranks } from './identity.ts';
import type { Membership } from './membership.ts';

export interface VectorPart {
  readonly node: NodeId;
  readonly tag: number;
  /** All up to here is in the copy. */
  readonly sequence: number;
}

export type JoinState =
  | { readonly kind: 'waiting' }
  | { readonly kind: 'copying'; readonly from: NodeId; readonly since: number }
  | {
      readonly kind: 'catching-up';
      readonly since: number;
      readonly vector: readonly VectorPart[];
      readonly targets: readonly VectorPart[] | undefined;
    }
  /** The driver loads what it saved. */
  | { readonly kind: 'first' }
  | { readonly kind: 'ready' };

/** All dispatchers rank themselves by this hash when nobody is ready. */
const FIRST_READY = 0x6c617463;
const COPY_EVERY_MS = 100;
/** Between two copies to one that is ready and fell behind. */
const COPY_AGAIN_MS = 10_000;
/** For clocks that run apart. */
const LEASE_MARGIN = 1.1;
/** A source that says nothing for so long is given up. */
const COPY_SILENCE_MS = 5_000;

export class Joining {
  state: JoinState = { kind: 'waiting' };
  aloneSince: number;
  progressAt = 0;
  /** The next copy may be asked for then, and whom the last one was asked of. */
  copyAt = 0;
  source: NodeId = NOBODY;
  behindTo = 0;
  /** Ready, and a copy is on its way all the same. */
  isRefreshing = false;
  copies = 0;
  readonly tried = new Set<NodeId>();
  /** Whose lives have put off the wait for a ready dispatcher: each does so once, or one that dies again and again would keep all waiting. */
  readonly waitedFor = new Set<NodeId>();
  readonly context: Context;
  readonly membership: Membership;
  readonly aloneAfterMs: number;

  constructor(context: Context, membership: Membership, aloneAfterMs: number, now: number) {
    this.context = context;
    this.membership = membership;
    this.aloneAfterMs = aloneAfterMs;
    this.aloneSince = now;
  }

  /** @returns whom to ask for a copy, when that changed. Sets `context.ready` in the end. */
  step(now: number): NodeId | 'alone' | undefined {
    switch (this.state.kind) {
      case 'first':
        return undefined;
      case 'ready':
        return this.again(now);
      case 'waiting':
        return this.wait(now);
      case 'copying': {
        const source = this.context.peers.get(this.state.from);
        const dead = source === undefined || !isLive(source) || !source.ready;
        if (!dead && now - Math.max(this.progressAt, this.state.since) < COPY_SILENCE_MS) return undefined;
        this.failed(now);
        return this.wait(now);
      }
      case 'catching-up':
        this.catchUp(now, this.state);
        return undefined;
    }
  }

  wait(now: number): NodeId | 'alone' | undefined {
    const { context } = this;
    const ready: NodeId[] = [];
    let best = context.self;
    for (const peer of context.peers.values()) {
      // One that is ready and does not hear us yet is a reason to wait, not one to copy from.
      if (peer.up && peer.ready) this.aloneSince = now;
      if (!isLive(peer)) continue;
      if (peer.ready) ready.push(peer.node);
      if (outranks(context.seed, FIRST_READY, peer.node, best)) best = peer.node;
    }
    if (ready.length > 0) {
      if (now < this.copyAt) return undefined;
      this.copyAt = now + COPY_EVERY_MS;
      const fresh = ready.filter((node) => !this.tried.has(node));
      if (fresh.length === 0) this.tried.clear();
      const from = (fresh.length > 0 ? fresh : ready).reduce((a, b) =>
        outranks(context.seed, context.self, a, b) ? a : b,
      );
      this.state = { kind: 'copying', from, since: now };
      this.source = from;
      this.copies++;
      return from;
    }
    if (now - this.aloneSince < this.aloneAfterMs || best !== context.self) return undefined;
    this.state = { kind: 'first' };
    return 'alone';
  }

  /** Ready, but what a live sender said is lost for good: its whole table says more than digests do, and sooner. */
  again(now: number): NodeId | undefined {
    if (this.isRefreshing || now < this.copyAt) return undefined;
    for (const { peer, stream } of this.membership.members.values()) {
      if (stream.behindTo === 0 || !isLive(peer) || !peer.ready) continue;
      this.behindTo = stream.refresh();
      this.isRefreshing = true;
      this.source = peer.node;
      this.copies++;
      return peer.node;
    }
    return undefined;
  }

  /** A life was believed: it has not said yet whether it is ready, so the wait begins anew. */
  met(node: NodeId, now: number): void {
    if (this.waitedFor.has(node)) return;
    this.waitedFor.add(node);
    this.aloneSince = now;
  }

  /** The copy could not be had from this source. */
  failed(now: number): void {
    if (this.state.kind === 'copying') this.tried.add(this.state.from);
    if (this.state.kind === 'ready') {
      this.refreshed(now, false);
      return;
    }
    this.state = { kind: 'waiting' };
    this.aloneSince = now;
  }

  /** A copy to one that is ready ended: the next one must not follow at once, for who falls behind has much to do. */
  refreshed(now: number, came: boolean): void {
    if (this.isRefreshing) this.membership.members.get(this.source)?.stream.refreshed(came, this.behindTo);
    this.isRefreshing = false;
    this.copyAt = now + COPY_AGAIN_MS;
  }

  /** The copy is complete. */
  copied(now: number, vector: readonly VectorPart[]): void {
    if (this.state.kind === 'ready') this.refreshed(now, true);
    if (this.state.kind !== 'copying') return;
    for (const { peer, stream } of this.membership.members.values()) stream.copied(sequenceIn(vector, peer));
    this.state = { kind: 'catching-up', since: now, vector, targets: undefined };
    this.catchUp(now, this.state);
  }

  /**
   * One that a ready dispatcher hears takes part in locks, though we have not met it yet: what it says counts too. If it cannot hear us at all we go on
   * without it, after the time that anybody waits who hears of nobody.
   */
  isUnmet(now: number, since: number): boolean {
    if (now - since >= this.aloneAfterMs) return false;
    const { members } = this.membership;
    for (const { peer, hears } of members.values()) {
      if (!isLive(peer) || !peer.ready) continue;
      for (const node of hears) {
        const other = members.get(node);
        if (other !== undefined && !isLive(other.peer)) return true;
      }
    }
    return false;
  }

  /**
   * Locks that were placed before their holders knew that we hear them were not asked of us, and end within a lease. So
   * the tail that counts is what each live sender reports a lease after both directions work.
   */
  tails(now: number, vector: readonly VectorPart[]): readonly VectorPart[] | undefined {
    const live = [...this.membership.members.values()].filter((member) => isLive(member.peer));
    const lease = this.context.settings.leaseMs * LEASE_MARGIN;
    const settled = live.reduce((latest, member) => Math.max(latest, member.liveSince + lease), 0);
    if (now < settled || live.some((member) => member.beatHeardAt < settled)) return undefined;
    for (const { peer, stream } of live) {
      stream.require(sequenceIn(vector, peer), now);
    }
    return live.map(({ peer, stream }) => ({ node: peer.node, tag: peer.tag, sequence: stream.next }));
  }

  catchUp(now: number, state: Extract<JoinState, { readonly kind: 'catching-up' }>): void {
    const { vector, since } = state;
    for (const { peer, stream } of this.membership.members.values()) {
      if (!isLive(peer) || stream.behindTo === 0) continue;
      // Its source may have lost the same: the next copy is another's, or of whose stream it is.
      this.tried.add(this.source);
      this.state = { kind: 'waiting' };
      this.aloneSince = now;
      return;
    }
    if (state.targets === undefined && this.isUnmet(now, since)) return;
    const targets = state.targets ?? this.tails(now, vector);
    if (targets === undefined) return;
    this.state = { kind: 'catching-up', since, vector, targets };
    for (const target of targets) {
      const member = this.membership.members.get(target.node);
      if (member === undefined || member.peer.tag !== target.tag || !isLive(member.peer)) continue;
      if (member.stream.lacks(target.sequence)) return;
    }
    this.becomeReady(now, vector);
  }

  /** From now on everything counts that anybody says, also of those who do not hear us yet. */
  becomeReady(now: number, vector: readonly VectorPart[] = []): void {
    for (const { peer, incarnation, stream } of this.membership.members.values()) {
      if (incarnation !== '') stream.require(sequenceIn(vector, peer), now);
    }
    this.state = { kind: 'ready' };
    this.waitedFor.clear();
    this.context.ready = true;
  }
}

/** What a copy includes of a dispatcher's stream in its present life. */
function sequenceIn(vector: readonly VectorPart[], peer: Peer): number {
  return vector.find((one) => one.node === peer.node && one.tag === peer.tag)?.sequence ?? 0;
}
