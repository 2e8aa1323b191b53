// What README.md tells people to write and to look for is what the program takes and has.
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { COUNTER_INFO } from '../../src/base/counters.ts';
import { runProgram } from '../support/program.ts';

const README = readFileSync('README.md', 'utf8');
const folder = mkdtempSync(join(tmpdir(), 'latchway-readme-'));
afterAll(() => rmSync(folder, { recursive: true }));

/** Fenced blocks of a language, without the indent of the list that they stand in. */
function blocks(language: string): string[] {
  const found = README.matchAll(new RegExp(`^( *)\`\`\`${language}\\n(.*?)^ *\`\`\``, 'gms'));
  return [...found].map(([, indent, text]) => text!.replace(new RegExp(`^${indent}`, 'gm'), ''));
}

describe('configurations', () => {
  for (const name of ['cluster.key', 'old.key']) writeFileSync(join(folder, name), '0'.repeat(64));
  const [minutes, cluster, all] = blocks('yaml');

  test.each([
    ['of the five minutes', minutes],
    ['of the cluster, with that', `${cluster}${minutes}`],
    ['of all keys', all],
  ])('%s is good', async (what, text) => {
    const file = join(folder, `${what.replaceAll(/\W/g, '-')}.yaml`);
    writeFileSync(file, text!);
    expect(await runProgram(['check', file])).toMatchObject({ code: 0, stderr: '' });
  });

  test('there are no others', () => {
    expect(blocks('yaml')).toHaveLength(3);
  });

  test('one that is not good is noticed', async () => {
    const file = join(folder, 'bad.yaml');
    writeFileSync(file, minutes!.replace('scheduler:', 'sheduler:'));
    expect((await runProgram(['check', file])).code).toBe(1);
  });
});

test('every reason for a drop is in the table of what to do, and no other', () => {
  const drops = COUNTER_INFO.filter(({ kind }) => kind === 'drop').map(({ name }) => name);
  const rows = README.split('\n').filter((line) => line.startsWith('| `drop-'));
  const told = rows.flatMap((row) =>
    [...row.split('|')[1]!.matchAll(/`(drop-[a-z-]+)`/g)].map(([, name]) => name),
  );
  expect(told.toSorted()).toEqual(drops.toSorted());
});

test('events and commands that are named exist', async () => {
  const names = new Set<string>(COUNTER_INFO.map(({ name }) => name));
  const [, paragraph] = /^And among the events, (.*?)\n\n/ms.exec(README)!;
  const events = [...paragraph!.matchAll(/`([a-z]+-[a-z-]+)`/g)].map(([, name]) => name!);
  expect(events.filter((name) => !names.has(name) && name !== 'confirm-timeout')).toEqual([]);
  expect(events.length).toBeGreaterThan(5);
  const { stdout } = await runProgram(['--help']);
  const commands = new Set([...README.matchAll(/latchway ([a-z]+)/g)].map(([, command]) => command!));
  for (const command of commands) expect(stdout).toMatch(new RegExp(`^  ${command}\\b`, 'm'));
});

test('the unit is one that systemd takes, where it is there to ask', () => {
  const [unit] = blocks('ini');
  // What stands in /opt on another machine is not here.
  const here = unit!
    .replaceAll('/opt/latchway/dist', join(process.cwd(), 'dist'))
    .replaceAll('/usr/bin/node', process.execPath);
  const file = join(folder, 'latchway.service');
  writeFileSync(file, here);
  const { error, status, stdout, stderr } = spawnSync('systemd-analyze', ['verify', file], {
    encoding: 'utf8',
  });
  if (error !== undefined) return;
  // A key that it does not know is a line on standard error, and exit code 0.
  expect({ status, stdout, stderr }).toEqual({ status: 0, stdout: '', stderr: '' });
});
