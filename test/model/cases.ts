/**
 * The cases of the exhaustive check. Each row of protocol.md's table of traces is one, by its name there.
 */

import { BIT_CLOSING, NO_ISN } from '../../src/cluster/entry.ts';
import type { SessionKey } from '../../src/cluster/session-key.ts';
import {
  ack,
  flowKey,
  type ModelCase,
  nodeAt,
  reply,
  type ScriptEvent,
  sessionKey,
  syn,
  udp,
} from './case.ts';
import { AUTO, BOTH, FLOW, hold, holdAll, OTHER, POLICY, UDP } from './first-states.ts';
import { MORE_CASES } from './more-cases.ts';
import type { World } from './world.ts';

const NEVER = 1e9;
const ALL = [0, 1, 2];
/** Ranks: dispatcher 0, then 2, then 1. */
const RANKED = flowKey(11);

function forwarded(world: World, handle: number): boolean {
  return world.ends.get(handle) === 'forward';
}

function closes(index: number, key: SessionKey, when: (world: World) => boolean): ScriptEvent {
  return {
    name: `both FINs at ${index}`,
    when: (world) => world.isAlive(index) && when(world),
    run: (world) => world.step(index, { kind: 'note', key, bits: BIT_CLOSING }),
  };
}

/** A packet that was answered with a reset although its flow lives somewhere. */
function noReset(world: World): string | undefined {
  for (const [handle, how] of world.ends) if (how === 'reset') return `packet ${handle} was reset`;
  return undefined;
}

