/** Two dispatchers over sealed datagrams: handshake, readiness, replayed recordings, ages, refresh. */

import { describe, expect, it } from 'vitest';
import { datagram, FLOW, joinerBeforeGaps, joinerMissesOne, Pair } from '../../support/cluster-pair.ts';

describe('a pair of dispatchers', () => {
  it('joiner misses one: what the copy lacks is asked for before it is ready', () => {
    expect(joinerMissesOne()).toBeUndefined();
  });

  it('a joiner is not ready while a gap is open', () => {
    expect(joinerBeforeGaps()).toBeUndefined();
  });

  it('that start together become ready, one by agreement and one by copy', () => {
    const pair = new Pair();
    pair.run(1_900);
    expect(pair.nodes.map((node) => node.core.context.ready)).toEqual([false, false]);
    pair.run(600);
    expect(pair.nodes.map((node) => node.core.context.ready)).toEqual([true, true]);
    expect(pair.nodes[0].joining.copies + pair.nodes[1].joining.copies).toBe(1);
  });

  it('shares an entry, and the update leaves before the packet', () => {
    const pair = new Pair();
    pair.run(2_500);
    pair.step(1, { kind: 'packet', packet: datagram(1) });
    pair.run(3);
    const effects = pair.other.filter((effect) => effect.kind === 'forward');
    expect(effects.map((effect) => effect.server)).toEqual([4]);
    expect(pair.nodes[1].core.context.store.find(FLOW)?.server).toBe(4);
  });

  it('believes nothing of a recording of an earlier run', () => {
    const pair = new Pair();
    pair.run(2_500);
    pair.step(1, { kind: 'packet', packet: datagram(1) });
    pair.run(300);
    const recording = pair.recorded.filter((one) => one.to === 2);
    pair.nodes[1] = pair.make(2);
    const second = pair.nodes[1];
    for (const one of recording) {
      pair.now += 1;
      expect(second.step(pair.now, { kind: 'datagram', bytes: one.bytes })).toEqual([]);
    }
    expect(second.believed).toBe(0);
    expect(second.core.context.store.size).toBe(0);
    expect(second.membership.members.get(1)?.incarnation).toBe('');
  });

  it('keeps a busy flow alive on the one that does not see it, and lets an idle one go on both', () => {
    const pair = new Pair();
    pair.run(2_500);
    for (let count = 1; count <= 20; count++) {
      pair.step(1, { kind: 'packet', packet: datagram(count) });
      pair.run(500);
    }
    expect(pair.nodes[1].core.context.store.find(FLOW)).toBeDefined();
    expect(pair.nodes[0].core.context.counters.refreshes).toBeGreaterThan(3);
    expect(pair.nodes[0].core.context.counters.refreshes).toBeLessThan(12);
    pair.run(4_500);
    expect(pair.nodes.map((node) => node.core.context.store.find(FLOW))).toEqual([undefined, undefined]);
  });

  it('a repaired record brings its age with it', () => {
    const pair = new Pair();
    pair.run(2_500);
    pair.step(1, { kind: 'packet', packet: datagram(1) });
    pair.run(3);
    const entry = pair.nodes[0].core.context.store.find(FLOW)!;
    const record = pair.nodes[0].core.entries.record(entry, 'repair', 0);
    pair.nodes[1].core.context.store.remove(FLOW);
    pair.nodes[1].core.step(pair.now, {
      kind: 'records',
      from: 1,
      records: [record],
      repaired: true,
      heldMs: 2_000,
    });
    const held = pair.nodes[1].core.context.store.find(FLOW)!;
    expect(pair.now - held.lastSeen).toBeGreaterThanOrEqual(2_000);
    pair.nodes[1].core.context.store.remove(FLOW);
    pair.nodes[1].core.step(pair.now, {
      kind: 'records',
      from: 1,
      records: [record],
      repaired: true,
      heldMs: 3_000,
    });
    expect(pair.nodes[1].core.context.store.find(FLOW)).toBeUndefined();
  });
});
