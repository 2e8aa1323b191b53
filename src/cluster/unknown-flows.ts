/**
 * Packets that open nothing and hit nothing (packet rule 6 of PROTOCOL.md), and what is forwarded by hash alone (flood).
 *
 * First under a lock, if there is one; else a question to all; and only when all have said no does the service's policy decide. No state of
 * its own: it works on the parts of the core.
 */

import type { Context, Packet, Waiting } from './context.ts';
import { NO_ISN, NO_SERVER } from './entry.ts';
import type { Flood } from './flood.ts';
import type { Locks } from './locks.ts';
import type { OwnLocks } from './own-locks.ts';
import type { Questions } from './questions.ts';
import type { Report } from './records.ts';
import type { SessionKey } from './session-key.ts';
import type { WaitingRoom } from './waiting-room.ts';

export class UnknownFlows {
  readonly context: Context;
  readonly locks: Locks;
  readonly own: OwnLocks;
  readonly questions: Questions;
  readonly flood: Flood;
  readonly room: WaitingRoom;

  constructor(parts: Pick<UnknownFlows, 'context' | 'locks' | 'own' | 'questions' | 'flood' | 'room'>) {
    this.context = parts.context;
    this.locks = parts.locks;
    this.own = parts.own;
    this.questions = parts.questions;
    this.flood = parts.flood;
    this.room = parts.room;
  }

  /** Opens nothing and hits nothing: to the holder of a lock, or a question (packet rule 6). */
  look(waiting: Waiting, flow: SessionKey): void {
    const lock = this.locks.valid(flow);
    if (lock?.kind === 'own') this.room.admit(lock.queue, waiting);
    else if (lock?.kind === 'foreign') this.locks.meet(lock, waiting);
    else if (!this.questions.ask(flow, waiting)) {
      if (this.flood.anywhere) this.byHash(waiting, flow, false, true);
      else this.context.drop(waiting.packet, 'question-limit');
    }
  }

  /** Everybody said no. */
  denied(waiting: Waiting, reports: readonly Report[], toldOfFlood: boolean): void {
    const { context } = this;
    const { packet } = waiting;
    const { flow } = packet;
    if (flow === undefined) {
      context.drop(packet, 'reply-unknown');
      return;
    }
    const last = reports[reports.length - 1] ?? this.locks.remembered.of(flow.text, context.now)[0];
    if (last !== undefined) {
      // Rule 1: a voided lock may have used this server; if it did not, the server answers the packet with a reset.
      this.lockUnknown(waiting, flow, last.server);
      return;
    }
    const policy = context.environment.service(flow.service)?.unknown ?? 'drop';
    const flooded = toldOfFlood || this.flood.anywhere;
    if (flooded || policy === 'hash') this.byHash(waiting, flow, true, flooded);
    else if (policy === 'reset') context.effects.push({ kind: 'reset', packet });
    else context.drop(packet, 'unknown-flow');
  }

  /** @param flooded the hash chose once already, and it knew of no session then; the session's server serves if that one died. */
  byHash(waiting: Waiting, flow: SessionKey, settled: boolean, flooded: boolean): void {
    const { context } = this;
    const { environment } = context;
    const { session } = waiting.packet;
    const held = session === undefined ? undefined : context.store.find(session)?.server;
    const hashed = environment.hashSelect(session ?? flow);
    const server =
      held === undefined || (flooded && !environment.isDown(flow.service, hashed)) ? hashed : held;
    if (server === NO_SERVER) context.drop(waiting.packet, 'no-server');
    // A flow that shows life gets its entry, as far as the rate of new ones allows.
    else if (settled && waiting.packet.life && !this.flood.admitNew(session ?? flow))
      this.lockUnknown(waiting, flow, server);
    else this.stateless(waiting.packet, flow, server);
  }

  lockUnknown(waiting: Waiting, flow: SessionKey, proposal: number): void {
    const old = this.context.store.find(flow);
    const lock = this.locks.valid(flow);
    if (lock?.kind === 'own') this.room.admit(lock.queue, waiting);
    else if (lock?.kind === 'foreign') this.locks.meet(lock, waiting);
    else {
      const isn = waiting.packet.isn;
      const previousIsn = old !== undefined && old.isn !== isn ? old.isn : NO_ISN;
      this.own.place({ key: flow, isn, previousIsn, generation: 0, proposal, confirm: true }, waiting);
    }
  }

  stateless(packet: Packet, key: SessionKey, server: number): void {
    this.context.count('stateless');
    this.context.effects.push({ kind: 'forward', packet, server, key, stateless: true });
  }
}
