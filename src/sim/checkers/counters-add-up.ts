/**
 * Each packet that came ended exactly once: forwarded, tunnelled, reset, dropped for a named reason, or dead with its
 * dispatcher; or it waits in a queue when the run ends. And the cores' own counters say what the world saw.
 */

import type { Packet } from '../../cluster/context.ts';
import type { CheckedWorld, Checker } from '../checker.ts';
import type { SimulatedDispatcher } from '../dispatcher.ts';

export class CountersAddUp implements Checker {
  readonly name = 'counters-add-up';
  came = 0;
  ended = 0;
  died = 0;
  readonly twice: number[] = [];
  readonly open = new Set<number>();

  packetCame(packet: Packet): void {
    this.came++;
    this.open.add(packet.handle);
  }

  packetEnded(packet: Packet): void {
    this.ended++;
    if (!this.open.delete(packet.handle)) this.twice.push(packet.handle);
  }

  crashed(dead: SimulatedDispatcher): void {
    this.died += dead.waiting().length;
  }

  finish(world: CheckedWorld): readonly string[] {
    const faults: string[] = [];
    if (this.twice.length > 0) faults.push(`packets ${this.twice.slice(0, 4).join(', ')} ended twice`);
    let waiting = 0;
    for (const dispatcher of world.dispatchers) {
      const { packets } = dispatcher.node.core.room;
      const queued = dispatcher.waiting().length;
      waiting += queued;
      if (packets !== queued)
        faults.push(`${dispatcher.name} counts ${packets} that wait, there are ${queued}`);
    }
    const left = this.came - this.ended - this.died - waiting;
    if (left !== 0) faults.push(`${left} packets have no end`);
    const { counters } = world;
    const told = (name: string, seen: number): void => {
      const counted = counters[name] ?? 0;
      if (counted !== seen) faults.push(`${name} counts ${counted}, there were ${seen}`);
    };
    told('tunnelled', world.tunnels);
    told('stateless', world.stateless);
    return faults;
  }
}
