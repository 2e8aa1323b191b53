/** What a move does to a world. */

import { nodeAt } from './case.ts';
import type { Message } from './messages.ts';
import type { Move } from './moves.ts';
import { EVENT_DEADLINE, EVENT_DOWN, EVENT_MESSAGE, EVENT_PACKET, EVENT_UP, eventName } from './steps.ts';
import type { World } from './world.ts';

export function happen(world: World, move: Move): void {
  const count = world.cores.length;
  switch (move.kind) {
    case 'deliver':
      world.remove(move.message);
      deliver(world, move.message);
      break;
    case 'deliver and keep':
      world.duplicates--;
      deliver(world, move.message);
      break;
    case 'lose':
      if (world.isAlive(move.message.from)) world.losses--;
      world.remove(move.message);
      break;
    case 'packet': {
      const { packet } = world.model.packets[move.script]!;
      world.came = new Set(world.came).add(move.script);
      world.step(move.index, { kind: 'packet', packet }, eventName(EVENT_PACKET, move.script));
      break;
    }
    case 'event':
      world.happened = new Set(world.happened).add(move.at);
      world.model.events![move.at]!.run(world);
      break;
    case 'crash':
      crash(world, move.index);
      break;
    case 'deadline':
      world.step(move.index, { kind: 'deadline' }, eventName(EVENT_DEADLINE, 0));
      break;
    case 'clock':
      wait(world, move.to);
      break;
    case 'suspects':
      world.suspicions--;
      world.suspected |= 1 << (move.a * count + move.b);
      world.excuse = 'false suspicion';
      setUp(world, move.a, move.b, false);
      break;
    case 'hears again':
      world.suspected &= ~(1 << (move.a * count + move.b));
      setUp(world, move.a, move.b, true);
      break;
    case 'notices the end of':
      world.unnoticed &= ~(1 << (move.a * count + move.b));
      setUp(world, move.a, move.b, false);
      break;
  }
}

function deliver(world: World, { id, to, from, cargo }: Message): void {
  const name = eventName(EVENT_MESSAGE, id);
  if ('handle' in cargo) world.step(to, { kind: 'packet', packet: cargo }, name);
  else {
    const records = [cargo];
    world.step(to, { kind: 'records', from: nodeAt(from), records, repaired: false, heldMs: 0 }, name);
  }
}

function wait(world: World, to: number): void {
  const before = world.moments.slice();
  world.now = to;
  for (const [index, moment] of before.entries()) {
    const later = moment?.later.get(to);
    world.moments[index] = later;
    if (later === undefined) moment?.later.set(to, world.moment(index));
    else world.cores[index] = later.core;
  }
}

function crash(world: World, index: number): void {
  const count = world.cores.length;
  world.crashes--;
  world.alive &= ~(1 << index);
  world.messages = world.messages.filter((message) => message.to !== index);
  for (let other = 0; other < count; other++) {
    if (other === index) continue;
    world.suspected &= ~(1 << (index * count + other));
    const pair = 1 << (other * count + index);
    if ((world.suspected & pair) !== 0) world.suspected &= ~pair;
    else if (world.isAlive(other)) world.unnoticed |= pair;
    world.unnoticed &= ~(1 << (index * count + other));
  }
}

function setUp(world: World, a: number, b: number, up: boolean): void {
  const name = eventName(up ? EVENT_UP : EVENT_DOWN, b);
  world.step(a, { kind: up ? 'peer-up' : 'peer-down', node: nodeAt(b) }, name);
}
