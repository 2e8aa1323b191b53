/** Each packet that came ended exactly once: forwarded, tunnelled, reset or dropped for a named reason. */

import type { Packet } from '../../cluster/context.ts';
import type { CheckedWorld, Checker } from '../checker.ts';

export class CountersAddUp implements Checker {
  readonly name = 'counters-add-up';
  came = 0;
  ended = 0;
  readonly twice: number[] = [];
  readonly open = new Set<number>();
  /** Packets that died with their dispatcher. */
  died = 0;

  packetCame(packet: Packet): void {
    this.came++;
    this.open.add(packet.handle);
  }

  packetEnded(packet: Packet): void {
    this.ended++;
    if (!this.open.delete(packet.handle)) this.twice.push(packet.handle);
  }

  finish(_world: CheckedWorld): readonly string[] {
    const faults: string[] = [];
    if (this.twice.length > 0) faults.push(`packets ${this.twice.slice(0, 4).join(', ')} ended twice`);
    const left = this.came - this.ended - this.died;
    if (left !== 0) faults.push(`${left} packets have no end`);
    return faults;
  }
}
