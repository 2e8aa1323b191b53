/**
 * What may happen next in a world, as values: made often, named only in a trace.
 *
 * Datagrams are delivered in any order, after any delay; those of the durable stream cannot be lost while their sender lives (repair brings them), the
 * others may, as far as the budget goes (which most cases only look at in the end: reduction.ts). The clock moves to the next deadline of any core, and
 * every core that is due acts before it moves again; since datagrams and packets may come at any point between, each deadline fires at any point
 * relative to them.
 */

import { nextDeadline } from './copy-core.ts';
import type { Message } from './messages.ts';
import type { World } from './world.ts';

export type Move =
  | { readonly kind: 'deliver' | 'deliver and keep' | 'lose'; readonly message: Message }
  | { readonly kind: 'packet'; readonly script: number; readonly index: number }
  | { readonly kind: 'event'; readonly at: number }
  | { readonly kind: 'crash' | 'deadline'; readonly index: number }
  | {
      readonly kind: 'suspects' | 'hears again' | 'notices the end of';
      readonly a: number;
      readonly b: number;
    }
  | { readonly kind: 'clock'; readonly to: number };

export function nameOf(world: World, move: Move): string {
  switch (move.kind) {
    case 'deliver':
    case 'deliver and keep':
    case 'lose':
      return `${move.kind} ${move.message.text}`;
    case 'packet':
      return `packet ${world.model.packets[move.script]!.packet.handle} at ${move.index}`;
    case 'event':
      return world.model.events![move.at]!.name;
    case 'crash':
    case 'deadline':
      return `${move.kind} at ${move.index}`;
    case 'clock':
      return `clock ${move.to}`;
    default:
      return `${move.a} ${move.kind} ${move.b}`;
  }
}

export function movesOf(world: World): Move[] {
  const moves: Move[] = [];
  messageMoves(world, moves);
  packetMoves(world, moves);
  faultMoves(world, moves);
  let next = Number.POSITIVE_INFINITY;
  for (let index = 0; index < world.cores.length; index++) {
    if (world.isAlive(index)) next = Math.min(next, nextDeadline(world.cores[index]!));
  }
  if (next > world.now) {
    if (next !== Number.POSITIVE_INFINITY) moves.push({ kind: 'clock', to: next });
    return moves;
  }
  for (let index = 0; index < world.cores.length; index++) {
    if (world.isAlive(index) && nextDeadline(world.cores[index]!) <= world.now) {
      moves.push({ kind: 'deadline', index });
    }
  }
  return moves;
}

function messageMoves(world: World, moves: Move[]): void {
  for (const [at, message] of world.messages.entries()) {
    if (world.messages.indexOf(message) < at) continue;
    moves.push({ kind: 'deliver', message });
    if (world.duplicates > 0) moves.push({ kind: 'deliver and keep', message });
    if (world.reduction.delays) continue;
    const free = !world.isAlive(message.from);
    if (free || (!message.durable && world.losses > 0)) moves.push({ kind: 'lose', message });
  }
}

function packetMoves(world: World, moves: Move[]): void {
  world.model.packets.forEach((script, at) => {
    if (world.came.has(at) || script.when?.(world) === false) return;
    if (script.after !== undefined && !world.came.has(script.after)) return;
    if (script.early === true && world.now > 0) return;
    for (const index of script.at)
      if (world.isAlive(index)) moves.push({ kind: 'packet', script: at, index });
  });
  world.model.events?.forEach((event, at) => {
    if (!world.happened.has(at) && event.when(world)) moves.push({ kind: 'event', at });
  });
}

function faultMoves(world: World, moves: Move[]): void {
  const count = world.cores.length;
  for (let a = 0; a < count; a++) {
    if (!world.isAlive(a)) continue;
    if (world.crashes > 0 && world.aliveCount() > 1) moves.push({ kind: 'crash', index: a });
    for (let b = 0; b < count; b++) {
      if (a === b) continue;
      const pair = 1 << (a * count + b);
      if (world.isAlive(b)) {
        if ((world.suspected & pair) !== 0) moves.push({ kind: 'hears again', a, b });
        else if (world.suspicions > 0) moves.push({ kind: 'suspects', a, b });
      }
      if ((world.unnoticed & pair) !== 0) moves.push({ kind: 'notices the end of', a, b });
    }
  }
}