export const CASES: readonly ModelCase[] = [
  ...MORE_CASES,
  {
    name: 'two sessions, a crash',
    rule: 'locks, 1-6',
    nodes: 2,
    policy: UDP,
    packets: [
      { packet: udp(1, FLOW), at: BOTH },
      { packet: udp(2, FLOW), at: BOTH, after: 0 },
      { packet: udp(3, OTHER), at: BOTH },
    ],
    crashes: 1,
    repeats: false,
  },
  {
    name: 'two sessions, a false suspicion',
    rule: 'locks, order of entries',
    nodes: 2,
    policy: UDP,
    packets: [
      { packet: udp(1, FLOW), at: BOTH },
      { packet: udp(2, FLOW), at: BOTH, after: 0 },
      { packet: udp(3, OTHER), at: [0], early: true },
    ],
    suspicions: 1,
    repeats: false,
  },
  {
    name: 'two sessions, a loss',
    rule: 'locks, 5',
    nodes: 2,
    policy: UDP,
    packets: [
      { packet: udp(1, FLOW), at: BOTH },
      { packet: udp(2, FLOW), at: BOTH, after: 0 },
      { packet: udp(3, OTHER), at: BOTH },
    ],
    losses: 1,
    repeats: false,
  },
  {
    name: 'two sessions, a loss and a crash, repeats',
    rule: 'locks, 1-6',
    nodes: 2,
    policy: UDP,
    packets: [
      { packet: udp(1, FLOW), at: BOTH },
      { packet: udp(2, FLOW), at: BOTH, after: 0 },
      { packet: udp(3, OTHER), at: [0], early: true },
    ],
    losses: 1,
    crashes: 1,
    maxStates: 60_000,
  },
  {
    name: 'two sessions, a loss and a false suspicion, repeats',
    rule: 'locks, order of entries',
    nodes: 2,
    policy: UDP,
    packets: [
      { packet: udp(1, FLOW), at: BOTH },
      { packet: udp(2, FLOW), at: BOTH, after: 0 },
      { packet: udp(3, OTHER), at: [0], early: true },
    ],
    losses: 1,
    suspicions: 1,
    maxStates: 60_000,
  },
  {
    name: 'race, duplicated datagrams',
    rule: 'design 5, attempts',
    nodes: 2,
    policy: UDP,
    packets: [
      { packet: udp(1, FLOW), at: BOTH },
      { packet: udp(2, FLOW), at: BOTH, after: 0 },
      { packet: udp(3, FLOW), at: BOTH, after: 1 },
    ],
    duplicates: 1,
    losses: 1,
    maxStates: 60_000,
  },
  {
    name: 'three dispatchers race',
    rule: 'design 5 and 8, two hops are few',
    nodes: 3,
    policy: UDP,
    packets: [
      { packet: udp(1, RANKED), at: [0] },
      { packet: udp(2, RANKED), at: [1] },
    ],
    // Rule 4: whoever is taken for a holder has placed that attempt itself. Design 5: of two, one yields.
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
    name: 'crash after selection',
    rule: '1',
    nodes: 2,
    policy: UDP,
    packets: [
      { packet: udp(1, FLOW), at: [0] },
      { packet: udp(2, FLOW), at: [1] },
    ],
    crashes: 1,
    losses: 1,
  },
  {
    name: 'silence taken for no',
    rule: '5, design 6',
    nodes: 2,
    policy: POLICY,
    prepare: (world) => hold(world, 0, FLOW, { isn: 1, server: 1 }),
    packets: [{ packet: ack(1, FLOW, 1), at: [1] }],
    losses: 3,
    crashes: 1,
    check: noReset,
  },
  {
    name: 'port reuse',
    keepDead: true,
    rule: 'incarnation, 7',
    nodes: 2,
    policy: AUTO,
    prepare: (world) => holdAll(world, FLOW, { isn: 1, server: 3 }),
    events: [closes(0, FLOW, () => true)],
    packets: [
      { packet: syn(1, FLOW, 2), at: [0], when: (world) => world.happened.has(0) },
      { packet: ack(2, FLOW, 2), at: BOTH, when: (world) => forwarded(world, (2 << 8) | 1) },
      { packet: ack(3, FLOW, 2), at: BOTH, when: (world) => forwarded(world, (2 << 8) | 1) },
    ],
    check: noReset,
  },
  {
    name: 'late close',
    keepDead: true,
    rule: 'incarnation',
    nodes: 2,
    policy: AUTO,
    prepare: (world) => holdAll(world, FLOW, { isn: 1, server: 3 }),
    events: [closes(0, FLOW, () => true)],
    packets: [
      { packet: syn(1, FLOW, 2), at: BOTH, when: (world) => world.happened.has(0) },
      { packet: ack(2, FLOW, 2), at: BOTH, when: (world) => forwarded(world, (2 << 8) | 1) },
    ],
    duplicates: 1,
    check: (world) => {
      for (const core of world.cores) {
        const entry = core.context.store.find(FLOW);
        if (entry?.isn === 2 && (entry.bits & BIT_CLOSING) !== 0) return 'the close of ISN 1 closed ISN 2';
      }
      return noReset(world);
    },
  },
  {
    name: 'resurrection by resend',
    keepDead: true,
    rule: '13',
    nodes: 2,
    policy: AUTO,
    packets: [{ packet: syn(1, FLOW, 1), at: [0] }],
    events: [closes(0, FLOW, (world) => forwarded(world, (1 << 8) | 1))],
    duplicates: 1,
    check: (world) => {
      if (world.messages.length > 0 || !world.happened.has(0)) return undefined;
      const entry = world.cores[1]!.context.store.find(FLOW);
      return entry !== undefined && (entry.bits & BIT_CLOSING) === 0 ? 'the closed flow lives' : undefined;
    },
  },
  {
    name: 'resurrection after expiry',
    keepDead: true,
    rule: '13, 14',
    nodes: 2,
    policy: { ...AUTO, timeouts: { ...POLICY.timeouts, tcpClosing: 10 } },
    packets: [{ packet: syn(1, FLOW, 1), at: [0] }],
    events: [
      closes(0, FLOW, (world) => forwarded(world, (1 << 8) | 1)),
      {
        name: 'the closing time-out at 1',
        when: (world) => ((world.cores[1]!.context.store.find(FLOW)?.bits ?? 0) & BIT_CLOSING) !== 0,
        run: (world) => {
          const core = world.mine(1);
          core.context.now = world.now + 20;
          core.sweep.look(core.context.store.find(FLOW)!);
          core.context.now = world.now;
        },
      },
    ],
    duplicates: 1,
    check: (world) => {
      if (world.messages.length > 0 || !world.happened.has(1)) return undefined;
      const entry = world.cores[1]!.context.store.find(FLOW);
      return entry !== undefined && (entry.bits & BIT_CLOSING) === 0 ? 'the closed flow lives' : undefined;
    },
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
        world.post(from, 2, cargo, false);
      }
    },
    packets: [
      { packet: udp(1, FLOW), at: [0] },
      { packet: udp(2, FLOW), at: [2] },
    ],
    keepDead: true,
  },
  {
    name: 'session captures old flow',
    rule: '9',
    nodes: 2,
    policy: AUTO,
    prepare: (world) => {
      hold(world, 0, FLOW, { isn: 1, server: 1 });
      holdAll(world, sessionKey(1), { server: 1 });
    },
    events: [
      {
        name: 'server 1 drained',
        when: () => true,
        run: (world) => {
          world.drained = new Set([1]);
        },
      },
    ],
    packets: [
      { packet: syn(1, flowKey(1, 81), 2, sessionKey(1)), at: [0] },
      { packet: ack(2, FLOW, 1, sessionKey(1)), at: [1] },
    ],
    maxStates: 60_000,
    check: (world) => {
      const servers = world.saw.get(`${sessionKey(1).text}#1`);
      return servers !== undefined && !servers.has(1) ? 'flow 1 left its server' : noReset(world);
    },
  },
  {
    name: 'conflict that stays',
    rule: 'order of entries',
    nodes: 3,
    policy: UDP,
    prepare: (world) => {
      world.excuse = 'conflict';
      hold(world, 0, FLOW, { server: 1, origin: nodeAt(0) });
      hold(world, 1, FLOW, { server: 2, origin: nodeAt(1), bits: 1 });
      hold(world, 2, FLOW, { server: 2, origin: nodeAt(1) });
      const { entries, context } = world.cores[0]!;
      const record = entries.record(context.store.find(FLOW)!, 'changed', 0);
      world.post(0, 1, record, true);
      world.post(0, 2, record, true);
    },
    packets: [{ packet: udp(1, FLOW), at: ALL }],
    check: (world) => {
      if (world.messages.length > 0) return undefined;
      const servers = new Set(world.cores.map((core) => core.context.store.find(FLOW)?.server));
      return servers.size > 1 ? `tables differ: ${[...servers].join(' ')}` : undefined;
    },
  },
  {
    name: 'double rebinding',
    rule: '10',
    nodes: 2,
    policy: { ...UDP, rebind: true },
    prepare: (world) => {
      holdAll(world, FLOW, { server: 4 });
      world.down = new Set([4]);
    },
    packets: [
      { packet: udp(1, FLOW), at: BOTH },
      { packet: udp(2, FLOW), at: BOTH },
    ],
    losses: 1,
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
    name: 'one client port, two VIP ports',
    rule: '18',
    nodes: 2,
    nat: true,
    policy: AUTO,
    packets: [
      { packet: syn(1, FLOW, 1), at: [0] },
      { packet: syn(2, flowKey(1, 81), 2), at: [0] },
    ],
    check: (world) => {
      const entries = world.cores[0]!.context.store;
      if (world.messages.length > 0 || world.came.size < 2) return undefined;
      if (entries.find(FLOW) === undefined) return 'the first flow lost its entry';
      return undefined;
    },
  },
  {
    name: 'reply at who never saw the request',
    rule: '11, 19',
    nodes: 2,
    nat: true,
    policy: AUTO,
    packets: [
      { packet: syn(1, FLOW, 1), at: [0] },
      { packet: reply(2, 1), at: BOTH, when: (world) => forwarded(world, (1 << 8) | 1) },
    ],
    check: (world) => (world.ends.get(2) === 'reply-unknown' ? 'the reply was dropped' : undefined),
  },
  {
    name: 'crash after selection, another locks',
    rule: '1',
    nodes: 2,
    policy: UDP,
    prepare: (world) => {
      // Dispatcher 1 granted somebody who intended server 3, and who is dead by now; dispatcher 0 knows nothing of it.
      const report = { server: 3, holder: 9, tag: 5 };
      world.mine(1).locks.remembered.add(FLOW.text, report, NEVER);
    },
    packets: [
      { packet: udp(1, FLOW), at: BOTH },
      { packet: udp(2, FLOW), at: BOTH, after: 0 },
    ],
    check: (world) => {
      for (const servers of world.saw.values())
        if (!servers.has(3)) return 'the server that may have been used is not';
      return undefined;
    },
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
    name: 'two hops are few',
    rule: 'design 8',
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
    name: 'conflict, both sides speak at once',
    rule: 'order of entries',
    nodes: 2,
    policy: UDP,
    prepare: (world) => {
      world.excuse = 'conflict';
      for (const index of [0, 1]) {
        hold(world, index, FLOW, { server: index + 1, origin: nodeAt(index) });
        const { entries, context } = world.cores[index]!;
        const cargo = entries.record(context.store.find(FLOW)!, 'changed', 0);
        world.post(index, 1 - index, cargo, true);
      }
    },
    packets: [{ packet: udp(1, FLOW), at: BOTH }],
    check: (world) => {
      if (world.messages.length > 0) return undefined;
      const servers = new Set(world.cores.map((core) => core.context.store.find(FLOW)?.server));
      return servers.size > 1 ? `tables differ: ${[...servers].join(' ')}` : undefined;
    },
  },
];
