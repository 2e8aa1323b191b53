/** What goes into a dispatcher's protocol and what comes out: events, effects, and what it is made with. */

import type { Effect, Environment, Settings } from './context.ts';
import type { CoreEvent } from './core.ts';
import type { DigestSettings } from './digests.ts';
import type { ClusterSeed, NodeId } from './identity.ts';
import type { VectorPart } from './joining.ts';
import type { MembershipSettings, PeerChange } from './membership.ts';
import type { EntryRecord } from './records.ts';
import type { AeadOf, Life } from './seal.ts';
import type { EntryStore } from './store.ts';

export type NodeEvent =
  | Extract<CoreEvent, { readonly kind: 'packet' | 'note' | 'deadline' }>
  | { readonly kind: 'datagram'; readonly bytes: Buffer }
  /** A part of the copy that was asked for, its end, or its failure. */
  | { readonly kind: 'copy'; readonly records: readonly EntryRecord[] }
  | { readonly kind: 'copy-end'; readonly vector: readonly VectorPart[] }
  | { readonly kind: 'copy-failed' }
  | { readonly kind: 'alone-done' }
  /** What was flushed did not all find room on its way out. */
  | { readonly kind: 'pressed' }
  /** Says goodbye: the others know then that we are stopped. */
  | { readonly kind: 'leave' };

export type NodeEffect =
  | Exclude<Effect, { readonly kind: 'send' | 'broadcast' }>
  /** Ask this dispatcher for a copy of its table. */
  | { readonly kind: 'copy-request'; readonly from: NodeId }
  /** Nobody is ready, and this dispatcher is to be the first: it may load a saved table now, then `alone-done`. */
  | { readonly kind: 'alone' }
  | { readonly kind: 'ready' }
  | { readonly kind: 'peer'; readonly change: PeerChange };

export interface NodeOptions {
  readonly life: Life;
  readonly peers: readonly NodeId[];
  readonly seed: ClusterSeed;
  readonly clusterKeys: readonly Buffer[];
  /** Left out: by node:crypto. */
  readonly aead?: AeadOf;
  readonly settings: Settings;
  readonly membership: MembershipSettings;
  readonly digests: DigestSettings;
  readonly environment: Environment;
  readonly store: EntryStore;
  readonly mtuBytes: number;
  /** The broadcast stream is sent once, to EVERYBODY; left out: to each peer. */
  readonly multicast?: boolean;
  /** How long no ready dispatcher may be heard before those present agree on one (rule 17). */
  readonly aloneAfterMs: number;
  readonly configuration: number;
  /** 16 random bytes. */
  readonly random: () => Buffer;
  readonly now: number;
}
