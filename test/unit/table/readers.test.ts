/** Compiles `src/table` into a temporary folder, since a worker on Node 20 cannot load TypeScript, and runs the fixture on it. */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

const root = resolve(import.meta.dirname, '../../..');
let folder = '';

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'latchway-readers-'));
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
      include: [join(root, 'src/table'), join(root, 'src/base')],
    }),
  );
  execFileSync(process.execPath, [join(root, 'node_modules/typescript/bin/tsc'), '-p', config]);
});

afterAll(() => rmSync(folder, { recursive: true, force: true }));

describe('a reader thread beside the writer', () => {
  it('never takes a row for a flow that it does not belong to', () => {
    const fixture = resolve(import.meta.dirname, 'fixtures/readers.mjs');
    const output = execFileSync(process.execPath, [fixture, join(folder, 'dist')], { encoding: 'utf8' });
    const outcome = JSON.parse(output) as Record<string, number>;
    expect(outcome).toMatchObject({ wrong: 0, torn: 0 });
    expect(outcome['hits']).toBeGreaterThan(0);
    expect(outcome['operations']).toBeGreaterThan(0);
  });
});
