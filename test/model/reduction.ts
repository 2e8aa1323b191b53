/**
 * What the search leaves out because something else that it does implies it. Each part holds for cases without a script (`check`, events, `when`):
 * those may look at anything. `reduction.test.ts` compares states and ends with and without them.
 *
 * Losses are delays. A datagram may stay in flight for any time, so what a run does after it lost one a run does as well in which that one is still
 * under way: it has the same cores and, besides the lost, the same datagrams, as copies of one record stay apart. Only an end tells the two runs apart.
 * So nothing is ever lost on the way, and wherever nothing is left but deliveries of what the budget allows to lose, all that is lost, and it is an end.
 * On the way that is any number of losses; only ends are counted by the budget.
 *
 * After an excuse nobody asks who saw what: `saw` only serves the assertion of one server per session, which does not stand any more.
 *
 * Ages and attempts in entries, where all packets are datagrams (UDP) of flows: an entry's age decides between two incarnations of a flow, and UDP has
 * but one, or about flows of a session that moved; how long it was idle is only compared with time-outs, which are never here; the attempt that an
 * entry names counts only in an answer (Core.record). Records that differ in nothing else are copies of one.
 */

import type { Packet } from '../../src/cluster/context.ts';
import type { SessionRecord } from '../../src/cluster/records.ts';
import type { ModelCase } from './case.ts';
import { NEVER } from './first-states.ts';
import type { World } from './world.ts';

export interface Reduction {
  /** Losses are delays. */
  readonly delays: boolean;
  /** Who saw what is forgotten after an excuse. */
  readonly saw: boolean;
  /** Ages and attempts that mean nothing are left out. */
  readonly ages: boolean;
  /** Steps that were made are not made again (steps.ts). */
  readonly reuse: boolean;
}

export const NO_REDUCTION: Reduction = { delays: false, saw: false, ages: false, reuse: false };

/** Whether what became of a packet decides about what comes later. */
export function isScripted(model: ModelCase): boolean {
  const { check, packets, events } = model;
  return check !== undefined || events !== undefined || packets.some((one) => one.when !== undefined);
}

/** What may be left out of a case. */
export function reductionOf(model: ModelCase): Reduction {
  const plain = !isScripted(model);
  const { policy, packets, prepare, nat } = model;
  const flows = packets.every(
    ({ packet }) => packet.opens && packet.isn === 0 && packet.session === undefined,
  );
  const ageless =
    policy.udp && policy.timeouts.udp === NEVER && flows && prepare === undefined && nat !== true;
  // Events change what the environment says, which is no part of a core.
  return { delays: plain, saw: plain, ages: plain && ageless, reuse: model.events === undefined };
}

/** Whether all that is in flight can be lost. */
export function mayLoseAll(world: World): boolean {
  let lost = 0;
  for (const { from, durable } of world.messages) {
    if (!world.isAlive(from)) continue;
    if (durable) return false;
    lost++;
  }
  return lost <= world.losses;
}

/** A record without what means nothing in it. */
export function withoutAges(cargo: SessionRecord | Packet): SessionRecord | Packet {
  if ('handle' in cargo || cargo.type !== 'entry') return cargo;
  return { ...cargo, ageMs: 0, idleMs: 0, attempt: cargo.cause === 'answer' ? cargo.attempt : 0 };
}
