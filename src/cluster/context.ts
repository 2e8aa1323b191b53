/**
 * What the parts of the session core share: facts about packets, what enters from outside, what goes out.
 *
 * The core is one state machine in several files (core.ts joins them). Time enters as `now` at each step, randomness and
 * the choice of a server through `Environment`; all that leaves is a list of effects, in the order in which they must
 * happen (an update stands before the first packet that it is about: packet rule 4).
 */

import type { EntryTimeouts } from './entry.ts';
import type { ClusterSeed, NodeId } from './identity.ts';
import type { EntryRecord, LockRecord, SessionRecord, UnlockRecord } from './records.ts';
import type { ReplyKey, SessionKey } from './session-key.ts';
import type { EntryStore } from './store.ts';

/** A packet is a handle and its facts; its bytes never enter the core. */
export interface Packet {
  /** The caller's name for it. */
  readonly handle: number;
  readonly bytes: number;
  /** Flow key; for a reply that hit nothing, its `reply` tuple counts and this is undefined. */
  readonly flow: SessionKey | undefined;
  /** Session key, where the service's affinity is the client. */
  readonly session: SessionKey | undefined;
  /** Reply tuple of a packet from a server. Direction decides what a packet is, not its flags (rule 19). */
  readonly reply: ReplyKey | undefined;
  /** From a client, and a SYN without ACK, or any UDP datagram. */
  readonly opens: boolean;
  /** The client's initial sequence number if `opens` and TCP, else 0. */
  readonly isn: number;
  /** From a client and shows that somebody lives there: TCP without SYN. */
  readonly life: boolean;
  /** How often it was tunnelled so far. */
  readonly hops: number;
  /** The dispatcher that tunnelled it here, or NOBODY. */
  readonly from: NodeId;
}

export type LockMode = 'auto' | 'announce' | 'confirm';
export type UnknownPolicy = 'reset' | 'drop' | 'hash';

/** What the protocol must know of a service. */
export interface ServicePolicy {
  readonly udp: boolean;
  readonly lock: LockMode;
  readonly unknown: UnknownPolicy;
  /** `on-server-down: rebind`. */
  readonly rebind: boolean;
  readonly timeouts: EntryTimeouts;
}

/** The outside as the core may ask it. Answers must not change within one step. */
export interface Environment {
  service(id: number): ServicePolicy | undefined;
  /** The scheduler's choice for a flow or session, or NO_SERVER. `avoid` names servers that must not be chosen. */
  select(key: SessionKey, packet: Packet | undefined, avoid: (server: number) => boolean): number;
  /**
   * The server of what stays together by hash alone (flood), the same on all dispatchers; or NO_SERVER, as for one flow of a service whose
   * clients stay together.
   */
  hashSelect(key: SessionKey): number;
  /** Whether the server may be given new flows (up, weight, not leaving). */
  accepts(service: number, server: number): boolean;
  isDown(service: number, server: number): boolean;
  /** Reply tuple of a flow on a server; undefined where replies do not come back (ipip), and for session keys. */
  replyKey(key: SessionKey, server: number): ReplyKey | undefined;
  /** The flow that a reply must belong to if its server was chosen by hash (flood); undefined where there is none, or more than one. */
  guessReply(reply: ReplyKey): { readonly key: SessionKey; readonly server: number } | undefined;
}

/** Durations in ms, limits in their own units. The product's defaults are in DEFAULT_SETTINGS. */
export interface Settings {
  readonly leaseMs: number;
  /** After so much silence a missing grant counts as one, and a question as unanswered. */
  readonly confirmTimeoutMs: number;
  /** Between two sendings of a lock or question to those that have not answered (rule 5). */
  readonly repeatMs: number;
  /** A tombstone outlives every old record: three digest periods, the ring of sent datagrams, a margin (rule 13). */
  readonly tombstoneMs: number;
  /** How long the intention of a voided lock is remembered: the longest pause between two SYN repeats that matter. */
  readonly rememberMs: number;
  readonly waitingPackets: number;
  readonly waitingPacketsPerLock: number;
  readonly waitingBytes: number;
  readonly questionsPerSecond: number;
  readonly newSessionsPerSecond: number;
  /** How long after the last sign of a flood anywhere a miss is hashed rather than reset. */
  readonly floodMemoryMs: number;
  /** Entries visited by one sweep step. */
  readonly sweepCount: number;
  readonly sweepMs: number;
}

export const DEFAULT_SETTINGS: Settings = {
  leaseMs: 250,
  confirmTimeoutMs: 20,
  repeatMs: 1.5,
  tombstoneMs: 60_000,
  rememberMs: 30_000,
  waitingPackets: 4_096,
  waitingPacketsPerLock: 64,
  waitingBytes: 8 << 20,
  questionsPerSecond: 10_000,
  newSessionsPerSecond: 50_000,
  floodMemoryMs: 60_000,
  sweepCount: 512,
  sweepMs: 10,
};

/**
 * When a lock or a question that nobody has answered for `elapsedMs` is said again (rule 5): every `repeatMs` at first, later after an
 * eighth of the time that it is out. Within the default `confirm-timeout` that makes no difference to speak of; where a longer one was chosen because
 * dispatchers are slow, repeats must not be what keeps them busy (1,650 datagrams of one lock in a second, measured).
 */
