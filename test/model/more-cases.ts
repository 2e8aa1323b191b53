/**
 * Cases about the end of a session, the dead, those that are not ready, and replies that meet; and the large one.
 */

import type { ServicePolicy } from '../../src/cluster/context.ts';
import { isLive } from '../../src/cluster/context.ts';
import { BIT_CLOSING, BIT_ESTABLISHED, BIT_TOMBSTONE, isEnded } from '../../src/cluster/entry.ts';
import { flowKey, type ModelCase, nodeAt, udp } from './case.ts';
import { AUTO, BOTH, FLOW, hold, OTHER, UDP } from './first-states.ts';
import type { World } from './world.ts';

const AGING: ServicePolicy = { ...AUTO, timeouts: { ...AUTO.timeouts, tcpEstablished: 1_000 } };

/** A digest's repair is on its way from one to the other. */
function repairs(world: World, from: number, idleMs = 0): void {
  const { entries, context } = world.cores[from]!;
  const record = entries.record(context.store.find(FLOW)!, 'repair', 0);
  world.post(from, 1 - from, { ...record, idleMs, ageMs: idleMs }, true);
}

export const MORE_CASES: readonly ModelCase[] = [
  {
    name: 'a loss, a crash and a false suspicion together',
    rule: 'locks, 1-6, order of entries',
    nodes: 2,
    policy: UDP,
    packets: [
      { packet: udp(1, FLOW), at: BOTH },
      { packet: udp(2, FLOW), at: BOTH, after: 0 },
      { packet: udp(3, OTHER), at: BOTH },
    ],
    losses: 1,
    crashes: 1,
    suspicions: 1,
    repeats: false,
  },
  {
    name: 'a loss, a crash and a false suspicion together, repeats',
    rule: 'locks, 1-6, order of entries',
    nodes: 2,
    policy: UDP,
    packets: [
      { packet: udp(1, FLOW), at: BOTH },
      { packet: udp(2, FLOW), at: BOTH, after: 0 },
      { packet: udp(3, OTHER), at: BOTH },
    ],
    losses: 1,
    crashes: 1,
    suspicions: 1,
    maxStates: 60_000,
  },
  {
    name: 'one session, a loss, a crash and a false suspicion, repeats',
    rule: 'locks, 1-6, order of entries',
    nodes: 2,
    policy: UDP,
    packets: [
      { packet: udp(1, FLOW), at: BOTH },
      { packet: udp(2, FLOW), at: BOTH, after: 0 },
    ],
    losses: 1,
    crashes: 1,
    suspicions: 1,
  },
  {
    name: 'resurrection by digest',
    rule: '13, 14',
    nodes: 2,
    policy: AUTO,
    prepare: (world) => {
      hold(world, 0, FLOW, { isn: 1, bits: BIT_ESTABLISHED | BIT_CLOSING | BIT_TOMBSTONE });
      hold(world, 1, FLOW, { isn: 1, bits: BIT_ESTABLISHED });
      repairs(world, 1);
    },
    packets: [],
    check: (world) => {
      if (world.messages.length > 0) return undefined;
      const lives = world.cores.some((core) => !isEnded(core.context.store.find(FLOW)!));
      return lives ? 'the closed flow lives' : undefined;
    },
  },
  {
    name: 'a record older than its time-out',
    rule: '14',
    nodes: 2,
    policy: AGING,
    prepare: (world) => {
      hold(world, 1, FLOW, { isn: 1, bits: BIT_ESTABLISHED });
      repairs(world, 1, 2_000);
    },
    packets: [],
    check: (world) =>
      world.cores[0]!.context.store.find(FLOW) === undefined ? undefined : 'a repair brought an entry back',
    // What one holds and the other must not take is no difference that counts.
    keepTables: true,
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
    maxStates: 60_000,
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
    name: 'two flows of one reply tuple meet',
    rule: '18',
    nodes: 2,
    nat: true,
    policy: AUTO,
    prepare: (world) => {
      const keys = [FLOW, flowKey(1, 81)] as const;
      for (const index of [0, 1] as const) {
        hold(world, index, keys[index], { isn: 1, origin: nodeAt(index) });
        const { entries, context } = world.cores[index]!;
        world.post(index, 1 - index, entries.record(context.store.find(keys[index])!, 'changed', 0), true);
      }
    },
    packets: [],
    check: (world) => {
      if (world.messages.length > 0) return undefined;
      const [here, there] = world.cores.map(({ context }) => context.store.find(FLOW) !== undefined);
      return here === there ? undefined : 'they keep different flows';
    },
  },
];
