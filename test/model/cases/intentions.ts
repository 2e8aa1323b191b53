/**
 * Cases about servers that a lock intended and may have used (rule 1 of PROTOCOL.md): its holder died, or began another life.
 */

import { NO_ISN } from '../../../src/cluster/entry.ts';
import type { Report } from '../../../src/cluster/records.ts';
import { type ModelCase, nodeAt, TAG, udp } from '../case.ts';
import { BOTH, FLOW, UDP } from '../first-states.ts';
import type { World } from '../world.ts';

const NEVER = 1e9;

/** What may have been used before is used on. */
function stays(server: number): (world: World) => string | undefined {
  return (world) => {
    for (const servers of world.saw.values())
      if (!servers.has(server)) return 'the server that may have been used is not';
    return undefined;
  };
}

/** Dispatcher 1 voided a lock that may have been used. */
function remembers(world: World, report: Report): void {
  world
    .mine(1)
    .locks.remembered.add(FLOW.text, { ...report, generation: 0, attempt: 2, replaced: false }, NEVER);
}

export const INTENTION_CASES: readonly ModelCase[] = [
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
    name: 'crash after selection, another locks',
    rule: '1',
    nodes: 2,
    policy: UDP,
    prepare: (world) => {
      // Dispatcher 1 granted somebody who intended server 3, and who is dead by now; dispatcher 0 knows nothing of it.
      remembers(world, { server: 3, holder: 9, tag: 5 });
    },
    packets: [
      { packet: udp(1, FLOW), at: BOTH },
      { packet: udp(2, FLOW), at: BOTH, after: 0 },
    ],
    check: stays(3),
  },
  {
    name: 'crash after selection, then of a joiner',
    rule: '1',
    nodes: 2,
    policy: UDP,
    prepare: (world) => {
      // Dispatcher 0 came after that one died: it would choose server 1, and may die while it asks.
      remembers(world, { server: 3, holder: 9, tag: 5 });
    },
    packets: [
      { packet: udp(1, FLOW), at: BOTH },
      { packet: udp(2, FLOW), at: BOTH, after: 0 },
    ],
    crashes: 1,
    // What nobody alive knows is not promised.
    check: (world) => (world.isAlive(1) ? stays(3)(world) : undefined),
  },
  {
    name: 'crash after selection, and it comes back',
    rule: '1, identities',
    nodes: 2,
    policy: UDP,
    prepare: (world) => {
      // Dispatcher 0 selected in its earlier life; its new one knows nothing of that.
      remembers(world, { server: 3, holder: nodeAt(0), tag: TAG - 1 });
    },
    packets: [
      { packet: udp(1, FLOW), at: BOTH },
      { packet: udp(2, FLOW), at: BOTH, after: 0 },
    ],
    check: stays(3),
  },
  {
    name: 'an unlock of another life',
    rule: '1, identities',
    nodes: 2,
    policy: UDP,
    prepare: (world) => {
      const claim = {
        key: FLOW,
        attempt: 1,
        isn: 0,
        previousIsn: NO_ISN,
        generation: 0,
        server: 3,
        leaseMs: 40,
      };
      const core = world.mine(1);
      core.locks.learn(nodeAt(0), { type: 'lock', ...claim, confirm: false }, []);
      // Its holder came back meanwhile, and unlocks what it placed since.
      core.context.peers.get(nodeAt(0))!.tag = TAG + 1;
      world.post(world.message(0, 1, { type: 'unlock', key: FLOW, attempt: 2 }, true));
    },
    packets: [{ packet: udp(1, FLOW), at: [1] }],
    check: stays(3),
  },
  {
    name: 'an unlock of an earlier attempt',
    rule: '1, attempt',
    nodes: 2,
    policy: UDP,
    prepare: (world) => {
      // Dispatcher 0 is taken for dead, its last lock is void, and what it said of the one before comes late.
      remembers(world, { server: 3, holder: nodeAt(0), tag: TAG });
      world.mine(1).context.peers.get(nodeAt(0))!.up = false;
      world.post(world.message(0, 1, { type: 'unlock', key: FLOW, attempt: 1 }, true));
    },
    packets: [{ packet: udp(1, FLOW), at: [1] }],
    check: stays(3),
  },
  {
    name: 'a stale grant, then a crash',
    rule: 'attempt, 1',
    nodes: 2,
    policy: UDP,
    prepare: (world) => {
      // Dispatcher 0 placed a lock and yielded; the grant of that attempt is still under way. It will ask again for another server.
      world.numbers = new Map([[`0|a|${FLOW.text}`, 1]]);
      world.post(world.message(1, 0, { type: 'grant', key: FLOW, attempt: 1, reports: [] }, false));
    },
    packets: [
      { packet: udp(1, FLOW), at: [0] },
      { packet: udp(2, FLOW), at: [1] },
    ],
    crashes: 1,
    keepDead: true,
  },
];
