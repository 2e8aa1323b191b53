/**
 * What a client lock is, own or learnt, and what is remembered of those that were voided.
 *
 * An own lock is one or more attempts (PROTOCOL.md, words): each has its number, the server it intends, and the set
 * that must still answer. A learnt lock binds this dispatcher to its holder until its lease ends, counted from the first
 * receipt of the attempt (rule 2). `Remembered` is rule 1: the servers that voided locks may have used.
 */

import type { Waiting } from './context.ts';
import { isLater, type NodeId } from './identity.ts';
import type { LockRecord, Report } from './records.ts';
import type { SessionKey } from './session-key.ts';

/** What a lock is placed for. */
export interface Claim {
  readonly key: SessionKey;
  readonly isn: number;
  /** The incarnation whose end is known here, or NO_ISN. */
  readonly previousIsn: number;
  /** The generation to be made; 0 unless it rebinds (rule 10). */
  readonly generation: number;
  /** A server to take if it can be taken, or NO_SERVER. */
  readonly proposal: number;
  readonly confirm: boolean;
}

export interface OwnLock {
  readonly kind: 'own';
  readonly claim: Claim;
  attempt: number;
  server: number;
  readonly placedAt: number;
  readonly leaseEnd: number;
  giveUpAt: number;
  repeatAt: number;
  /** Who was asked in this attempt, and who has not answered yet (rule 3). */
  readonly asked: Set<NodeId>;
  readonly pending: Set<NodeId>;
  /** Who granted this attempt, with the incarnation that did. */
  readonly granted: Map<NodeId, number>;
  /** What each granter reported. */
  reports: (readonly Report[])[];
  /** The largest server that was adopted from a report: makes adoption end. */
  adopted: number;
  /** Attempts after the first. */
  retries: number;
  readonly queue: Waiting[];
}

export interface ForeignLock {
  readonly kind: 'foreign';
  readonly holder: NodeId;
  readonly tag: number;
  record: LockRecord;
  leaseEnd: number;
  readonly queue: Waiting[];
}

export type Lock = OwnLock | ForeignLock;

/** Reports kept for one key: one holder more than the races that were found need. */
const REPORTS_PER_KEY = 3;
/** Keys of which intentions are remembered: five times what a dispatcher that dies at 50,000 sessions a second leaves in a lease of 250 ms. */
export const MAX_REMEMBERED = 65_536;
/** Attempts of one lock after the first: more than reports can honestly cause. */
export const MAX_RETRIES = 64;
/** Grants of one attempt whose reports are looked at: one repeated every 1.5 ms for a lease, and as many again. */
export const MAX_GRANT_REPORTS = 256;
/** Reports that the answers to one lock or question may bring: eight of each of eight dispatchers. */
const MAX_HEARD_REPORTS = 64;

/** Both, each report once; what goes beyond the limit is left out. */
export function addReports(held: readonly Report[], more: readonly Report[]): Report[] {
  const all = [...held];
  for (const one of more) {
    const known = all.some(
      ({ server, holder, tag }) => server === one.server && holder === one.holder && tag === one.tag,
    );
    if (!known && all.length < MAX_HEARD_REPORTS) all.push(one);
  }
  return all;
}

export interface RememberedReport extends Report {
  readonly until: number;
  /** Its lock gave way to a better one while it was valid. */
  readonly replaced: boolean;
  /** The generation that it was to make. */
  readonly generation: number;
  readonly attempt: number;
}

/**
 * Intentions of voided locks by key text; keys oldest first, so forgetting is a walk from the front.
 *
 * Of one key the likeliest to have been used stands last. A lock that gave way to a better one comes before that one, whose holder it has granted if
 * that has selected. After one that was voided nothing counts more: whoever locked later was granted with a report of it.
 */
export class Remembered {
  readonly byKey = new Map<string, readonly RememberedReport[]>();

  /** @returns whether the oldest had to make room. */
  add(text: string, report: Omit<RememberedReport, 'until'>, until: number): boolean {
    const others = (this.byKey.get(text) ?? []).filter(
      (one) => one.holder !== report.holder || one.tag !== report.tag,
    );
    const voided = others.findIndex((one) => !one.replaced);
    const at = voided < 0 ? others.length : voided;
    this.byKey.delete(text);
    this.byKey.set(
      text,
      [...others.slice(0, at), { ...report, until }, ...others.slice(at)].slice(-REPORTS_PER_KEY),
    );
    if (this.byKey.size <= MAX_REMEMBERED) return false;
    for (const oldest of this.byKey.keys()) {
      this.byKey.delete(oldest);
      break;
    }
    return true;
  }

  of(text: string, now: number): readonly Report[] {
    const all = this.byKey.get(text);
    return all === undefined ? NO_REPORTS : all.filter((one) => one.until > now).map(plain);
  }

  /** Drops the report of one holder, whose lock is now known to have ended without a server; not that of a later attempt. */
  withdraw(text: string, holder: NodeId, tag: number, attempt: number): void {
    const left = (this.byKey.get(text) ?? []).filter(
      (one) => one.holder !== holder || one.tag !== tag || isLater(one.attempt, attempt),
    );
    if (left.length === 0) this.byKey.delete(text);
    else this.byKey.set(text, left);
  }

  /** An entry stands: intentions of its generation and older ones are over. */
  forget(text: string, generation: number): void {
    const all = this.byKey.get(text);
    if (all === undefined) return;
    const left = all.filter((one) => one.generation > generation);
    if (left.length === 0) this.byKey.delete(text);
    else this.byKey.set(text, left);
  }

  /** Forgets what is over, up to `count` keys. */
  expire(now: number, count: number): void {
    let left = count;
    for (const [text, reports] of this.byKey) {
      if (left-- <= 0 || reports.some((one) => one.until > now)) return;
      this.byKey.delete(text);
    }
  }
}

const NO_REPORTS: readonly Report[] = [];

function plain(one: RememberedReport): Report {
  return { server: one.server, holder: one.holder, tag: one.tag };
}

/** The record that announces an own lock; the lease is what is left of it. */
export function lockRecord(lock: OwnLock, now: number): LockRecord {
  const { claim } = lock;
  return {
    type: 'lock',
    key: claim.key,
    attempt: lock.attempt,
    isn: claim.isn,
    previousIsn: claim.previousIsn,
    generation: claim.generation,
    server: lock.server,
    leaseMs: lock.leaseEnd - now,
    confirm: claim.confirm,
  };
}
