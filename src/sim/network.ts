/**
 * The network between dispatchers: delay, loss, duplication, reordering, cuts in one direction or both.
 *
 * All chance comes from one generator, in the order of sending, so a seed fixes every datagram's fate.
 */

import { createHash } from 'node:crypto';
import type { Prng } from '../base/prng.ts';
import type { NodeId } from '../cluster/identity.ts';
import type { SimulationOptions } from './options.ts';
import type { Timeline } from './timeline.ts';

export class Network {
  readonly options: SimulationOptions;
  readonly timeline: Timeline;
  readonly prng: Prng;
  /** "from>to" that is cut. */
  readonly cuts = new Set<string>();
  /** No more faults: the quiet time. */
  calm = false;
  datagrams = 0;
  bytes = 0;
  lost = 0;
  duplicated = 0;
  readonly transcript = createHash('sha256');

  constructor(options: SimulationOptions, timeline: Timeline, prng: Prng) {
    this.options = options;
    this.timeline = timeline;
    this.prng = prng;
  }

  chance(probability: number): boolean {
    return this.prng.next() / 0x1_0000_0000 < probability;
  }

  delay(): number {
    const [least, most] = this.options.delayMs;
    return least + ((most - least) * this.prng.next()) / 0x1_0000_0000;
  }

  /** Sends `size` bytes; `deliver` runs once, twice or never. `bytes` goes into the transcript. */
  send(from: NodeId, to: NodeId, size: number, bytes: Uint8Array | undefined, deliver: () => void): void {
    this.datagrams++;
    this.bytes += size;
    if (bytes !== undefined) this.transcript.update(bytes);
    if (this.cuts.has(`${from}>${to}`) || (!this.calm && this.chance(this.options.loss))) {
      this.lost++;
      return;
    }
    this.timeline.after(this.delay(), deliver);
    if (this.calm || !this.chance(this.options.duplication)) return;
    this.duplicated++;
    this.timeline.after(this.delay(), deliver);
  }
}
