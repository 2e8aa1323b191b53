/**
 * Depth-first search over all worlds that a case can reach, each once.
 *
 * In each world: one server per session (unless an excuse stands), never more than two tunnels, the case's own check. In
 * each world where nothing more can happen: no packet waits, no lock and no question is left, and after everybody has
 * told everybody what it holds, as digests would make them, the tables are equal.
 */

import { isEnded } from '../../src/cluster/entry.ts';
import type { MapStore } from '../../src/cluster/store.ts';
import { type ModelCase, nodeAt, type Trace, World } from './world.ts';

export interface Result {
  readonly states: number;
  readonly ends: number;
  readonly exhausted: boolean;
  readonly fault: string | undefined;
  readonly trace: readonly string[];
}

export function explore(model: ModelCase, maxStates = model.maxStates ?? 2_000_000): Result {
  const seen = new Set<string>();
  const first = new World(model);
  const stack = [first];
  seen.add(first.digest());
  let ends = 0;
  for (let world = stack.pop(); world !== undefined; world = stack.pop()) {
    const moves = world.moves();
    if (moves.length === 0) {
      ends++;
      const fault = endFault(world);
      if (fault !== undefined)
        return { states: seen.size, ends, exhausted: false, fault, trace: traceOf(world) };
    }
    for (const move of moves) {
      const next = world.copy();
      next.trace = { move: move.name, before: world.trace };
      move.run(next);
      const fault = next.fault ?? (next.cut ? undefined : model.check?.(next));
      if (fault !== undefined)
        return { states: seen.size, ends, exhausted: false, fault, trace: traceOf(next) };
      if (next.cut) continue;
      next.forgetDead();
      const digest = next.digest();
      if (seen.has(digest)) continue;
      if (seen.size >= maxStates) {
        return { states: seen.size, ends, exhausted: false, fault: undefined, trace: [] };
      }
      seen.add(digest);
      stack.push(next);
    }
  }
  return { states: seen.size, ends, exhausted: true, fault: undefined, trace: [] };
}

function traceOf(world: World): string[] {
  const names: string[] = [];
  for (let at: Trace | undefined = world.trace; at !== undefined; at = at.before) names.push(at.move);
  return names.reverse();
}

/** What is wrong in a world where nothing more can happen. */
function endFault(world: World): string | undefined {
  for (const [index, core] of world.cores.entries()) {
    if (!world.alive[index]) continue;
    if (core.room.packets !== 0) return `a packet waits for ever at ${index}`;
    if (core.locks.table.size !== 0) return `a lock is left at ${index}`;
    if (core.questions.table.size !== 0) return `a question is left at ${index}`;
  }
  for (const [handle, how] of world.ends) {
    if (how === 'wait' && world.crashes === (world.model.crashes ?? 0))
      return `packet ${handle} was forgotten`;
  }
  const quiet = world.copy();
  quiet.excuse ??= 'the end';
  for (let round = 0; round < 4; round++) repairAll(quiet);
  return tablesFault(quiet);
}

/** Everybody tells everybody what it holds; answers are delivered until none is left. */
function repairAll(world: World): void {
  for (let from = 0; from < world.cores.length; from++) {
    if (!world.alive[from]) continue;
    const { context, entries } = world.cores[from]!;
    for (const entry of [...(context.store as MapStore).entries.values()]) {
      if ((entry.bits & 16) !== 0) continue;
      for (let to = 0; to < world.cores.length; to++) {
        if (to === from || !world.alive[to]) continue;
        context.now = world.now;
        world.post({ from, to, cargo: entries.record(entry, 'repair', 0), durable: true });
      }
    }
    for (let left = 1_000; world.messages.size > 0 && left > 0; left--) {
      const [text, message] = world.messages.entries().next().value!;
      world.deliver(text, message, true);
    }
  }
}

/** Live entries must be the same everywhere. */
function tablesFault(world: World): string | undefined {
  const tables = world.cores.flatMap((core, index) => {
    if (!world.alive[index]) return [];
    const lines = [...(core.context.store as MapStore).entries.values()]
      .filter((entry) => !isEnded(entry))
      .map((entry) => `${entry.key.text} isn ${entry.isn} gen ${entry.generation} -> ${entry.server}`);
    return [{ node: nodeAt(index), text: lines.sort().join('; ') }];
  });
  const other = tables.find((table) => table.text !== tables[0]!.text);
  if (other === undefined) return undefined;
  return `tables differ: ${tables.map((table) => `${table.node}: ${table.text}`).join(' | ')}`;
}
