/**
 * No packet waits longer than two leases, whether it had its end or waits when the run ends: one that came just before has
 * its time still.
 */

import type { Packet } from '../../cluster/context.ts';
import type { CheckedWorld, Checker } from '../checker.ts';

/** Two leases, and how late a slow dispatcher gets to what is due (half a lease). */
const LEASES = 2.5;

export class WaitingBound implements Checker {
  readonly name = 'waiting-bound';
  readonly came = new Map<number, number>();
  longest = 0;

  packetCame(packet: Packet, at: number): void {
    this.came.set(packet.handle, at);
  }

  packetEnded(packet: Packet, _how: string, at: number): void {
    const since = this.came.get(packet.handle);
    if (since === undefined) return;
    this.came.delete(packet.handle);
    this.longest = Math.max(this.longest, at - since);
  }

  finish(world: CheckedWorld): readonly string[] {
    const most = LEASES * world.leaseMs;
    const faults: string[] = [];
    if (this.longest > most) faults.push(`a packet waited ${Math.round(this.longest)} ms`);
    for (const dispatcher of world.dispatchers) {
      for (const { handle } of dispatcher.waiting()) {
        const age = world.now - this.came.get(handle)!;
        if (age > most)
          faults.push(`a packet waits at ${dispatcher.name} in the end, for ${Math.round(age)} ms so far`);
      }
    }
    return faults;
  }
}
