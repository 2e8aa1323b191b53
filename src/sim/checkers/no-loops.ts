/** No packet is tunnelled more than twice. */

import type { Checker } from '../checker.ts';

export class NoLoops implements Checker {
  readonly name = 'no-loops';
  most = 0;

  tunnelled(hops: number): void {
    this.most = Math.max(this.most, hops);
  }

  finish(): readonly string[] {
    return this.most > 2 ? [`a packet was tunnelled ${this.most} times`] : [];
  }
}
