/** What must end, or come about, while traffic goes on: a flood, the repair of tables, the start of a cluster in which one dies again and again. */
import { describe, expect, it } from 'vitest';
import { DEFAULT_SETTINGS } from '../../../src/cluster/context.ts';
import { BIT_ESTABLISHED, type Entry, NO_ISN } from '../../../src/cluster/entry.ts';
import { DIGEST_RANGES } from '../../../src/cluster/messages-control.ts';
import type { SessionKey } from '../../../src/cluster/session-key.ts';
import { datagram, flowOf, Pair } from '../../support/cluster-pair.ts';

describe('a flood', () => {
  it('ends when only flows are left that began in it, and they get their entries', () => {
    const pair = new Pair('auto', 2, true, { settings: { ...DEFAULT_SETTINGS, newSessionsPerSecond: 500 } });
    pair.run(3_000);
    const [first] = pair.nodes;
    const flows = Array.from({ length: 20 }, (_, at) => flowOf(100 + at));
    let port = 1_000;
    const talk = (ms: number, burst: boolean): void => {
      for (let left = ms; left > 0; left--) {
        // Each of the flows says something fifty times a second.
        for (const [at, flow] of flows.entries())
          if ((pair.now + at) % 20 === 0) pair.step(1, { kind: 'packet', packet: datagram(at, flow) });
        for (let more = burst ? 2 : 0; more > 0; more--)
          pair.step(1, { kind: 'packet', packet: datagram(50, flowOf(port++)) });
        pair.run(1);
      }
    };
    for (let left = 500; left > 0; left--) {
      for (let more = 0; more < 4; more++)
        pair.step(1, { kind: 'packet', packet: datagram(50, flowOf(port++)) });
      pair.run(1);
    }
    talk(500, true);
    expect(first.core.flood.here).toBe(true);
    expect(flows.some((flow) => first.core.context.store.find(flow) === undefined)).toBe(true);
    talk(10_000, false);
    expect(first.core.flood.here).toBe(false);
    expect(flows.filter((flow) => first.core.context.store.find(flow) === undefined)).toEqual([]);
  });

  it('goes on for as long as sessions come that were not there', () => {
    const pair = new Pair('auto', 2, true, { settings: { ...DEFAULT_SETTINGS, newSessionsPerSecond: 500 } });
    pair.run(3_000);
    for (let port = 1_000; port < 9_000; port += 2) {
      for (const each of [port, port + 1])
        pair.step(1, { kind: 'packet', packet: datagram(1, flowOf(each)) });
      pair.run(1);
    }
    expect(pair.nodes[0].core.flood.here).toBe(true);
  });
});

describe('repair by digests', () => {
  it('comes to every range, though traffic makes most of them differ', () => {
    // A pass over the table takes about a second, as in the daemon (sweep-pace.ts).
    const pair = new Pair('announce', 2, false, { settings: { ...DEFAULT_SETTINGS, sweepCount: 90 } });
    pair.run(3_000);
    const [first, second] = pair.nodes;
    const { seed } = first.core.context;
    const lost: SessionKey[] = [];
    const taken = new Set<number>();
    for (let port = 20_000; lost.length < 8; port++) {
      const range = flowOf(port).hash(seed) % DIGEST_RANGES;
      if (range < 128 || taken.has(range)) continue;
      taken.add(range);
      lost.push(flowOf(port));
    }
    for (const key of lost) {
      const entry: Entry = {
        ...{ key, isn: 7, previousIsn: NO_ISN, generation: 0, server: 4, origin: 1, bits: BIT_ESTABLISHED },
        ...{ openedAt: pair.now, lastSeen: pair.now, refreshedAt: pair.now, sharedBits: BIT_ESTABLISHED },
      };
      first.core.context.store.put(entry, undefined);
    }
    let port = 0;
    for (let second = 0; second < 600; second++) {
      for (let tenth = 0; tenth < 10; tenth++) {
        for (let more = 0; more < 30; more++) {
          const packet = { ...datagram(1, flowOf(1_000 + (port++ % 15_000))), isn: port };
          pair.step(1 + (port & 1), { kind: 'packet', packet });
        }
        pair.run(100);
      }
      if (lost.every((key) => pair.nodes[1].core.context.store.find(key) !== undefined)) break;
    }
    expect(lost.filter((key) => second.core.context.store.find(key) === undefined)).toEqual([]);
  });
});

describe('that a connection is established', () => {
  it('is told by who saw it, though one that did not see it refreshes first', () => {
    const three = new Pair('auto', 3, false);
    three.run(3_000);
    const flows = Array.from({ length: 40 }, (_, at) => flowOf(1_001 + at));
    const packet = (flow: SessionKey, opens: boolean) => ({
      kind: 'packet' as const,
      packet: { ...datagram(1, flow), opens, isn: opens ? 7 : 0, life: !opens },
    });
    for (const flow of flows) three.step(1, packet(flow, true));
    three.run(50);
    for (const flow of flows) three.step(2, { kind: 'note', key: flow, bits: BIT_ESTABLISHED });
    three.run(50);
    for (const flow of flows) three.step(1, packet(flow, false));
    three.run(60_000);
    const established = three.nodes.map(
      ({ core }) =>
        flows.filter((flow) => ((core.context.store.find(flow)?.bits ?? 0) & BIT_ESTABLISHED) !== 0).length,
    );
    expect(established).toEqual([40, 40, 40]);
  });
});

describe('a cold start', () => {
  it('is over in a bounded time, though one dies again and again before it is ready', () => {
    const three = new Pair('auto', 3);
    for (let starts = 0; starts < 20; starts++) {
      three.run(1_500);
      three.nodes[2] = three.make(3);
    }
    expect([0, 1].map((index) => three.nodes[index]!.core.context.ready)).toEqual([true, true]);
  });
});
