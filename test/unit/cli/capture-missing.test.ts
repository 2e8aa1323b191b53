/** `latchway capture` where its optional package is not installed. */
import { cpSync, mkdirSync, mkdtempSync, readdirSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { runProgram } from '../../support/program.ts';

const folder = mkdtempSync(join(tmpdir(), 'latchway-bare-'));
afterAll(() => rmSync(folder, { recursive: true }));

test('one line says how to get it', async () => {
  cpSync('dist', join(folder, 'dist'), { recursive: true });
  cpSync('package.json', join(folder, 'package.json'));
  mkdirSync(join(folder, 'node_modules'));
  for (const name of readdirSync('node_modules'))
    if (name !== 'cap')
      symlinkSync(join(process.cwd(), 'node_modules', name), join(folder, 'node_modules', name));
  const main = join(folder, 'dist', 'cli', 'main.js');
  expect(await runProgram(['capture', '--device', 'lo', '--count', '1'], main)).toEqual({
    code: 1,
    stdout: '',
    stderr:
      "capture needs the optional package 'cap', which needs libpcap: apt-get install libpcap-dev, then npm rebuild cap (npm ci if it was never installed)\n",
  });
});
