/**
 * What a killed run left is removed without a configuration, and never under a run that lives; a stop that meets faults.
 */

import { chmodSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { type HostDriver, HostLab } from '../support/host-lab.ts';

const MAIN = fileURLToPath(new URL('../../dist/cli/main.js', import.meta.url));
const server = { address: '10.2.0.2', name: 'web/s1', mode: 'nat', protocol: 6, ports: [[80, 80]] };
const vips = [{ address: '192.0.2.10', service: 'web' }];
const INPUT = { device: 'lb0', table: 7373, vips, servers: [server] };

let lab: HostLab;
let driver: HostDriver;
beforeEach(() => {
  lab = HostLab.open();
  driver = lab.driver();
});
afterEach(() => lab.close());

const options = () => ({ journalDirectory: lab.directory });
const cleanup = (device = 'lw0') => driver.ask('cleanup', { device, options: options() });

test('a cleanup waits for the device to be gone, removes everything, and then finds nothing', async () => {
  const before = lab.snapshot();
  const tun = await lab.packets('gateway', 'tun', 'lb0');
  // A device of this name that has no routes yet is that of a run which starts just now.
  expect((await cleanup('lb0')).fault).toMatchObject({ code: 'host-conflict' });
  const { changed } = await driver.must('apply', { input: INPUT, options: options() });
  const running = await cleanup();
  expect(running.message).toBe(
    'a dispatcher runs on this host with device lb0: stop it; it cleans up itself',
  );
  // Without its routes it is told by its rules.
  lab.run('gateway', 'ip link set lb0 down');
  expect((await cleanup()).message).toBe(running.message);
  await driver.process.kill();
  await tun.kill();
  driver = lab.driver();
  expect(changed.length).toBeGreaterThan(0);
  const { value } = await cleanup();
  expect(value).toMatchObject({ sysctls: changed, left: [] });
  expect(value.routes).toBeGreaterThan(0);
  expect(value.rules).toBeGreaterThan(0);
  expect(lab.snapshot()).toBe(before);
  expect(await driver.must('cleanup', { device: 'lw0', options: options() })).toEqual({
    ...{ routes: 0, rules: 0, tables: [], sysctls: [], left: [] },
  });
});

test('the command says what it removed, and refuses while a dispatcher runs', async () => {
  const run = async (...words: string[]) => {
    const program = lab.start('gateway', [process.execPath, MAIN, 'cleanup', ...words]);
    program.child.stdin.end();
    let stderr = '';
    program.child.stderr.on('data', (text) => {
      stderr += String(text);
    });
    const code = await new Promise<number | null>((resolve) => program.child.once('close', resolve));
    return { code, stdout: program.lines, stderr };
  };
  expect(await run()).toEqual({ code: 0, stdout: ['nothing to remove'], stderr: '' });
  const tun = await lab.packets('gateway', 'tun', 'lb0');
  await driver.must('apply', { input: INPUT, options: options() });
  expect(await run()).toEqual({
    code: 1,
    stdout: [],
    stderr: 'a dispatcher runs on this host with device lb0: stop it; it cleans up itself\n',
  });
  await tun.kill();
  const { code, stdout, stderr } = await run();
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
  expect(stdout[0]).toMatch(/^removed \d+ routes and \d+ policy rules$/);
});

/** Puts a tool of this name before the real one; `script` decides on `$*` and may end with `exec "$real" "$@"`. */
function wrap(tool: string, script: string): HostDriver {
  const real = lab.run('gateway', `which ${tool}`).trim();
  const file = `${lab.directory}/${tool}`;
  writeFileSync(file, `#!/bin/sh\nreal=${real}\n${script}\n`);
  chmodSync(file, 0o755);
  const words = driver.process.child.spawnargs.slice(4);
  return lab.driverWith(['env', `PATH=${lab.directory}:${process.env['PATH']}`, ...words]);
}

test('a step of a stop that fails once is tried again', async () => {
  const before = lab.snapshot();
  // The first batch of changes that forces its way (only a stop's does) fails as a whole.
  const once = `case "$*" in *"-force -batch"*) case "$*" in *-j*) ;; *) if [ ! -e ${lab.directory}/failed ]; then
    touch ${lab.directory}/failed; echo "no luck" >&2; exit 2; fi;; esac;; esac; exec "$real" "$@"`;
  driver = wrap('ip', once);
  const tun = await lab.packets('gateway', 'tun', 'lb0');
  await driver.must('apply', { input: INPUT, options: options() });
  expect(await driver.must('stop', { options: options() })).toEqual([]);
  lab.run('gateway', `test -e ${lab.directory}/failed`);
  await tun.kill();
  expect(lab.snapshot()).toBe(before);
});

test('a stop that cannot do one step does the others, and says what failed', async () => {
  const always = `case "$*" in *"-4 -force -batch"*) echo "no luck" >&2; exit 2;; esac; exec "$real" "$@"`;
  driver = wrap('ip', always);
  const tun = await lab.packets('gateway', 'tun', 'lb0');
  const six = { ...INPUT, vips: [...vips, { address: '2001:db8:f::10', service: 'web6' }] };
  const servers = [server, { ...server, address: '2001:db8:2::2', name: 'web6/s1' }];
  await driver.must('apply', { input: { ...six, servers }, options: options() });
  const { fault } = await driver.ask('stop', { options: options() });
  expect(fault).toMatchObject({ code: 'host-command', detail: 'no luck' });
  expect(lab.run('gateway', 'ip -4 rule')).toContain('7300');
  expect(lab.run('gateway', 'ip -6 rule')).not.toContain('7300');
  expect(lab.run('gateway', 'nft list tables')).not.toContain('latchway');
  await tun.kill();
});
