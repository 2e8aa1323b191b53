/**
 * Numbers of attempts and questions, given per session: only their order within one session means anything, so sessions that happen in another order end
 * in the same state.
 */

import type { Core, CoreEvent } from '../../src/cluster/core.ts';
import type { SessionRecord } from '../../src/cluster/records.ts';
import type { ModelCase } from './case.ts';
import type { Outcome } from './steps.ts';
import type { World } from './world.ts';

/** What a step was lent: the sessions that it can be about, and the numbers given so far for them. */
export interface Lent {
  readonly keys: readonly string[];
  readonly attempt: number;
  readonly question: number;
}

export function lend(world: World, index: number, event: CoreEvent): Lent {
  const keys = keysOf(world.model, world.cores[index]!, event);
  let attempt = 0;
  let question = 0;
  for (const key of keys) {
    attempt = Math.max(attempt, world.numbers.get(`${index}|a|${key}`) ?? 0);
    question = Math.max(question, world.numbers.get(`${index}|q|${key}`) ?? 0);
  }
  return { keys, attempt, question };
}

export function takeBack(
  world: World,
  index: number,
  { attempts, questions }: Pick<Outcome, 'attempts' | 'questions'>,
  lent: Lent,
): void {
  let changed: Map<string, number> | undefined;
  const set = (name: string, value: number): void => {
    changed ??= new Map(world.numbers);
    changed.set(name, value);
  };
  for (const key of lent.keys) {
    // Of several sessions it may have been any: a number that is left out does no harm.
    if (attempts !== lent.attempt) set(`${index}|a|${key}`, attempts);
    if (questions !== lent.question) set(`${index}|q|${key}`, questions);
  }
  if (changed !== undefined) world.numbers = changed;
}

/** The sessions that a step can number something for. Where one leads to another (client to flow, reply to flow): all. */
function keysOf(model: ModelCase, core: Core, event: CoreEvent): readonly string[] {
  if (model.nat === true || model.packets.some((one) => one.packet.session !== undefined)) return ['all'];
  switch (event.kind) {
    case 'packet':
      return [event.packet.flow!.text];
    case 'note':
      return [event.key.text];
    case 'records':
      return [keyOf(event.records[0]!)];
    default:
      return [...new Set([...core.locks.table.keys(), ...core.questions.table.keys()])];
  }
}

function keyOf(record: SessionRecord): string {
  if (record.type === 'refuse') return record.lock.key.text;
  return record.type === 'question' || record.type === 'no' ? record.about.text : record.key.text;
}
