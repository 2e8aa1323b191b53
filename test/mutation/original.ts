/**
 * The sources as they are, under the options and seeds by which the simulation caught a mutation: a catch counts only where
 * these are clean, for every checker. (The cases of the model are run over them by test/model.)
 */

import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { buildMutant, removeMutant } from './build.ts';
import type { Mutation } from './mutations.ts';

/** Seeds that were run, and the first fault among them. */
export interface SeedsRun {
  readonly first: number;
  readonly last: number;
  readonly fault: { readonly seed: number; readonly checker: string; readonly what: string } | undefined;
}

/**
 * Runs the seeds of a build until one fails.
 *
 * @param checker the one whose faults count, or '' for all
 * @throws where the sources do not run at all
 */
export function runSeeds(
  folder: string,
  sim: NonNullable<Mutation['sim']>,
  first: number,
  last: number,
  checker: string,
): SeedsRun {
  const args = [JSON.stringify(sim), String(first), String(last), checker];
  const { status, stdout, stderr } = spawnSync(
    process.execPath,
    [join(folder, 'out/test/mutation/seeds.js'), ...args],
    { encoding: 'utf8' },
  );
  const [, seed, by, what] = /^seed (\d+): (\S+): (.*)$/m.exec(stdout) ?? [];
  if (seed !== undefined)
    return { first, last: Number(seed), fault: { seed: Number(seed), checker: by!, what: what! } };
  if (status !== 0) throw new Error(`seeds ${first}-${last}: ${stderr}`);
  return { first, last, fault: undefined };
}

export class Original {
  readonly folder = buildMutant(undefined);
  readonly runs = new Map<string, SeedsRun>();

  /** All seeds from `first` to `last`, each set of options once. */
  run(sim: NonNullable<Mutation['sim']>, first: number, last: number): SeedsRun {
    const name = JSON.stringify([sim, first, last]);
    const known = this.runs.get(name);
    if (known !== undefined) return known;
    const run = runSeeds(this.folder, sim, first, last, '');
    this.runs.set(name, run);
    return run;
  }

  remove(): void {
    removeMutant(this.folder);
  }
}
