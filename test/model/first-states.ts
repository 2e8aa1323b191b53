/**
 * What cases begin with: policies, keys, entries that are held already.
 */

import type { ServicePolicy } from '../../src/cluster/context.ts';
import { type Entry, NO_ISN } from '../../src/cluster/entry.ts';
import type { SessionKey } from '../../src/cluster/session-key.ts';
import { flowKey, nodeAt, type ScriptEvent } from './case.ts';
import type { World } from './world.ts';

export const NEVER = 1e9;
export const POLICY: ServicePolicy = {
  udp: false,
  lock: 'confirm',
  unknown: 'reset',
  rebind: false,
  timeouts: { tcpEstablished: NEVER, tcpOpening: NEVER, tcpClosing: NEVER, udp: NEVER, client: NEVER },
};
export const AUTO: ServicePolicy = { ...POLICY, lock: 'auto' };
export const UDP: ServicePolicy = { ...POLICY, udp: true };

export const BOTH = [0, 1];
export const FLOW = flowKey(1);
export const OTHER = flowKey(2);
/** Ranks: dispatcher 0, then 2, then 1. */
export const RANKED = flowKey(11);

export function hold(world: World, index: number, key: SessionKey, part: Partial<Entry>): void {
  world.mine(index).entries.keep({
    key,
    isn: 0,
    previousIsn: NO_ISN,
    generation: 0,
    server: 1,
    origin: nodeAt(0),
    bits: 0,
    openedAt: -1_000,
    lastSeen: 0,
    refreshedAt: 0,
    sharedBits: 0,
    ...part,
  });
}

export function holdAll(world: World, key: SessionKey, part: Partial<Entry>): void {
  for (let index = 0; index < world.cores.length; index++) hold(world, index, key, part);
}

/** A server stops taking new flows, for all dispatchers at once. */
export function drains(server: number, when: (world: World) => boolean = () => true): ScriptEvent {
  return {
    name: `server ${server} drained`,
    when,
    run: (world) => {
      world.drained = new Set([server]);
    },
  };
}

export function forwarded(world: World, handle: number): boolean {
  return world.ends.get(handle) === 'forward';
}

/** A packet that was answered with a reset although its flow lives somewhere. */
export function noReset(world: World): string | undefined {
  for (const [handle, how] of world.ends) if (how === 'reset') return `packet ${handle} was reset`;
  return undefined;
}
