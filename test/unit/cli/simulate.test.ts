/** `latchway simulate` as a process: what a long run says meanwhile, and when it is interrupted. */
import { once } from 'node:events';
import { describe, expect, it } from 'vitest';
import { runProgram, startProgram } from '../../support/program.ts';

const SMALL = ['simulate', '--dispatchers', '2', '--sessions', '1', '--datagrams', '0', '--crashes', '0'];

async function interrupted(signal: NodeJS.Signals, words: readonly string[]): Promise<[number, string]> {
  const child = startProgram([...SMALL, '--runs', '10000000', ...words]);
  let out = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    out += text;
  });
  await once(child.stderr, 'data');
  child.kill(signal);
  const [code] = (await once(child, 'close')) as [number];
  return [code, out];
}

describe('latchway simulate', () => {
  it('says what was found until it is interrupted, and how to go on', async () => {
    const [code, out] = await interrupted('SIGINT', ['--seed', '7']);
    expect(code).toBe(1);
    const [, done, next, left] =
      /\nno violation\nstopped after (\d+) of 10000000 runs; .* --seed (\d+) --runs (\d+)\n$/.exec(out) ?? [];
    expect(Number(done)).toBeGreaterThanOrEqual(1_000);
    expect([Number(next), Number(left)]).toEqual([7 + Number(done), 10_000_000 - Number(done)]);
    expect(out).toMatch(new RegExp(`\\nruns +${done}\\n`));
  }, 120_000);

  it('says so in JSON too', async () => {
    const [code, out] = await interrupted('SIGTERM', ['--json']);
    expect(code).toBe(1);
    const found = JSON.parse(out) as Record<string, unknown>;
    expect(found).toMatchObject({ first: 1, runs: 10_000_000, violations: [] });
    expect(found['done']).toBeLessThan(10_000_000);
  }, 120_000);

  it('is done, and says nothing of a rest, when all have run', async () => {
    const { code, stdout, stderr } = await runProgram([...SMALL, '--runs', '3']);
    expect([code, stderr]).toEqual([0, '']);
    expect(stdout).toMatch(/\nruns +3\n/);
    expect(stdout).toMatch(/\nno violation\n$/);
  });
});
