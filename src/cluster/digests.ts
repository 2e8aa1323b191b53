/**
 * Comparison of tables by ranges of keys, and repair of what slipped through (rules 13 and 14 of PROTOCOL.md).
 *
 * Each pass of the sweep sums the live entries of each range: key, incarnation, server, generation. Left out are the very
 * young, whose update may be under way, and those near their end. A range that differs from a peer's in two digests in a
 * row is sent to it, entry by entry, on the next pass; joins do the rest, and tombstones answer with a close.
 */

import type { Context } from './context.ts';
import type { Entries } from './entries.ts';
import { type Entry, isEnded } from './entry.ts';
import { mix, type NodeId } from './identity.ts';
import { DIGEST_RANGES } from './messages-control.ts';

export interface DigestSettings {
  readonly periodMs: number;
  readonly youngMs: number;
  /** Ranges repaired toward one peer in one pass. */
  readonly rangesPerPass: number;
}

export const DEFAULT_DIGESTS: DigestSettings = { periodMs: 5_000, youngMs: 1_000, rangesPerPass: 4 };

/** The part of an entry's time-out after which it is near its end. */
const NEAR_END = 0.75;

export class Digests {
  readonly context: Context;
  readonly entries: Entries;
  readonly settings: DigestSettings;
  /** Sums of the last whole pass; undefined before the first. */
  ranges: Uint32Array | undefined;
  building: Uint32Array = new Uint32Array(DIGEST_RANGES);
  sendAt = 0;
  /** Ranges that differed last time, and those to send now, by peer. */
  readonly suspects = new Map<NodeId, Set<number>>();
  readonly jobs = new Map<NodeId, Set<number>>();
  /** Where the next repair toward a peer begins: under traffic most ranges differ, and each has its turn. */
  readonly turns = new Map<NodeId, number>();
  repairsSent = 0;

  constructor(context: Context, entries: Entries, settings: DigestSettings) {
    this.context = context;
    this.entries = entries;
    this.settings = settings;
  }

  /** One live entry on the sweep's way. */
  visit(entry: Entry): void {
    const { now, seed } = this.context;
    if (isEnded(entry)) return;
    const hash = entry.key.hash(seed);
    const range = hash % DIGEST_RANGES;
    for (const [node, ranges] of this.jobs) {
      if (!ranges.has(range)) continue;
      this.repairsSent++;
      this.entries.sendTo(node, entry, 'repair');
    }
    if (now - entry.openedAt < this.settings.youngMs) return;
    if (now - entry.lastSeen > this.entries.limit(entry, entry.sharedBits) * NEAR_END) return;
    const sum = mix(mix(mix(hash, entry.isn), entry.server), entry.generation);
    this.building[range] = (this.building[range]! + sum) >>> 0;
  }

  /** A pass ended. */
  pass(): void {
    this.ranges = this.building;
    this.building = new Uint32Array(DIGEST_RANGES);
    this.jobs.clear();
    for (const [node, ranges] of this.wanted) this.jobs.set(node, ranges);
    this.wanted.clear();
  }

  /** Repairs that begin with the next pass, for a pass must be whole. */
  readonly wanted = new Map<NodeId, Set<number>>();

  /** Digests to send now, if it is time. */
  due(): Uint32Array | undefined {
    const { now } = this.context;
    if (now < this.sendAt) return undefined;
    this.sendAt = now + this.settings.periodMs;
    return this.ranges;
  }

  heard(from: NodeId, theirs: Uint32Array): void {
    const mine = this.ranges;
    if (mine === undefined) return;
    const before = this.suspects.get(from) ?? new Set<number>();
    const now = new Set<number>();
    const repair = new Set<number>();
    const first = this.turns.get(from) ?? 0;
    for (let step = 0; step < DIGEST_RANGES; step++) {
      const range = (first + step) % DIGEST_RANGES;
      if (mine[range] === theirs[range]) continue;
      now.add(range);
      if (!before.has(range) || repair.size >= this.settings.rangesPerPass) continue;
      repair.add(range);
      this.turns.set(from, range + 1);
    }
    this.suspects.set(from, now);
    if (repair.size > 0) this.wanted.set(from, repair);
  }
}
