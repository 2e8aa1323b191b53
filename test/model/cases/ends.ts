/**
 * Cases about the end of a session, and about flows that some do not know (rules 5, 7 and 12-14 of PROTOCOL.md, incarnations of entries).
 */

import type { ServicePolicy } from '../../../src/cluster/context.ts';
import {
  BIT_CLOSING,
  BIT_ESTABLISHED,
  BIT_TOMBSTONE,
  BOTH_FINS,
  isEnded,
} from '../../../src/cluster/entry.ts';
import type { SessionKey } from '../../../src/cluster/session-key.ts';
import { ack, type ModelCase, type ScriptEvent, syn } from '../case.ts';
import { AUTO, BOTH, FLOW, forwarded, hold, holdAll, noReset, POLICY } from '../first-states.ts';
import type { World } from '../world.ts';

const AGING: ServicePolicy = { ...AUTO, timeouts: { ...AUTO.timeouts, tcpEstablished: 1_000 } };

function closes(index: number, key: SessionKey, when: (world: World) => boolean): ScriptEvent {
  return {
    name: `both FINs at ${index}`,
    when: (world) => world.isAlive(index) && when(world),
    run: (world) => world.step(index, { kind: 'note', key, bits: BOTH_FINS }),
  };
}

/** A digest's repair is on its way from one to the other. */
function repairs(world: World, from: number, idleMs = 0): void {
  const { entries, context } = world.cores[from]!;
  const record = entries.record(context.store.find(FLOW)!, 'repair', 0);
  world.post(world.message(from, 1 - from, { ...record, idleMs, ageMs: idleMs }, true));
}

export const END_CASES: readonly ModelCase[] = [
  {
    name: 'silence taken for no',
    rule: '5, packet 6',
    nodes: 2,
    policy: POLICY,
    prepare: (world) => hold(world, 0, FLOW, { isn: 1, server: 1 }),
    packets: [{ packet: ack(1, FLOW, 1), at: [1] }],
    losses: 3,
    crashes: 1,
    check: noReset,
  },
  {
    name: 'one no is not enough',
    rule: 'packet 6',
    nodes: 3,
    policy: POLICY,
    prepare: (world) => hold(world, 0, FLOW, { isn: 1, server: 1 }),
    packets: [{ packet: ack(1, FLOW, 1), at: [1] }],
    losses: 1,
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
];
