/**
 * A client's packet: flow entry, session entry, lock, then a lock of our own if it opens something (rules 7, 9 and 10 of PROTOCOL.md).
 *
 * No state of its own: it works on the parts of the core.
 */

import type { Context, Packet, ServicePolicy, Waiting } from './context.ts';
import type { Entries } from './entries.ts';
import {
  BIT_ESTABLISHED,
  BIT_TOMBSTONE,
  BOTH_FINS,
  type Entry,
  isEnded,
  NO_ISN,
  NO_SERVER,
} from './entry.ts';
import type { Flood } from './flood.ts';
import { NOBODY } from './identity.ts';
import type { Claim } from './lock-state.ts';
import type { Locks } from './locks.ts';
import type { OwnLocks } from './own-locks.ts';
import type { SessionKey } from './session-key.ts';
import type { UnknownFlows } from './unknown-flows.ts';
import type { WaitingRoom } from './waiting-room.ts';

export class Requests {
  readonly context: Context;
  readonly entries: Entries;
  readonly locks: Locks;
  readonly own: OwnLocks;
  readonly flood: Flood;
  readonly room: WaitingRoom;
  readonly unknown: UnknownFlows;

  constructor(parts: Pick<Requests, 'context' | 'entries' | 'locks' | 'own' | 'flood' | 'room' | 'unknown'>) {
    this.context = parts.context;
    this.entries = parts.entries;
    this.locks = parts.locks;
    this.own = parts.own;
    this.flood = parts.flood;
    this.room = parts.room;
    this.unknown = parts.unknown;
  }

  look(waiting: Waiting, flow: SessionKey, policy: ServicePolicy): void {
    const { packet } = waiting;
    const entry = this.context.store.find(flow);
    if (entry === undefined) {
      this.miss(waiting, flow, policy, NO_ISN);
      return;
    }
    const anew = packet.opens && !policy.udp && packet.isn !== entry.isn && packet.isn !== entry.previousIsn;
    if (anew) {
      if (this.isOver(entry)) this.miss(waiting, flow, policy, entry.isn);
      else this.forward(packet, this.entries.succeed(entry, packet.isn));
    } else if ((entry.bits & BIT_TOMBSTONE) !== 0 && !packet.opens) {
      this.miss(waiting, flow, policy, entry.isn);
    } else if (this.mayMove(packet, entry, policy) && this.isDown(entry)) {
      this.rebind(waiting, entry);
    } else this.forward(packet, entry);
  }

  isDown({ key, server }: Entry): boolean {
    return this.context.environment.isDown(key.service, server);
  }

  /** Whether the next connection of a flow finds its server anew. A reset may be forged: after one it stays, as long as its server takes new flows. */
  isOver(entry: Entry): boolean {
    if (!isEnded(entry)) return this.isDown(entry);
    const finished = (entry.bits & BIT_TOMBSTONE) !== 0 || (entry.bits & BOTH_FINS) === BOTH_FINS;
    return finished || !this.context.environment.accepts(entry.key.service, entry.server);
  }

  /** Whether a flow may leave a server that is down: by its service, or since it was never answered. */
  mayMove(packet: Packet, entry: Entry, policy: ServicePolicy): boolean {
    if (isEnded(entry)) return false;
    return policy.rebind || (packet.opens && !policy.udp && (entry.bits & BIT_ESTABLISHED) === 0);
  }

  forward(packet: Packet, entry: Entry): void {
    const { context } = this;
    context.effects.push({
      kind: 'forward',
      packet,
      server: entry.server,
      key: entry.key,
      stateless: false,
    });
    this.entries.touch(context.store.find(entry.key) ?? entry);
    // Packet rule 8: who tunnelled it did not know the entry.
    if (packet.from !== NOBODY) this.entries.sendTo(packet.from, entry, 'answer');
  }

  /**
   * Rule 10: the server is dead; a confirm lock names the generation that replaces this one. Where flows of a client stay
   * together its session moves first, and each flow follows it.
   */
  rebind(waiting: Waiting, entry: Entry): void {
    const { context } = this;
    const { session } = waiting.packet;
    const held = session === undefined ? undefined : context.store.find(session);
    if (
      session !== undefined &&
      held !== undefined &&
      context.environment.isDown(session.service, held.server)
    ) {
      this.lockFor(waiting, {
        key: session,
        isn: 0,
        previousIsn: NO_ISN,
        generation: held.generation + 1,
        proposal: NO_SERVER,
        confirm: true,
      });
      return;
    }
    this.lockFor(waiting, {
      key: entry.key,
      isn: entry.isn,
      previousIsn: entry.previousIsn,
      generation: entry.generation + 1,
      proposal: held?.server ?? NO_SERVER,
      confirm: true,
    });
  }

