/** Messages in flight that can have no effect any more: to leave them out keeps the search small. */

import { entryAnswers } from '../../src/cluster/locks.ts';
import type { Message } from './messages.ts';
import type { World } from './world.ts';

/**
 * Takes out what can have no effect any more, whenever it comes: answers to attempts and questions that are over
 * (their numbers never return), records of what is held already, locks that would only bring such an answer.
 */
export function forgetDead(world: World): void {
  if (world.model.keepDead === true) return;
  world.messages = world.messages.filter((message) => !isDead(world, message));
}

function isDead(world: World, message: Message): boolean {
  const { cargo } = message;
  if ('handle' in cargo || !world.isAlive(message.to)) return false;
  const core = world.cores[message.to]!;
  switch (cargo.type) {
    case 'grant':
      return !isAsking(world, message.to, cargo.key.text, cargo.attempt);
    case 'refuse':
      return !isAsking(world, message.to, cargo.lock.key.text, cargo.attempt);
    case 'no':
      return core.questions.table.get(cargo.about.text)?.number !== cargo.question;
    case 'entry': {
      if (cargo.cause === 'repair' || world.model.nat === true) return false;
      const held = core.context.store.find(cargo.key);
      if (held === undefined || held.isn !== cargo.isn || held.generation !== cargo.generation) return false;
      if (held.server !== cargo.server || (cargo.bits & ~held.bits) !== 0) return false;
      if (held.origin !== cargo.origin) return false;
      if (cargo.previousIsn !== held.previousIsn && cargo.previousIsn >= 0) return false;
      const { text } = cargo.key;
      return !core.locks.table.has(text) && !core.questions.table.has(text);
    }
    case 'lock': {
      const entry = core.context.store.find(cargo.key);
      if (entry === undefined || !entryAnswers(entry, cargo)) return false;
      if (!cargo.confirm || !world.isAlive(message.from)) return true;
      if (isAsking(world, message.from, cargo.key.text, cargo.attempt)) return false;
      const held = world.cores[message.from]!.context.store.find(cargo.key);
      return held?.isn === entry.isn && held.server === entry.server && held.generation === entry.generation;
    }
    default:
      return false;
  }
}

function isAsking(world: World, index: number, text: string, attempt: number): boolean {
  const lock = world.cores[index]!.locks.table.get(text);
  return lock?.kind === 'own' && lock.attempt === attempt;
}
