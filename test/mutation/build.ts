/**
 * A copy of the sources with one mutation, compiled, and the checks run on it.
 */

import { execFileSync, spawnSync } from 'node:child_process';
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import type { Mutation } from './mutations.ts';

const ROOT = resolve(import.meta.dirname, '../..');
const SOURCES = ['base', 'wire', 'table', 'balance', 'cluster', 'sim'];

/** Compiles a mutated copy. @returns its folder; remove it afterwards. */
export function buildMutant(mutation: Pick<Mutation, 'file' | 'from' | 'to'> | undefined): string {
  const folder = mkdtempSync(join(tmpdir(), 'latchway-mutant-'));
  for (const name of SOURCES) cpSync(join(ROOT, 'src', name), join(folder, 'src', name), { recursive: true });
  cpSync(join(ROOT, 'test/model'), join(folder, 'test/model'), { recursive: true });
  cpSync(join(ROOT, 'test/support/cluster-pair.ts'), join(folder, 'test/support/cluster-pair.ts'));
  cpSync(join(ROOT, 'test/mutation/seeds.ts'), join(folder, 'test/mutation/seeds.ts'));
  if (mutation !== undefined) {
    const file = join(folder, mutation.file);
    const text = readFileSync(file, 'utf8');
    if (text.split(mutation.from).length !== 2) {
      throw new Error(
        `${mutation.file}: the text to replace is there ${text.split(mutation.from).length - 1} times`,
      );
    }
    writeFileSync(
      file,
      text.replace(mutation.from, () => mutation.to),
    );
  }
  const options = {
    extends: join(ROOT, 'tsconfig.json'),
    compilerOptions: {
      noEmit: false,
      noCheck: true,
      outDir: join(folder, 'out'),
      rootDir: folder,
      typeRoots: [join(ROOT, 'node_modules/@types')],
    },
    include: [join(folder, 'src'), join(folder, 'test')],
    exclude: [join(folder, 'test/model/**/*.test.ts')],
  };
  writeFileSync(join(folder, 'tsconfig.json'), JSON.stringify(options));
  writeFileSync(join(folder, 'package.json'), '{"type":"module"}');
  execFileSync(process.execPath, [join(ROOT, 'node_modules/typescript/bin/tsc'), '-p', folder], {
    stdio: 'pipe',
  });
  return folder;
}

export function removeMutant(folder: string): void {
  rmSync(folder, { recursive: true });
}

/** What caught a mutation: a case of the model or a checker of the simulation, after so many states or seeds. */
export interface Catch {
  readonly by: string;
  readonly after: string;
  readonly what: string;
}

function run(
  folder: string,
  script: string,
  args: readonly string[],
): { status: number | null; out: string } {
  const result = spawnSync(process.execPath, [join(folder, 'out', script), ...args], { encoding: 'utf8' });
  return { status: result.status, out: result.stdout + result.stderr };
}

/** Runs the checks of a mutation on a build. @returns who caught it; empty when nobody did. */
export function catchesOf(folder: string, mutation: Mutation, seeds: number, maxStates: number): Catch[] {
  const catches: Catch[] = [];
  if (mutation.model !== undefined) {
    const { status, out } = run(folder, 'test/model/run.js', [mutation.model, String(maxStates)]);
    const line = out.split('\n').find((one) => !/exhausted$|cut at the limit$|holds$|^ /.test(one));
    if (status !== 0 && line !== undefined) {
      const [, name, states, what] = /^(.*?) \(rule.*?\): (\d+ states|one trace).*?: (.*)$/.exec(line) ?? [];
      catches.push({ by: `model: ${name ?? '?'}`, after: states ?? '?', what: what ?? line });
    }
  }
  // A checker is asked for by name; else the simulation is only asked when the model has nothing to say.
  if (mutation.sim !== undefined && (mutation.checker !== undefined || catches.length === 0)) {
    const first = mutation.seed ?? 1;
    const args = [JSON.stringify(mutation.sim), String(first), String(first + seeds), mutation.checker ?? ''];
    const { status, out } = run(folder, 'test/mutation/seeds.js', args);
    const [, seed, checker, what] = /^seed (\d+): (\S+): (.*)$/m.exec(out) ?? [];
    if (status !== 0 && seed !== undefined) {
      const after = mutation.seed === undefined ? `${seed} seeds` : `seed ${seed}`;
      catches.push({ by: `simulation: ${checker}`, after, what: what ?? '' });
    }
  }
  return catches;
}

/** A row of the table. */
export function rowOf(mutation: Mutation, catches: readonly Catch[]): string {
  const caught = catches.map((one) => `${one.by} (${one.after}): ${one.what}`).join('; ');
  return `| ${mutation.rule} | ${mutation.name} | ${caught === '' ? 'NOT CAUGHT' : caught} |`;
}

/** Whether all that were to catch it did: the case or trace that it names, the checker that it names. */
export function isCaught({ model, checker }: Mutation, catches: readonly Catch[]): boolean {
  const checked = checker === undefined || catches.some((one) => one.by === `simulation: ${checker}`);
  const modelled = model === undefined || catches.some((one) => one.by.startsWith('model: '));
  return catches.length > 0 && checked && modelled;
}
