/**
 * Which server an own lock opens: the wanted one, one that somebody may have used before (rule 1 of PROTOCOL.md), in a flood the
 * hash's, or the scheduler's. No state of its own.
 */

import type { Context, Waiting } from './context.ts';
import type { Entries } from './entries.ts';
import { NO_SERVER } from './entry.ts';
import type { Flood } from './flood.ts';
import { type Claim, MAX_RETRIES, type OwnLock } from './lock-state.ts';
import type { Locks } from './locks.ts';
import type { Report } from './records.ts';
import { KIND_FLOW } from './session-key.ts';

export class ServerChoice {
  readonly context: Context;
  readonly locks: Locks;
  readonly entries: Entries;
  readonly flood: Flood;

  constructor(context: Context, locks: Locks, entries: Entries, flood: Flood) {
    this.context = context;
    this.locks = locks;
    this.entries = entries;
    this.flood = flood;
  }

  /** A server for a claim: the wanted one, one that a voided lock intended (rule 1), in a flood the hash's, or the scheduler's. */
  choose(claim: Claim, wanted: number, waiting: Waiting | undefined): number {
    const { context } = this;
    const usable = (server: number): boolean =>
      server !== NO_SERVER &&
      !context.environment.isDown(claim.key.service, server) &&
      !this.entries.replyTaken(claim.key, server);
    if (usable(wanted)) return wanted;
    const remembered = this.locks.remembered.of(claim.key.text, context.now);
    const last = remembered[remembered.length - 1];
    if (last !== undefined && usable(last.server)) return last.server;
    const hashed = claim.generation === 0 ? this.flood.choice(claim.key) : NO_SERVER;
    if (usable(hashed)) return hashed;
    return context.environment.select(claim.key, waiting?.packet, (server) =>
      this.entries.replyTaken(claim.key, server),
    );
  }

  /** Rule 1: a reported server that somebody may have used: of each who reports the likeliest, of several of those the largest. */
  toAdopt(lock: OwnLock): number {
    const { context } = this;
    if (lock.retries >= MAX_RETRIES) return NO_SERVER;
    const own = this.locks.remembered.of(lock.claim.key.text, context.now);
    let best = NO_SERVER;
    for (const reports of [...lock.reports, own]) {
      const left = reports.filter((one) => !this.isDisproved(lock, one));
      const likeliest = left[left.length - 1];
      if (likeliest === undefined) continue;
      const { server } = likeliest;
      if (server === lock.server) return NO_SERVER;
      if (server <= lock.adopted || server <= best) continue;
      if (!context.environment.isDown(lock.claim.key.service, server)) best = server;
    }
    return best;
  }

  /**
   * A grant of the very incarnation that a report names disproves it: had that selected, it would have answered with the entry. We know what we
   * did ourselves, in this life.
   */
  isDisproved(lock: OwnLock, report: Report): boolean {
    const { self, tag } = this.context;
    if (report.holder === self) return report.tag === tag;
    return lock.granted.get(report.holder) === report.tag;
  }
}

/** Whether the server of a claim for a new flow is that of its client's session. */
export function followsSession(claim: Claim, first: Waiting | undefined): boolean {
  const opens = first?.packet.opens === true && first.packet.session !== undefined;
  return opens && claim.key.kind === KIND_FLOW && claim.generation === 0 && claim.proposal !== NO_SERVER;
}
