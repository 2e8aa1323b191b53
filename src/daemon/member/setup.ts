/** What the dispatcher thread must know of its cluster: plain data from the main thread, and the protocol's options made of it. */
import { randomBytes } from 'node:crypto';
import type { ClusterKey } from '../../balance/cluster-key.ts';
import { DEFAULT_SETTINGS, type Environment } from '../../cluster/context.ts';
import { DEFAULT_DIGESTS } from '../../cluster/digests.ts';
import { DEFAULT_MEMBERSHIP } from '../../cluster/membership.ts';
import type { NodeOptions } from '../../cluster/node-events.ts';
import { HEADER_SIZE } from '../../cluster/seal.ts';
import type { EntryStore } from '../../cluster/store.ts';
import { NativeAead } from '../../io/aead.ts';
import type { GroupLink } from '../../io/socket.ts';
import type { Address } from '../../wire/address.ts';

export interface MemberAddress {
  readonly name: string;
  /** `nodeId(name)`. */
  readonly node: number;
  readonly address: Address;
}

/** What a reload may change while a life goes on. */
export interface ToldConfiguration {
  /** 32 bits of what all dispatchers must have alike; drift shows. */
  readonly configuration: number;
  /** Above it is a flood. */
  readonly newSessionsPerSecond: number;
}

export interface MemberSetup extends ToldConfiguration {
  readonly self: MemberAddress;
  readonly peers: readonly MemberAddress[];
  /** UDP, of all dispatchers. */
  readonly port: number;
  /** By which updates are sent once for all; undefined: to each peer. */
  readonly multicast: GroupLink | undefined;
  /** 128 random bits of this start, as 32 hexadecimal digits. */
  readonly incarnation: string;
  /** 32 bytes each, the one to seal with first. */
  readonly clusterKeys: readonly Uint8Array[];
  /** Of what all dispatchers compute alike: ranks, maglev. */
  readonly seed: ClusterKey;
  readonly heartbeatMs: number;
  readonly deadAfterMs: number;
  readonly leaseMs: number;
  readonly confirmTimeoutMs: number;
}

/** What every path between dispatchers takes, IP header included. */
const MTU_BYTES = 1500;
/** How long no ready dispatcher may be heard before those present agree on one. */
const ALONE_AFTER_MS = 2000;
/** Rows of one sweep step at most: 102,400 a second, so that a million are looked at in ten. */
const SWEEP_ROWS = 1024;

export function nodeOptions(
  setup: MemberSetup,
  environment: Environment,
  store: EntryStore,
  now: number,
): NodeOptions {
  return {
    life: { node: setup.self.node, incarnation: setup.incarnation },
    peers: setup.peers.map(({ node }) => node),
    seed: { low: setup.seed[0], high: setup.seed[1] },
    clusterKeys: setup.clusterKeys.map((key) => Buffer.from(key)),
    aead: (key) => new NativeAead(key, HEADER_SIZE),
    settings: {
      ...DEFAULT_SETTINGS,
      leaseMs: setup.leaseMs,
      confirmTimeoutMs: setup.confirmTimeoutMs,
      newSessionsPerSecond: setup.newSessionsPerSecond,
      sweepCount: SWEEP_ROWS,
    },
    membership: { ...DEFAULT_MEMBERSHIP, heartbeatMs: setup.heartbeatMs, deadAfterMs: setup.deadAfterMs },
    digests: DEFAULT_DIGESTS,
    environment,
    store,
    mtuBytes: MTU_BYTES,
    multicast: setup.multicast !== undefined,
    // A dispatcher that is the only one named has nobody to wait for.
    aloneAfterMs: setup.peers.length === 0 ? 0 : ALONE_AFTER_MS,
    configuration: setup.configuration,
    random: () => randomBytes(16),
    now,
  };
}
