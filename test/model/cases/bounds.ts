/**
 * Cases by their bound: so many sessions, packets, losses, crashes, false suspicions over two dispatchers that all race (rules 1-6 of protocol.md).
 *
 * Two sessions without repeats are exhausted with all faults at once. Repeats multiply what is in flight, so with them three packets go to their
 * end by hand only.
 */

import type { ModelCase, ScriptPacket } from '../case.ts';
import { udp } from '../case.ts';
import { BOTH, FLOW, OTHER, UDP } from '../first-states.ts';

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

const EARLY = { at: [0], early: true };
/** By hand to the end. */
const CUT = { maxStates: 60_000 };

export const BOUND_CASES: readonly ModelCase[] = [
  twoSessions('a loss, a crash and a false suspicion together', {
    losses: 1,
    crashes: 1,
    suspicions: 1,
    repeats: false,
  }),
  twoSessions('two sessions, a crash', { crashes: 1, repeats: false }),
  twoSessions('two sessions, a false suspicion', { suspicions: 1, repeats: false }, EARLY),
  twoSessions('two sessions, a loss', { losses: 1, repeats: false }),
  oneSession('one session, a loss, a crash and a false suspicion, repeats', 2, {
    losses: 1,
    crashes: 1,
    suspicions: 1,
  }),
  {
    name: 'two sessions of a packet each, a loss, a crash and a false suspicion, repeats',
    rule: 'locks, 1-6',
    nodes: 2,
    policy: UDP,
    packets: [
      { packet: udp(1, FLOW), at: [0] },
      { packet: udp(2, OTHER), at: [1] },
    ],
    losses: 1,
    crashes: 1,
    suspicions: 1,
  },
  oneSession('race of three packets', 3, {}),
  oneSession('race, duplicated datagrams', 2, { duplicates: 1, losses: 1 }),
  oneSession('race of three packets, duplicated datagrams', 3, { duplicates: 1, losses: 1, ...CUT }),
  twoSessions('two sessions, a loss and a crash, repeats', { losses: 1, crashes: 1, ...CUT }, EARLY),
  twoSessions(
    'two sessions, a loss and a false suspicion, repeats',
    { losses: 1, suspicions: 1, ...CUT },
    EARLY,
  ),
  twoSessions('a loss, a crash and a false suspicion together, repeats', {
    losses: 1,
    crashes: 1,
    suspicions: 1,
    ...CUT,
  }),
];
