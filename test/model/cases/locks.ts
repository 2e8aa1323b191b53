/**
 * Cases about client locks: races, yielding, grants, leases, the dead and those that are not ready (rules 2-6 and 8 of PROTOCOL.md, its packet
 * rules 5 and 8).
 */

import { isLive } from '../../../src/cluster/context.ts';
import { NO_ISN } from '../../../src/cluster/entry.ts';
import type { LockRecord } from '../../../src/cluster/records.ts';
import { type ModelCase, nodeAt, udp } from '../case.ts';
import { FLOW, hold, RANKED, UDP } from '../first-states.ts';

const LAST_ATTEMPT = 0x7fffffff;

function lockOf(attempt: number): LockRecord {
  const claim = { key: FLOW, attempt, isn: 0, previousIsn: NO_ISN, generation: 0, server: 1 };
  return { type: 'lock', ...claim, leaseMs: 40, confirm: true };
}

export const LOCK_CASES: readonly ModelCase[] = [
  {
    name: 'three dispatchers race',
    rule: 'packet 5 and 8, two hops are few',
    nodes: 3,
    policy: UDP,
    packets: [
      { packet: udp(1, RANKED), at: [0] },
      { packet: udp(2, RANKED), at: [1] },
    ],
    // Rule 4: whoever is taken for a holder has placed that attempt itself. Packet rule 5: of two, one yields.
    check: (world) => {
      const refuses = (way: string): boolean =>
        world.messages.some(({ text }) => text.startsWith(`${way} {"type":"refuse"`));
      if (refuses('0>1') && refuses('1>0')) return 'both refuse';
      for (const core of world.cores) {
        const lock = core.locks.table.get(RANKED.text);
        if (lock?.kind !== 'foreign') continue;
        const placed = world.numbers.get(`${lock.holder - 1}|a|${RANKED.text}`) ?? 0;
        if (placed < lock.record.attempt) return 'a lock was learnt of a third';
      }
      return undefined;
    },
  },
  {
    name: 'three dispatchers race, one dies',
    rule: '1, 3, packet 5',
    nodes: 3,
    policy: UDP,
    packets: [
      { packet: udp(1, RANKED), at: [0] },
      { packet: udp(2, RANKED), at: [1] },
    ],
    crashes: 1,
    repeats: false,
  },
  {
    name: 'stale grant',
    rule: 'attempt, 5',
    nodes: 3,
    policy: UDP,
    prepare: (world) => {
      // Dispatcher 2 placed a lock and yielded; the grants of that attempt are still under way.
      world.numbers = new Map([[`2|a|${FLOW.text}`, 1]]);
      for (const from of [0, 1]) {
        const cargo = { type: 'grant', key: FLOW, attempt: 1, reports: [] } as const;
        world.post(world.message(from, 2, cargo, false));
      }
    },
    packets: [
      { packet: udp(1, FLOW), at: [0] },
      { packet: udp(2, FLOW), at: [2] },
    ],
    keepDead: true,
  },
  {
    name: 'phantom lock',
    rule: '2, 4',
    nodes: 3,
    policy: { ...UDP, lock: 'announce' },
    prepare: (world) => {
      for (const index of [1, 2]) world.mine(index).context.peers.get(nodeAt(0))!.hearsMe = false;
      for (const peer of world.mine(0).context.peers.values()) peer.up = false;
      world.excuse = 'asymmetric partition';
    },
    packets: [
      { packet: udp(1, FLOW), at: [0] },
      { packet: udp(2, FLOW), at: [1] },
    ],
    check: (world) => {
      for (const { text } of world.messages) {
        if (text.startsWith('1>0 tunnel')) return 'a packet was tunnelled to a dispatcher that hears nobody';
      }
      return undefined;
    },
  },
  {
    name: 'two hops are few',
    rule: 'packet 8',
    nodes: 4,
    policy: UDP,
    prepare: (world) => {
      for (const index of [1, 2, 3]) {
        world.mine(index).locks.learn(
          nodeAt(index - 1),
          {
            type: 'lock',
            key: FLOW,
            attempt: 1,
            isn: 0,
            previousIsn: NO_ISN,
            generation: 0,
            server: 1,
            leaseMs: 40,
            confirm: false,
          },
          [],
        );
      }
    },
    packets: [{ packet: udp(1, FLOW), at: [3] }],
  },
  {
    name: 'unlock when no server is left',
    rule: '6',
    nodes: 2,
    policy: UDP,
    events: [
      {
        name: 'all servers go down',
        when: (world) => world.came.size === 1,
        run: (world) => {
          world.down = new Set([1, 2, 3, 4]);
        },
      },
    ],
    packets: [{ packet: udp(1, FLOW), at: [0] }],
    check: (world) => {
      if (world.now > 0 || world.messages.length > 0 || world.ends.get(1) !== 'no-server') return undefined;
      return world.cores[1]!.locks.table.size > 0 ? 'a lock that ended is still held' : undefined;
    },
  },
  {
    name: 'the dead need not answer',
    rule: '3',
    nodes: 2,
    policy: UDP,
    packets: [{ packet: udp(1, FLOW), at: [0] }],
    crashes: 1,
    check: (world) => {
      for (const { locks, context } of world.cores) {
        const lock = locks.table.get(FLOW.text);
        if (lock?.kind !== 'own') continue;
        for (const node of lock.pending) if (!context.peers.get(node)!.up) return 'a lock waits for the dead';
      }
      return undefined;
    },
  },
  {
    name: 'one that comes back is asked',
    rule: '3',
    nodes: 3,
    policy: UDP,
    packets: [{ packet: udp(1, FLOW), at: [0] }],
    suspicions: 1,
    check: (world) => {
      for (const { locks, context } of world.cores) {
        const lock = locks.table.get(FLOW.text);
        if (lock?.kind !== 'own') continue;
        for (const peer of context.peers.values()) {
          if (isLive(peer) && !lock.asked.has(peer.node)) return 'a lock does not ask one that is live';
        }
      }
      return undefined;
    },
  },
  {
    name: 'a holder that is not ready',
    rule: '8',
    nodes: 2,
    policy: UDP,
    prepare: (world) => {
      world.mine(0).context.ready = false;
      const { context, locks } = world.mine(1);
      context.peers.get(nodeAt(0))!.ready = false;
      const claim = { key: FLOW, attempt: 1, isn: 0, previousIsn: -1, generation: 0, server: 1 };
      locks.learn(nodeAt(0), { type: 'lock', ...claim, leaseMs: 40, confirm: false }, []);
    },
    packets: [{ packet: udp(1, FLOW), at: [1] }],
    check: (world) =>
      world.messages.some(({ text }) => text.startsWith('1>0 tunnel'))
        ? 'a packet was tunnelled to one that is not ready'
        : undefined,
  },
  {
    name: 'a repeat does not prolong a lease',
    rule: '2',
    nodes: 2,
    policy: UDP,
    prepare: (world) => {
      const lock = lockOf(1);
      world.mine(1).locks.learn(nodeAt(0), { ...lock, leaseMs: 20 }, []);
      world.post(world.message(0, 1, lock, false));
    },
    packets: [{ packet: udp(1, FLOW), at: [1] }],
    check: (world) => {
      const lock = world.cores[1]!.locks.table.get(FLOW.text);
      return lock?.kind === 'foreign' && lock.leaseEnd > 20 && world.now < 20
        ? 'a lease was prolonged'
        : undefined;
    },
  },
  {
    name: 'attempts come round',
    rule: 'attempt',
    nodes: 2,
    policy: UDP,
    prepare: (world) => {
      world.numbers = new Map([[`0|a|${FLOW.text}`, LAST_ATTEMPT]]);
      world.mine(1).locks.learn(nodeAt(0), lockOf(LAST_ATTEMPT), []);
    },
    packets: [{ packet: udp(1, FLOW), at: [0] }],
    check: (world) => {
      const asked = world.numbers.get(`0|a|${FLOW.text}`) === 1;
      if (!asked || world.now > 0 || world.messages.some(({ text }) => text.startsWith('0>1 {"type":"lock"')))
        return undefined;
      const lock = world.cores[1]!.locks.table.get(FLOW.text);
      return lock?.kind === 'foreign' && lock.record.attempt === LAST_ATTEMPT
        ? 'a new attempt was taken for an old one'
        : undefined;
    },
  },
  {
    name: 'who tunnelled is told the entry',
    rule: 'packet 8',
    nodes: 2,
    policy: UDP,
    prepare: (world) => {
      hold(world, 0, FLOW, { server: 3 });
      world.mine(1).locks.learn(nodeAt(0), lockOf(1), []);
    },
    packets: [{ packet: udp(1, FLOW), at: [1] }],
    check: (world) => {
      if (world.now > 0 || world.messages.length > 0 || world.ends.get(1) !== 'forward') return undefined;
      return world.cores[1]!.context.store.find(FLOW) === undefined ? 'it was not told' : undefined;
    },
  },
];
