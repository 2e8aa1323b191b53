/** What a cluster costs, worked out with real cores and codecs: the figures hang together. */

import { describe, expect, it } from 'vitest';
import { costOf } from '../../src/sim/cost.ts';
import type { CostOptions } from '../../src/sim/cost-world.ts';

const ONE: CostOptions = {
  dispatchers: 4,
  sessions: 60,
  lock: 'announce',
  batch: 1,
  delayMs: [0.1, 0.3],
  seed: 3,
};

describe('cost of a cluster', () => {
  it('announce: one datagram to each other dispatcher, and all know after one way', () => {
    const cost = costOf(ONE);
    expect(cost.incomplete).toBe(0);
    expect(cost.datagramsPerSession).toBe(3);
    expect(cost.tunnelledShare).toBe(0);
    expect(cost.convergenceMs.most).toBeLessThanOrEqual(0.31);
  });

  it('confirm: three ways, and what comes meanwhile is tunnelled', () => {
    const cost = costOf({ ...ONE, lock: 'confirm' });
    expect(cost.incomplete).toBe(0);
    expect(cost.datagramsPerSession).toBeGreaterThanOrEqual(9);
    expect(cost.convergenceMs.mean).toBeGreaterThan(0.3);
    expect(cost.tunnelledShare).toBeGreaterThan(0);
  });

  it('sessions of one turn share datagrams', () => {
    const many = costOf({ ...ONE, batch: 20 });
    expect(many.incomplete).toBe(0);
    expect(many.datagramsPerSession).toBeLessThan(0.5);
    expect(many.bytesPerSession).toBeLessThan(costOf(ONE).bytesPerSession / 2);
  });

  it('grows with the number of dispatchers, and is the same for the same seed', () => {
    const large = costOf({ ...ONE, dispatchers: 40, sessions: 10 });
    expect(large.datagramsPerSession).toBe(39);
    expect(large.heartbeats.perSecond).toBe(390);
    expect(costOf({ ...ONE, dispatchers: 40, sessions: 10 })).toEqual(large);
  });
});
