/**
 * Rates, and the state of flood (PROTOCOL.md, what must hold): above a rate of new sessions nothing is inserted or broadcast.
 *
 * A rate is a token bucket of a fifth of a second. A flood ends by itself a second after the bucket was last found
 * empty. That somebody, here or elsewhere, is or was in flood is remembered: misses are then hashed, not reset, and who
 * selects a server selects by hash, so that a SYN that went by hash and its repeat that opens an entry meet one server.
 */

import type { Context } from './context.ts';
import { NO_SERVER } from './entry.ts';
import type { SessionKey } from './session-key.ts';

const BURST_SECONDS = 0.2;
const FLOOD_HOLD_MS = 1_000;
/** Within which a session counts once, and bits to remember those that were counted by: a million, 128 KiB while there is a flood. */
const SEEN_MS = 1_000;
const SEEN_BITS = 2 ** 20;

export class Rate {
  readonly perSecond: number;
  tokens: number;
  takenAt = Number.NEGATIVE_INFINITY;

  constructor(perSecond: number) {
    this.perSecond = perSecond;
    this.tokens = Math.max(1, perSecond * BURST_SECONDS);
  }

  /** Takes one token, or none if there is none. */
  take(now: number): boolean {
    const full = Math.max(1, this.perSecond * BURST_SECONDS);
    if (now > this.takenAt) {
      const gained =
        this.takenAt === Number.NEGATIVE_INFINITY ? full : ((now - this.takenAt) * this.perSecond) / 1_000;
      this.tokens = Math.min(full, this.tokens + gained);
      this.takenAt = now;
    }
    if (this.tokens < 1) return false;
    this.tokens--;
    return true;
  }
}

export class Flood {
  rate: Rate;
  readonly context: Context;
  until = Number.NEGATIVE_INFINITY;
  /** Sessions of this second, by hash; made with the first flood. */
  seen: Uint32Array | undefined;
  seenUntil = Number.NEGATIVE_INFINITY;
  lastAnywhere = Number.NEGATIVE_INFINITY;

  constructor(context: Context) {
    this.context = context;
    this.rate = new Rate(context.settings.newSessionsPerSecond);
  }

  /** From now on a flood is more than this. One that is under way ends, or goes on, by the new rate. */
  limit(newSessionsPerSecond: number): void {
    if (newSessionsPerSecond !== this.rate.perSecond) this.rate = new Rate(newSessionsPerSecond);
  }

  /** Counts a new session. @returns whether it must stay without a trace. */
  admitNew(key: SessionKey): boolean {
    const { now } = this.context;
    // One without an entry comes with each of its packets, and would keep the flood up that it has no entry for.
    if (this.here && this.isCounted(key, now)) return true;
    if (!this.rate.take(now)) this.until = now + FLOOD_HOLD_MS;
    return this.here;
  }

  /** Whether a session was counted in this second already; from now on it was. */
  isCounted(key: SessionKey, now: number): boolean {
    this.seen ??= new Uint32Array(SEEN_BITS / 32);
    if (now >= this.seenUntil) {
      this.seen.fill(0);
      this.seenUntil = now + SEEN_MS;
    }
    const at = key.hash(this.context.seed) % SEEN_BITS;
    const bit = 1 << (at % 32);
    const counted = (this.seen[at >>> 5]! & bit) !== 0;
    this.seen[at >>> 5]! |= bit;
    return counted;
  }

  /** Whether this dispatcher is in flood; it says so in its heartbeats. */
  get here(): boolean {
    return this.context.now < this.until;
  }

  /** Whether any dispatcher is or was a while ago, as far as this one saw: what it says in its heartbeats. */
  get remembered(): boolean {
    const { context } = this;
    let flooding = this.here;
    for (const peer of context.peers.values()) flooding ||= peer.flooding && peer.up;
    if (flooding) this.lastAnywhere = context.now;
    return context.now - this.lastAnywhere <= context.settings.floodMemoryMs;
  }

  /** What the hash chooses, or has chosen, for a key without an entry while a flood is remembered; else NO_SERVER. */
  choice(key: SessionKey): number {
    return this.anywhere ? this.context.environment.hashSelect(key) : NO_SERVER;
  }

  /** The same, as far as anybody remembers: one that joined after the flood takes the others' word. */
  get anywhere(): boolean {
    if (this.remembered) return true;
    for (const peer of this.context.peers.values()) if (peer.flooded && peer.up) return true;
    return false;
  }
}
