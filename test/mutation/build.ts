/**
 * A copy of the sources, with one mutation or as they are, compiled.
 */

import { execFileSync } from 'node:child_process';
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import type { Mutation } from './mutations.ts';

const ROOT = resolve(import.meta.dirname, '../..');
const SOURCES = ['base', 'wire', 'table', 'balance', 'cluster', 'sim'];

/** Compiles a copy, mutated if something is given. @returns its folder; remove it afterwards. */
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
