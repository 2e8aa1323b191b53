/**
 * Depth-first search over all worlds that a case can reach, each once.
 *
 * In each world: one server per session (unless an excuse stands), never more than two tunnels, the case's own check. In
 * each world where nothing more need happen: no packet waits, no lock and no question is left, and after everybody has
 * told everybody what it holds, as digests would make them, the tables are equal.
 */

import { isEnded } from '../../src/cluster/entry.ts';
import type { MapStore } from '../../src/cluster/store.ts';
import { type ModelCase, nodeAt } from './case.ts';
import { forgetDead } from './dead-messages.ts';
import { DigestSet } from './digest.ts';
import { happen } from './happen.ts';
import { type Move, movesOf, nameOf } from './moves.ts';
import { mayLoseAll, type Reduction, reductionOf } from './reduction.ts';
import { type Trace, World } from './world.ts';
import { digestWorld } from './world-digest.ts';

export interface Result {
  readonly states: number;
  readonly steps: number;
  readonly ends: number;
  readonly exhausted: boolean;
  readonly fault: string | undefined;
  readonly trace: readonly string[];
}

const MAX_STATES = 2_000_000;

export interface Options {
  readonly maxStates?: number;
  readonly reduction?: Reduction;
  /** Sees each state once. */
  readonly visit?: (world: World, isEnd: boolean) => void;
}

export function explore(model: ModelCase, options: Options = {}): Result {
  const { maxStates = model.maxStates ?? MAX_STATES, reduction = reductionOf(model), visit } = options;
  const seen = new DigestSet();
  const first = World.first(model, reduction);
  const stack = [first];
  const start = digestWorld(first);
  seen.add(start.a, start.b);
  let ends = 0;
  let steps = 0;
  const result = (fault: string | undefined, world: World | undefined, exhausted = false): Result => ({
    states: seen.size,
    steps,
    ends,
    exhausted,
    fault,
    trace: world === undefined ? [] : traceOf(world),
  });
  for (let world = stack.pop(); world !== undefined; world = stack.pop()) {
    const moves = movesOf(world);
    const isOver = isEnd(world, moves);
    visit?.(world, isOver);
    if (isOver) {
      ends++;
      const fault = endFault(world);
      if (fault !== undefined) return result(fault, world);
    }
    for (const move of moves) {
      steps++;
      const next = world.copy();
      next.trace = { move, before: world.trace };
      happen(next, move);
      const fault = next.fault ?? (next.cut ? undefined : model.check?.(next));
      if (fault !== undefined) return result(fault, next);
      if (next.cut) continue;
      forgetDead(next);
      const { a, b } = digestWorld(next);
      if (!seen.add(a, b)) continue;
      if (seen.size > maxStates) return result(undefined, undefined);
      stack.push(next);
    }
  }
  return result(undefined, undefined, true);
}

function traceOf(world: World): string[] {
  const names: string[] = [];
  for (let at: Trace | undefined = world.trace; at !== undefined; at = at.before)
    names.push(nameOf(world, at.move));
  return names.reverse();
}

/** Whether nothing more need happen: faults may, and all that is still under way may be lost. */
function isEnd(world: World, moves: readonly Move[]): boolean {
  for (const { kind } of moves) {
    if (kind === 'crash' || kind === 'suspects') continue;
    if (!world.reduction.delays || !kind.startsWith('deliver')) return false;
  }
  return mayLoseAll(world);
}

/** What is wrong in a world where nothing more need happen. */
function endFault(world: World): string | undefined {
  for (const [index, core] of world.cores.entries()) {
    if (!world.isAlive(index)) continue;
    if (core.room.packets !== 0) return `a packet waits for ever at ${index}`;
    if (core.locks.table.size !== 0) return `a lock is left at ${index}`;
    if (core.questions.table.size !== 0) return `a question is left at ${index}`;
  }
  for (const [handle, how] of world.ends) {
    if (how === 'wait' && world.crashes === (world.model.crashes ?? 0))
      return `packet ${handle} was forgotten`;
  }
  if (world.model.keepTables === true) return undefined;
  const quiet = world.copy();
  quiet.messages = [];
  quiet.excuse ??= 'the end';
  for (let round = 0; round < 4; round++) repairAll(quiet);
  return tablesFault(quiet);
}

/** Everybody tells everybody what it holds; answers are delivered until none is left. */
function repairAll(world: World): void {
  for (let from = 0; from < world.cores.length; from++) {
    if (!world.isAlive(from)) continue;
    const { context, entries } = world.cores[from]!;
    for (const entry of [...(context.store as MapStore).entries.values()]) {
      if ((entry.bits & 16) !== 0) continue;
      for (let to = 0; to < world.cores.length; to++) {
        if (to === from || !world.isAlive(to)) continue;
        context.now = world.now;
        world.post(world.message(from, to, entries.record(entry, 'repair', 0), true));
      }
    }
    for (let left = 1_000; world.messages.length > 0 && left > 0; left--) {
      happen(world, { kind: 'deliver', message: world.messages[0]! });
    }
  }
}

/** Live entries must be the same everywhere. */
function tablesFault(world: World): string | undefined {
  const tables = world.cores.flatMap((core, index) => {
    if (!world.isAlive(index)) return [];
    const lines = [...(core.context.store as MapStore).entries.values()]
      .filter((entry) => !isEnded(entry))
      .map((entry) => `${entry.key.text} isn ${entry.isn} gen ${entry.generation} -> ${entry.server}`);
    return [{ node: nodeAt(index), text: lines.sort().join('; ') }];
  });
  const other = tables.find((table) => table.text !== tables[0]!.text);
  if (other === undefined) return undefined;
  return `tables differ: ${tables.map((table) => `${table.node}: ${table.text}`).join(' | ')}`;
}
