/**
 * Steps that were made once and need not be made again: a core is a value, so the same event at the same time does the same to it.
 *
 * A core at a time, recognised by its digest, is one `Moment`; what came of an event there is kept with it. So a search makes the steps of each
 * dispatcher once, and not once for each state that the others and the messages in flight can be in meanwhile.
 */

import type { Effect } from '../../src/cluster/context.ts';
import type { Core, CoreEvent } from '../../src/cluster/core.ts';
import { nodeAt } from './case.ts';
import { digestCore } from './copy-core.ts';
import { answerFor } from './cores.ts';
import { Digest } from './digest.ts';
import type { Message } from './messages.ts';
import type { Lent } from './numbers.ts';
import type { World } from './world.ts';

/** An effect, and the messages that it sends. */
export interface Deed {
  readonly effect: Effect;
  readonly messages: readonly Message[];
}

export interface Outcome {
  readonly after: Moment;
  /** Numbers given when it was over. */
  readonly attempts: number;
  readonly questions: number;
  /** Silence was taken for a grant. */
  readonly byTimeout: boolean;
  readonly fault: string | undefined;
  readonly deeds: readonly Deed[];
}

export interface Moment {
  readonly core: Core;
  /** Its digest. */
  readonly a: number;
  readonly b: number;
  readonly outcomes: Map<number, Outcome>;
  /** The same core, untouched, at later times. */
  readonly later: Map<number, Moment>;
}

/** All moments that a search has met. */
export class Moments {
  readonly byDigest = new Map<string, Moment>();

  /** The moment of a core that was changed, which is replaced by the one that is known to be like it. */
  of(world: World, index: number): Moment {
    const digest = new Digest();
    digestCore(world.cores[index]!, world.now, digest, !world.reduction.ages);
    const { a, b } = digest;
    const name = `${index} ${world.now} ${a} ${b}`;
    let moment = world.reduction.reuse ? this.byDigest.get(name) : undefined;
    if (moment === undefined) {
      moment = { core: world.cores[index]!, a, b, outcomes: new Map(), later: new Map() };
      this.byDigest.set(name, moment);
    }
    return moment;
  }
}

/** Numbers below this have room in the name of a step. */
const FEW = 64;

/**
 * The name of a step among those of one moment. The numbers that are lent for it (numbers.ts) are no part of the core.
 * @param event 0 when it has no name, else unique in the search.
 * @returns -1 when the step must be made
 */
export function stepName(event: number, attempt: number, question: number): number {
  return event === 0 || attempt >= FEW || question >= FEW ? -1 : (event * FEW + attempt) * FEW + question;
}

/** Names of events: what kind, and which one. */
export const EVENT_MESSAGE = 1;
export const EVENT_PACKET = 2;
export const EVENT_DEADLINE = 3;
export const EVENT_UP = 4;
export const EVENT_DOWN = 5;

export function eventName(kind: number, which: number): number {
  return which * 8 + kind;
}

/** Makes a step with the core itself. */
export function makeStep(world: World, index: number, event: CoreEvent, lent: Lent): Outcome {
  const core = world.mine(index);
  // What is known of a peer changes before the core hears of it.
  if (event.kind === 'peer-up' || event.kind === 'peer-down')
    core.context.peers.get(event.node)!.up = event.kind === 'peer-up';
  answerFor(world);
  core.own.attempts = lent.attempt;
  core.questions.numbers = lent.question;
  const before = core.context.counters.grantsByTimeout;
  const effects = core.step(world.now, event);
  const { attempts } = core.own;
  const questions = core.questions.numbers;
  const byTimeout = core.context.counters.grantsByTimeout > before;
  const deeds = effects.map((effect) => ({ effect, messages: messagesOf(world, index, effect) }));
  return { after: world.moment(index), attempts, questions, byTimeout, fault: orderFault(effects), deeds };
}

function messagesOf(world: World, index: number, effect: Effect): Message[] {
  switch (effect.kind) {
    case 'tunnel': {
      const packet = { ...effect.packet, hops: effect.hops, from: nodeAt(index) };
      return [world.message(index, effect.to - 1, packet, false)];
    }
    case 'send':
      return [world.message(index, effect.to - 1, effect.record, false)];
    case 'broadcast':
      return world.cores.flatMap((_, to) =>
        to === index ? [] : [world.message(index, to, effect.record, true)],
      );
    default:
      return [];
  }
}

/** The update leaves before the first packet does (packet rule 4): in the order of effects. */
function orderFault(effects: readonly Effect[]): string | undefined {
  const left = new Set<string>();
  for (const effect of effects) {
    if (effect.kind === 'forward' && !effect.stateless) left.add(effect.key.text);
    if (effect.kind !== 'broadcast' || effect.record.type !== 'entry' || effect.record.cause !== 'selected')
      continue;
    if (left.has(effect.record.key.text)) return 'a packet left before the update';
  }
  return undefined;
}
