/** Compiles parts of `src` into a temporary folder, for child processes: Node 20 cannot load TypeScript. */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';

export interface Compiled {
  /** Holds what was `src`. */
  readonly folder: string;
  remove(): void;
}

/** @param parts folders of `src`; what they import comes along. */
export function compileSources(parts: readonly string[]): Compiled {
  const root = resolve(import.meta.dirname, '../..');
  const folder = mkdtempSync(join(tmpdir(), 'latchway-compiled-'));
  const config = join(folder, 'tsconfig.json');
  writeFileSync(join(folder, 'package.json'), '{ "type": "module" }');
  writeFileSync(
    config,
    JSON.stringify({
      extends: join(root, 'tsconfig.build.json'),
      compilerOptions: {
        rootDir: join(root, 'src'),
        outDir: join(folder, 'dist'),
        sourceMap: false,
        typeRoots: [join(root, 'node_modules/@types')],
      },
      include: parts.map((part) => join(root, 'src', part)),
    }),
  );
  execFileSync(process.execPath, [join(root, 'node_modules/typescript/bin/tsc'), '-p', config]);
  return {
    folder: join(folder, 'dist'),
    remove: () => rmSync(folder, { recursive: true, force: true }),
  };
}