export function repeatAfterMs(settings: Settings, elapsedMs: number): number {
  return Math.max(settings.repeatMs, elapsedMs / 8);
}

/** What is known of another dispatcher; membership.ts keeps it. */
export interface Peer {
  readonly node: NodeId;
  /** First 32 bits of the incarnation that is believed; 0 none. */
  tag: number;
  /** Heard lately. */
  up: boolean;
  /** Its heartbeats say that it hears this incarnation of us (rule 4). */
  hearsMe: boolean;
  ready: boolean;
  /** Known to be stopped: it said so, or was silent beyond any partition that we wait out. */
  stopped: boolean;
  flooding: boolean;
  /** It is, or remembers that somebody was a while ago. */
  flooded: boolean;
}

/** Both directions work: it can take part in a lock. */
export function isLive(peer: Peer): boolean {
  return peer.up && peer.hearsMe;
}

export type DropReason =
  | 'not-ready'
  | 'no-service'
  | 'no-server'
  | 'lock-limit'
  | 'queue-full'
  | 'waited-too-long'
  | 'hop-limit'
  | 'table-full'
  | 'question-unanswered'
  | 'question-limit'
  | 'unknown-flow'
  | 'reply-unknown';

export type Effect =
  | {
      readonly kind: 'forward';
      readonly packet: Packet;
      readonly server: number;
      /** The flow's key: for replies the one to whose VIP the source is rewritten. */
      readonly key: SessionKey;
      /** No entry was made (flood). */
      readonly stateless: boolean;
    }
  | { readonly kind: 'tunnel'; readonly packet: Packet; readonly to: NodeId; readonly hops: number }
  /** The core keeps the handle until a later effect names it. */
  | { readonly kind: 'wait'; readonly packet: Packet }
  | { readonly kind: 'drop'; readonly packet: Packet; readonly reason: DropReason }
  | { readonly kind: 'reset'; readonly packet: Packet }
  /** To one peer, not repaired when lost. */
  | { readonly kind: 'send'; readonly to: NodeId; readonly record: SessionRecord }
  /** To all, through the durable stream. */
  | { readonly kind: 'broadcast'; readonly record: EntryRecord | UnlockRecord | LockRecord };

const COUNTERS = {
  locksPlaced: 0,
  locksLearnt: 0,
  locksYielded: 0,
  locksVoided: 0,
  locksEndedEmpty: 0,
  /** Locks of others that were neither learnt nor granted: too many stand. */
  locksRefused: 0,
  /** Intentions of voided locks forgotten before their time. */
  intentionsForgotten: 0,
  attemptsAdopted: 0,
  grantsByTimeout: 0,
  tunnelled: 0,
  questions: 0,
  questionsUnanswered: 0,
  conflicts: 0,
  replyCollisions: 0,
  updates: 0,
  refreshes: 0,
  refreshesShed: 0,
  updatesShed: 0,
  refusedOld: 0,
  /** Entries of others for which there was no room. */
  refusedFull: 0,
  /** Records that mean nothing here: late answers, locks of who does not hear us. */
  recordsIgnored: 0,
  rebound: 0,
  stateless: 0,
  unknownService: 0,
};
export type CoreCounter = keyof typeof COUNTERS;

/** A packet that waits, with the time until which it may. */
export interface Waiting {
  readonly packet: Packet;
  readonly until: number;
  /** How often it was taken up again; bounds what one packet can cause. */
  readonly turns: number;
}

/** The shared state of one core. */
export class Context {
  now = 0;
  ready = false;
  readonly self: NodeId;
  /** First 32 bits of this dispatcher's incarnation: what is said of an earlier life of its own is news to it. */
  readonly tag: number;
  readonly seed: ClusterSeed;
  readonly settings: Settings;
  readonly environment: Environment;
  readonly store: EntryStore;
  readonly peers: Map<NodeId, Peer>;
  readonly counters: Record<CoreCounter, number> = { ...COUNTERS };
  effects: Effect[] = [];

  constructor(options: {
    readonly self: NodeId;
    readonly tag: number;
    readonly seed: ClusterSeed;
    readonly settings: Settings;
    readonly environment: Environment;
    readonly store: EntryStore;
    readonly peers: readonly NodeId[];
  }) {
    this.self = options.self;
    this.tag = options.tag;
    this.seed = options.seed;
    this.settings = options.settings;
    this.environment = options.environment;
    this.store = options.store;
    this.peers = new Map(
      options.peers.map((node) => [
        node,
        {
          node,
          tag: 0,
          up: false,
          hearsMe: false,
          ready: false,
          stopped: false,
          flooding: false,
          flooded: false,
        },
      ]),
    );
  }

  count(counter: CoreCounter): void {
    this.counters[counter]++;
  }

  drop(packet: Packet, reason: DropReason): void {
    this.effects.push({ kind: 'drop', packet, reason });
  }

  send(to: NodeId, record: SessionRecord): void {
    this.effects.push({ kind: 'send', to, record });
  }

  /** Whether a lock of this peer means anything here (rule 4). */
  hears(node: NodeId): boolean {
    const peer = this.peers.get(node);
    return peer !== undefined && isLive(peer);
  }
}
