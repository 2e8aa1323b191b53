/**
 * The key of those hashes that all dispatchers of a cluster must agree on: maglev's permutations, the slot of a session, sh.
 *
 * With a cluster key it is secret, so that nobody outside can choose source ports that all land on one server. A lone
 * dispatcher without one uses a fixed, public value, which is derived from nothing and protects nothing: the
 * same configuration then gives the same selection after every restart.
 */

import { createHmac } from 'node:crypto';

/** 64 bits as two unsigned words. */
export type ClusterKey = readonly [number, number];

/** For a dispatcher without a cluster: not a secret. ASCII "latchway". */
export const DEFAULT_CLUSTER_KEY: ClusterKey = [0x6c617463, 0x68776179];

/** The selection key of a cluster: the first 64 bits of HMAC-SHA-256(cluster key, "latchway selection"). */
export function selectionKey(clusterKey: Uint8Array): ClusterKey {
  const digest = createHmac('sha256', clusterKey).update('latchway selection').digest();
  return [digest.readUInt32BE(0), digest.readUInt32BE(4)];
}
