/**
 * A flood leaves few traces: what its spoofed SYNs left in a table is bounded by the rate of new sessions, the rest was
 * forwarded by hash, and afterwards nobody is in flood any more.
 */

import type { CheckedWorld, Checker } from '../checker.ts';

export class FloodEnds implements Checker {
  readonly name = 'flood-ends';

  finish(world: CheckedWorld): readonly string[] {
    if (world.flood === undefined) return [];
    const faults: string[] = [];
    const most = world.flood.admitted + 2 * world.connections.length;
    for (const { name, node, store } of world.dispatchers) {
      if (store.size > most) faults.push(`${name} holds ${store.size} entries, more than ${most}`);
      if (node.core.flood.here) faults.push(`${name} is still in flood`);
    }
    // After a crash some of it met nobody who was ready.
    if (world.stateless === 0 && world.crashes === 0 && world.flood.spoofed > most)
      faults.push('nothing was forwarded by hash');
    return faults;
  }
}
