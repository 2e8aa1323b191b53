/**
 * Who catches a mutation: a case of the model or a checker of the simulation, and whether that catch counts.
 */

import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import type { Mutation } from './mutations.ts';
import { type Original, runSeeds, type SeedsRun } from './original.ts';

/** What caught a mutation, after so many states or seeds. */
export interface Catch {
  readonly by: string;
  readonly after: string;
  readonly what: string;
  /** What the unmutated sources say to the same seeds. */
  readonly original?: SeedsRun;
}

/** @throws where the mutated sources do not run at all: that is no catch. */
function modelCatch(folder: string, model: string, maxStates: number): Catch | undefined {
  const args = [join(folder, 'out/test/model/run.js'), model, String(maxStates)];
  const { status, stdout, stderr } = spawnSync(process.execPath, args, { encoding: 'utf8' });
  if (status === 0) return undefined;
  const line = stdout.split('\n').find((one) => !/exhausted$|cut at the limit$|holds$|^ |^$/.test(one));
  const [, name, states, what] =
    /^(.*?) \(rule.*?\): (\d+ states|one trace).*?: (.*)$/.exec(line ?? '') ?? [];
  if (name === undefined) throw new Error(`model ${model}: ${stderr}`);
  return { by: `model: ${name}`, after: states!, what: what! };
}

/** Runs the checks of a mutation on a build. @returns who caught it; empty when nobody did. */
export function catchesOf(
  folder: string,
  mutation: Mutation,
  original: Original,
  { seeds, maxStates }: { readonly seeds: number; readonly maxStates: number },
): Catch[] {
  const catches: Catch[] = [];
  if (mutation.model !== undefined) {
    const caught = modelCatch(folder, mutation.model, maxStates);
    if (caught !== undefined) catches.push(caught);
  }
  // A checker is asked for by name; else the simulation is only asked when the model has nothing to say.
  if (mutation.sim !== undefined && (mutation.checker !== undefined || catches.length === 0)) {
    const first = mutation.seed ?? 1;
    const { last, fault } = runSeeds(folder, mutation.sim, first, first + seeds, mutation.checker ?? '');
    if (fault !== undefined) {
      const after = mutation.seed === undefined ? `${last} seeds` : `seed ${last}`;
      catches.push({
        by: `simulation: ${fault.checker}`,
        after,
        what: fault.what,
        original: original.run(mutation.sim, first, last),
      });
    }
  }
  return catches;
}

/** A row of the table. */
export function rowOf(mutation: Mutation, catches: readonly Catch[]): string {
  const caught = catches.map((one) => `${one.by} (${one.after}): ${one.what}`).join('; ');
  const originals = catches.flatMap(({ original }) => (original === undefined ? [] : [saidOf(original)]));
  return `| ${mutation.rule} | ${mutation.name} | ${caught === '' ? 'NOT CAUGHT' : caught} | ${originals.join('; ')} |`;
}

function saidOf({ first, last, fault }: SeedsRun): string {
  if (fault === undefined) return first === last ? `seed ${first} clean` : `seeds ${first}-${last} clean`;
  return `NOT CLEAN: seed ${fault.seed}: ${fault.checker}: ${fault.what}`;
}

/** Whether all that were to catch it did, the case or trace and the checker that it names, and the original is clean there. */
export function isCaught({ model, checker }: Mutation, catches: readonly Catch[]): boolean {
  const checked = checker === undefined || catches.some((one) => one.by === `simulation: ${checker}`);
  const modelled = model === undefined || catches.some((one) => one.by.startsWith('model: '));
  const clean = catches.every(({ original }) => original?.fault === undefined);
  return catches.length > 0 && checked && modelled && clean;
}
