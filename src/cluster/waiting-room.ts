/**
 * Packets that wait for a lock or an answer: bounded by count and bytes in all, by count at each place
 * (PROTOCOL.md, what must hold: no packet waits for ever; each refusal has a named reason).
 */

import type { Context, Waiting } from './context.ts';

/** Turns after which a packet is given up: a bound on work, out of reach of what the rules can cause. */
const MAX_TURNS = 8;

export class WaitingRoom {
  packets = 0;
  bytes = 0;
  /** What to do with a packet that need not wait any more. */
  resume: (waiting: Waiting) => void = () => {};
  readonly context: Context;

  constructor(context: Context) {
    this.context = context;
  }

  /** Puts a packet into a queue, or drops it. */
  admit(queue: Waiting[], waiting: Waiting): void {
    const { context } = this;
    const { settings } = context;
    const { packet } = waiting;
    if (waiting.turns >= MAX_TURNS || context.now >= waiting.until) {
      context.drop(packet, 'waited-too-long');
    } else if (
      queue.length >= settings.waitingPacketsPerLock ||
      this.packets >= settings.waitingPackets ||
      this.bytes + packet.bytes > settings.waitingBytes
    ) {
      context.drop(packet, 'queue-full');
    } else {
      queue.push(waiting);
      this.packets++;
      this.bytes += packet.bytes;
      context.effects.push({ kind: 'wait', packet });
    }
  }

  /** Empties a queue; each packet is looked at anew, as if it had just come. */
  release(queue: Waiting[]): void {
    for (const waiting of this.take(queue)) {
      this.resume({ packet: waiting.packet, until: waiting.until, turns: waiting.turns + 1 });
    }
  }

  /** Empties a queue by dropping. */
  dropAll(
    queue: Waiting[],
    reason: 'no-server' | 'table-full' | 'waited-too-long' | 'question-unanswered',
  ): void {
    for (const waiting of this.take(queue)) this.context.drop(waiting.packet, reason);
  }

  /** Takes the packets out of a queue, for an effect of the caller's own. */
  take(queue: Waiting[]): Waiting[] {
    const all = queue.splice(0);
    for (const waiting of all) {
      this.packets--;
      this.bytes -= waiting.packet.bytes;
    }
    return all;
  }
}
