/**
 * Cases about entries: sessions and their flows, conflicts, rebinding, reply tuples (rules 9-11, 18 and 19 of PROTOCOL.md, the order of entries).
 */

import { BIT_CLOSING, BOTH_FINS } from '../../../src/cluster/entry.ts';
import { ack, flowKey, type ModelCase, nodeAt, reply, sessionKey, syn, TAG, udp } from '../case.ts';
import { AUTO, BOTH, drains, FLOW, forwarded, hold, holdAll, noReset, UDP } from '../first-states.ts';

const ALL = [0, 1, 2];

export const ENTRY_CASES: readonly ModelCase[] = [
  {
    name: 'session captures old flow',
    rule: '9',
    nodes: 2,
    policy: AUTO,
    prepare: (world) => {
      hold(world, 0, FLOW, { isn: 1, server: 1 });
      holdAll(world, sessionKey(1), { server: 1 });
    },
    events: [drains(1)],
    packets: [
      { packet: syn(1, flowKey(1, 81), 2, sessionKey(1)), at: [0] },
      { packet: ack(2, FLOW, 1, sessionKey(1)), at: [1] },
    ],
    check: (world) => {
      const servers = world.saw.get(`${sessionKey(1).text}#1`);
      return servers !== undefined && !servers.has(1) ? 'flow 1 left its server' : noReset(world);
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
    name: 'double rebinding, and one dies',
    rule: '1, 10',
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
    crashes: 1,
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
      world.post(world.message(0, 1, record, true));
      world.post(world.message(0, 2, record, true));
    },
    packets: [{ packet: udp(1, FLOW), at: ALL }],
    check: (world) => {
      if (world.messages.length > 0) return undefined;
      const servers = new Set(world.cores.map((core) => core.context.store.find(FLOW)?.server));
      return servers.size > 1 ? `tables differ: ${[...servers].join(' ')}` : undefined;
    },
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
        world.post(world.message(index, 1 - index, cargo, true));
      }
    },
    packets: [{ packet: udp(1, FLOW), at: BOTH }],
    check: (world) => {
      if (world.messages.length > 0) return undefined;
      const servers = new Set(world.cores.map((core) => core.context.store.find(FLOW)?.server));
      return servers.size > 1 ? `tables differ: ${[...servers].join(' ')}` : undefined;
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
        world.post(
          world.message(
            index,
            1 - index,
            entries.record(context.store.find(keys[index])!, 'changed', 0),
            true,
          ),
        );
      }
    },
    packets: [],
    check: (world) => {
      if (world.messages.length > 0) return undefined;
      const [here, there] = world.cores.map(({ context }) => context.store.find(FLOW) !== undefined);
      return here === there ? undefined : 'they keep different flows';
    },
  },
  {
    name: 'a session that moved captures no old flow',
    rule: '9',
    nodes: 2,
    policy: AUTO,
    prepare: (world) => {
      hold(world, 0, FLOW, { isn: 1, server: 1 });
      holdAll(world, sessionKey(1), { server: 2, generation: 1 });
    },
    packets: [{ packet: ack(1, FLOW, 1, sessionKey(1)), at: BOTH }],
    check: (world) =>
      [...world.saw.values()].some((servers) => servers.has(2)) ? 'the flow left its server' : noReset(world),
  },
  {
    name: 'a flow stays where its session was',
    rule: '9',
    nodes: 2,
    policy: UDP,
    prepare: (world) => {
      holdAll(world, FLOW, { server: 1 });
      holdAll(world, sessionKey(1), { server: 2, generation: 1 });
    },
    packets: [{ packet: udp(1, FLOW, sessionKey(1)), at: BOTH }],
    check: (world) =>
      [...world.saw.values()].some((servers) => servers.has(2)) ? 'the flow left its server' : undefined,
  },
  {
    name: 'a session moved, and who granted that has not heard so',
    rule: '2, 9',
    nodes: 2,
    policy: UDP,
    prepare: (world) => {
      hold(world, 0, sessionKey(1), { server: 1, generation: 1 });
      hold(world, 1, sessionKey(1), { server: 4 });
      const { entries, context } = world.cores[0]!;
      world.post(
        world.message(0, 1, entries.record(context.store.find(sessionKey(1))!, 'selected', 1), true),
      );
      const report = { server: 1, holder: nodeAt(0), tag: TAG, generation: 1, attempt: 1, replaced: false };
      world.mine(1).locks.remembered.add(sessionKey(1).text, report, 1e9);
    },
    packets: [
      { packet: udp(1, FLOW, sessionKey(1)), at: [0] },
      { packet: udp(2, FLOW, sessionKey(1)), at: [1] },
    ],
  },
  {
    name: 'a session moves while a flow of it opens',
    rule: '2, 9',
    nodes: 2,
    policy: UDP,
    prepare: (world) => holdAll(world, sessionKey(1), { server: 4 }),
    events: [drains(4)],
    packets: [
      { packet: udp(1, FLOW, sessionKey(1)), at: [1] },
      { packet: udp(2, FLOW, sessionKey(1)), at: BOTH, after: 0 },
    ],
  },
  {
    name: 'a session moves, and who granted that does not know why',
    rule: '2, 9',
    nodes: 2,
    policy: UDP,
    prepare: (world) => {
      holdAll(world, sessionKey(1), { server: 4 });
      world.drainedAt = 0;
    },
    events: [drains(4)],
    packets: [
      { packet: udp(1, FLOW, sessionKey(1)), at: BOTH },
      { packet: udp(2, FLOW, sessionKey(1)), at: BOTH, after: 0 },
    ],
  },
  {
    name: 'a late packet of a closed flow, its reply tuple taken',
    rule: '18',
    nodes: 1,
    nat: true,
    policy: AUTO,
    prepare: (world) => {
      hold(world, 0, FLOW, { isn: 1, bits: BIT_CLOSING | BOTH_FINS, lastSeen: -5 });
      hold(world, 0, flowKey(1, 81), { isn: 2, lastSeen: -5 });
    },
    packets: [{ packet: ack(1, FLOW, 1), at: [0] }],
    check: (world) => {
      const held = world.cores[0]!.context.store.findReply(reply(2, 1).reply!);
      return held?.key.text === flowKey(1, 81).text
        ? undefined
        : 'replies of the flow that lives go to the closed one';
    },
  },
];
