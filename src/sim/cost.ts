/**
 * What a cluster of so many dispatchers would cost: real cores and codecs on a network that only delays, membership left out.
 *
 * Clients open sessions, each of which sends some packets that routers spray over all dispatchers. Counted is what dispatchers say to each other because
 * of that, as it would be on the wire, until all hold all entries. Heartbeats are worked out from their layout: they do not depend on sessions.
 */

import { DEFAULT_MEMBERSHIP } from '../cluster/membership.ts';
import { controlSize } from '../cluster/messages-control.ts';
import { HEADER_SIZE, TAG_SIZE } from '../cluster/seal.ts';
import { type CostOptions, CostWorld, IP_UDP_SIZE } from './cost-world.ts';

export interface Cost {
  readonly datagramsPerSession: number;
  /** IP and UDP headers and seals included. */
  readonly bytesPerSession: number;
  /** From the first packet until all hold the entry, ms. */
  readonly convergenceMs: { readonly mean: number; readonly most: number };
  /** Of the clients' packets. */
  readonly tunnelledShare: number;
  /** What one dispatcher sends, sessions or not. */
  readonly heartbeats: { readonly perSecond: number; readonly bytesPerSecond: number };
  /** Sessions whose entry not all held in the end: 0. */
  readonly incomplete: number;
}

/** Runs one cluster. Time and chance are those of the seed. */
export function costOf(options: CostOptions): Cost {
  const { sessions, dispatchers } = options;
  const world = new CostWorld(options);
  world.run();
  const all = [...world.sessions.values()];
  const times = all.map((one) => one.heldAt - one.begunAt);
  const beats = (1_000 / DEFAULT_MEMBERSHIP.heartbeatMs) * (dispatchers - 1);
  return {
    datagramsPerSession: world.datagrams / sessions,
    bytesPerSession: world.bytes / sessions,
    convergenceMs: {
      mean: times.reduce((sum, time) => sum + time, 0) / sessions,
      most: times.reduce((most, time) => Math.max(most, time), 0),
    },
    tunnelledShare: world.tunnelled / world.packets,
    heartbeats: { perSecond: beats, bytesPerSecond: beats * heartbeatSize(dispatchers) },
    incomplete: all.filter((one) => one.heldBy < dispatchers).length,
  };
}

/** A heartbeat on the wire that names all others. */
function heartbeatSize(dispatchers: number): number {
  const hears = Array.from({ length: dispatchers - 1 }, (_, node) => ({ node, tag: 0 }));
  const facts = {
    ready: true,
    flooding: false,
    flooded: false,
    lastSequence: 0,
    configuration: 0,
    version: 1,
  };
  return controlSize({ type: 'heartbeat', ...facts, hears }) + HEADER_SIZE + TAG_SIZE + IP_UDP_SIZE;
}
