/** No packet waits longer than two leases, and none for ever. */

import type { Packet } from '../../cluster/context.ts';
import type { CheckedWorld, Checker } from '../checker.ts';

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
    const faults: string[] = [];
    if (this.longest > 2.5 * world.leaseMs) faults.push(`a packet waited ${Math.round(this.longest)} ms`);
    for (const dispatcher of world.dispatchers) {
      const left = dispatcher.node.core.room.packets;
      if (left > 0) faults.push(`${left} packets wait at ${dispatcher.name} in the end`);
    }
    return faults;
  }
}
