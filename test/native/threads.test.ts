/** The threads of a dispatcher, as the main thread holds them, on a real device in a namespace. */
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { expect, test } from 'vitest';
import { fixture, Namespace } from './namespace.ts';

test('an answer of the dispatcher thread is kept by nobody but who asked, and a stop leaves no question open', async () => {
  const { name } = new Namespace();
  const command = ['netns', 'exec', name, process.execPath, '--expose-gc', fixture('ask.mjs')];
  const { stdout } = await promisify(execFile)('ip', command);
  const { collected, late } = JSON.parse(stdout) as { collected: number; late: boolean };
  // The last one may still be in a register.
  expect(collected).toBeGreaterThanOrEqual(199);
  expect(late).toBe(true);
});
