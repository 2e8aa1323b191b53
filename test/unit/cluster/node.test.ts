/** Two dispatchers over sealed datagrams: handshake, readiness, replayed recordings, ages, refresh. */

import { describe, expect, it } from 'vitest';
import { DEFAULT_SETTINGS, type Environment, type Packet } from '../../../src/cluster/context.ts';
import { DEFAULT_DIGESTS } from '../../../src/cluster/digests.ts';
import { DEFAULT_MEMBERSHIP } from '../../../src/cluster/membership.ts';
import { ClusterNode, type NodeEffect, type NodeEvent } from '../../../src/cluster/node.ts';
import { SessionKey } from '../../../src/cluster/session-key.ts';
import { MapStore } from '../../../src/cluster/store.ts';

const TIMEOUTS = {
  tcpEstablished: 900_000,
  tcpOpening: 30_000,
  tcpClosing: 30_000,
  udp: 3_000,
  client: 900_000,
};
const ENVIRONMENT: Environment = {
  service: () => ({ udp: true, lock: 'auto', unknown: 'reset', rebind: false, timeouts: TIMEOUTS }),
  select: () => 4,
  hashSelect: () => 5,
  accepts: () => true,
  isDown: () => false,
  replyKey: () => undefined,
  guessReply: () => undefined,
};
const FLOW = new SessionKey(1, 0, [0, 0, 0xffff, 9], 1_000, 53);

function datagram(handle: number): Packet {
  return {
    handle,
    bytes: 60,
    flow: FLOW,
    session: undefined,
    reply: undefined,
    opens: true,
    isn: 0,
    life: false,
    hops: 0,
    from: 0,
  };
}

/** A wire without faults between two nodes, 1 ms a step. */
class Pair {
  now = 0;
  randoms = 0;
  nodes: [ClusterNode, ClusterNode];
  sent: { to: number; bytes: Buffer }[] = [];
  readonly recorded: { to: number; bytes: Buffer }[] = [];
  readonly other: NodeEffect[] = [];

  constructor() {
    this.nodes = [this.make(1), this.make(2)];
  }

  make(node: number): ClusterNode {
    return new ClusterNode({
      life: { node, incarnation: Buffer.alloc(16, 16 * node + ++this.randoms).toString('hex') },
      peers: [3 - node],
      seed: { low: 1, high: 2 },
      clusterKeys: [Buffer.alloc(32, 9)],
      settings: DEFAULT_SETTINGS,
      membership: DEFAULT_MEMBERSHIP,
      digests: DEFAULT_DIGESTS,
      environment: ENVIRONMENT,
      store: new MapStore(),
      mtuBytes: 1_500,
      aloneAfterMs: 2_000,
      configuration: 1,
      random: () => Buffer.alloc(16, ++this.randoms),
      now: this.now,
    });
  }

  step(node: number, event: NodeEvent): void {
    for (const effect of this.nodes[node - 1]!.step(this.now, event)) {
      if (effect.kind === 'transmit') this.sent.push({ to: effect.to, bytes: effect.bytes });
      else if (effect.kind === 'copy-request') this.copy(effect.from, node);
      else this.other.push(effect);
    }
  }

  copy(from: number, to: number): void {
    const source = this.nodes[from - 1]!;
    const vector = source.vector();
    const { entries, context } = source.core;
    const held = [...(context.store as MapStore).entries.values()];
    this.step(to, { kind: 'copy', records: held.map((entry) => entries.record(entry, 'copy', 0)) });
    this.step(to, { kind: 'copy-end', vector });
  }

  run(ms: number): void {
    for (const end = this.now + ms; this.now < end; this.now++) {
      const due = this.sent;
      this.sent = [];
      for (const one of due) {
        this.recorded.push(one);
        this.step(one.to, { kind: 'datagram', bytes: one.bytes });
      }
      for (const node of [1, 2]) {
        if (this.nodes[node - 1]!.deadline <= this.now) this.step(node, { kind: 'deadline' });
      }
    }
  }
}

describe('a pair of dispatchers', () => {
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
      for (const effect of second.step(pair.now, { kind: 'datagram', bytes: one.bytes })) {
        expect(effect.kind).toBe('transmit');
      }
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
