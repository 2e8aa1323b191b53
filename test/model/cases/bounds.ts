/**
 * Cases by their bound: so many sessions, packets, losses, crashes, false suspicions over two or three dispatchers that all race (rules 1-6 of
 * PROTOCOL.md).
 *
 * All go to their end in the suite, with locks and questions repeated (1.0 million states for two sessions, three packets and all faults at once), but
 * for the last, which does by hand (1.6 million). Those without repeats are there for what they find: its trace is short.
 */

import type { ModelCase, ScriptPacket } from '../case.ts';
import { udp } from '../case.ts';
import { BOTH, FLOW, OTHER, RANKED, UDP } from '../first-states.ts';

type Faults = Pick<ModelCase, 'losses' | 'crashes' | 'suspicions' | 'duplicates' | 'repeats' | 'maxStates'>;

/** Two packets of one session, and one of another, each at either dispatcher. */
function twoSessions(name: string, faults: Faults, third?: Partial<ScriptPacket>): ModelCase {
  const packets = [
    { packet: udp(1, FLOW), at: BOTH },
    { packet: udp(2, FLOW), at: BOTH, after: 0 },
    { packet: udp(3, OTHER), at: BOTH, ...third },
  ];
  return { name, rule: 'locks, 1-6, order of entries', nodes: 2, policy: UDP, packets, ...faults };
}

/** So many packets of one session, each at either dispatcher. */
function oneSession(name: string, count: number, faults: Faults): ModelCase {
  const packets: ScriptPacket[] = [];
  for (let at = 0; at < count; at++)
    packets.push({ packet: udp(at + 1, FLOW), at: BOTH, ...(at > 0 ? { after: at - 1 } : {}) });
  return { name, rule: 'locks, 1-6, attempts', nodes: 2, policy: UDP, packets, ...faults };
}

/** Two packets of one session, at two of three dispatchers. */
function threeDispatchers(name: string, faults: Faults): ModelCase {
  const packets = [
    { packet: udp(1, RANKED), at: [0] },
    { packet: udp(2, RANKED), at: [1] },
  ];
  return { name, rule: 'locks, 1-6, packet 5 and 8', nodes: 3, policy: UDP, packets, ...faults };
}

const EARLY = { at: [0], early: true };
/** By hand to the end. */
const CUT = { maxStates: 20_000 };
/** All at once. */
const ALL = { losses: 1, crashes: 1, suspicions: 1 };

export const BOUND_CASES: readonly ModelCase[] = [
  twoSessions('a loss, a crash and a false suspicion together', {
    ...ALL,
    repeats: false,
  }),
  twoSessions('two sessions, a crash', { crashes: 1, repeats: false }),
  twoSessions('two sessions, a false suspicion', { suspicions: 1, repeats: false }, EARLY),
  twoSessions('two sessions, a loss', { losses: 1, repeats: false }),
  oneSession('one session, a loss, a crash and a false suspicion, repeats', 2, ALL),
  {
    name: 'two sessions of a packet each, a loss, a crash and a false suspicion, repeats',
    rule: 'locks, 1-6',
    nodes: 2,
    policy: UDP,
    packets: [
      { packet: udp(1, FLOW), at: [0] },
      { packet: udp(2, OTHER), at: [1] },
    ],
    ...ALL,
  },
  oneSession('race of three packets', 3, {}),
  oneSession('race, duplicated datagrams', 2, { duplicates: 1, losses: 1 }),
  oneSession('race of three packets, duplicated datagrams', 3, { duplicates: 1, losses: 1 }),
  twoSessions('two sessions, a loss and a crash, repeats', { losses: 1, crashes: 1 }, EARLY),
  twoSessions('two sessions, a loss and a false suspicion, repeats', { losses: 1, suspicions: 1 }, EARLY),
  twoSessions('a loss, a crash and a false suspicion together, repeats', ALL),
  oneSession('race of three packets, a loss, a crash and a false suspicion, repeats', 3, ALL),
  threeDispatchers('three dispatchers race, a loss, repeats', { losses: 1 }),
  threeDispatchers('three dispatchers race, one dies, repeats', { crashes: 1, repeats: true, ...CUT }),
];