  /** No flow entry that counts. `ended` is the ISN of the incarnation that we know to be over (rule 7), or NO_ISN. */
  miss(waiting: Waiting, flow: SessionKey, policy: ServicePolicy, ended: number): void {
    const { packet } = waiting;
    const { session } = packet;
    if (!packet.opens) {
      this.unknown.look(waiting, flow);
      return;
    }
    if (session !== undefined && this.bySession(waiting, flow, session, policy, ended)) return;
    this.lockFor(waiting, {
      key: flow,
      isn: packet.isn,
      previousIsn: ended,
      generation: 0,
      proposal: NO_SERVER,
      // Packet rule 7: `auto` announces the first packet of a TCP flow, and confirms all else.
      confirm: ended !== NO_ISN || policy.lock === 'confirm' || (policy.lock === 'auto' && policy.udp),
    });
  }

  /** Rule 9: a session entry serves packets that open a flow. @returns false when the flow must find its own server. */
  bySession(
    waiting: Waiting,
    flow: SessionKey,
    session: SessionKey,
    policy: ServicePolicy,
    ended: number,
  ): boolean {
    const { context } = this;
    const { packet } = waiting;
    const entry = context.store.find(session);
    // Who granted a lock that moves the session must not open flows by where it was.
    const moves = this.locks.isContested(session);
    if (entry === undefined || moves || !context.environment.accepts(session.service, entry.server)) {
      this.lockFor(waiting, {
        key: session,
        isn: 0,
        previousIsn: NO_ISN,
        generation: entry === undefined ? 0 : entry.generation + 1,
        proposal: NO_SERVER,
        confirm: entry !== undefined || policy.lock !== 'announce',
      });
      return true;
    }
    if (this.entries.replyTaken(flow, entry.server)) return false;
    this.entries.touch(entry);
    const claim: Claim = {
      key: flow,
      isn: packet.isn,
      previousIsn: ended,
      generation: 0,
      proposal: entry.server,
      confirm: true,
    };
    // Flows that were opened just before a session moved are where it was: their updates may be under way.
    const moved = entry.generation > 0 && context.now - entry.openedAt < context.settings.leaseMs;
    if (ended !== NO_ISN || moved || this.locks.isContested(flow)) {
      this.lockFor(waiting, claim);
      return true;
    }
    const made = this.entries.create(claim, entry.server, 0);
    if (made === undefined) context.drop(packet, 'table-full');
    else {
      this.entries.onAppeared(made);
      this.forward(packet, made);
    }
    return true;
  }

  /** Under the lock of the claim's key, or under one of our own. */
  lockFor(waiting: Waiting, claim: Claim): void {
    const lock = this.locks.valid(claim.key);
    if (lock?.kind === 'own') this.room.admit(lock.queue, waiting);
    else if (lock?.kind === 'foreign') this.locks.meet(lock, waiting);
    else {
      const flow = waiting.packet.flow!;
      const server = this.byHash(claim, flow);
      if (server === NO_SERVER) this.own.place(claim, waiting);
      else this.unknown.stateless(waiting.packet, flow, server);
    }
  }

  /**
   * The server of a new session in a flood, or NO_SERVER where it needs a lock all the same: an ended incarnation is held, whose entry would
   * catch what follows this SYN; somebody may have chosen for it; that server could not tell it from another flow (rule 18); or its replies
   * could be another flow's, as where two services share a server.
   */
  byHash(claim: Claim, flow: SessionKey): number {
    if (claim.generation > 0 || claim.previousIsn !== NO_ISN || !this.flood.admitNew(claim.key))
      return NO_SERVER;
    if (this.locks.isContested(claim.key)) return NO_SERVER;
    const { environment } = this.context;
    const server = environment.hashSelect(claim.key);
    if (server === NO_SERVER || this.entries.replyTaken(flow, server)) return NO_SERVER;
    const reply = environment.replyKey(flow, server);
    const isTold = reply === undefined || environment.guessReply(reply)?.key.text === flow.text;
    return isTold ? server : NO_SERVER;
  }
}
