import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { resolve } from 'node:path';
import { expect, test } from 'vitest';
import { type CommandResult, runTool, ToolTimeout } from '../../../../src/daemon/host/command.ts';

/** Whether a process is there and not merely waiting to be reaped. */
function runs(pid: number): boolean {
  try {
    return !/^State:\s+[ZX]/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'));
  } catch {
    return false;
  }
}

test('a tool that hangs is killed with its children, and becomes a fault', async () => {
  // The shell's child keeps the pipes open and would survive a kill of the shell alone.
  const script = 'sleep 1000 & echo $! > "$0"; wait';
  const folder = mkdtempSync(`${tmpdir()}/latchway-tool-`);
  try {
    const hanging = runTool('sh', ['-c', script, `${folder}/pid`], '', 500);
    await expect(hanging).rejects.toThrow(/^'sh -c .*' failed: did not answer within 0\.5 s$/);
    await expect(hanging).rejects.toBeInstanceOf(ToolTimeout);
    await expect(hanging).rejects.toMatchObject({ fault: { code: 'host-command' } });
    const child = Number(readFileSync(`${folder}/pid`, 'utf8'));
    expect(child).toBeGreaterThan(0);
    // SIGKILL is under way; a survivor would sleep for a thousand seconds and fail the test by its own time-out.
    while (runs(child)) await new Promise(setImmediate);
  } finally {
    rmSync(folder, { recursive: true });
  }
});

test('a tool leads its own process group, so that Ctrl-C at the daemon does not reach it', async () => {
  // Field 5 of /proc/PID/stat is the process group.
  const { status, stdout } = await runTool('sh', ['-c', 'echo $$; cut -d" " -f5 /proc/$$/stat']);
  const [pid, group] = stdout.trim().split('\n');
  expect(status).toBe(0);
  expect(group).toBe(pid);
});

test('how a tool ended is told: its status, a signal, or that it is not there', async () => {
  expect(await runTool('sh', ['-c', 'cat; exit 7'], 'input')).toEqual({
    status: 7,
    stdout: 'input',
    stderr: '',
  });
  expect((await runTool('sh', ['-c', 'kill -9 $$'])).status).toBe(-2);
  expect((await runTool('no-such-tool', [])).status).toBe(-1);
});

test('without descriptors to spare a tool fails like one that is not there; with some, it runs', () => {
  const fixture = resolve(import.meta.dirname, 'fixtures/no-descriptors.mjs');
  const limited = ['-c', 'ulimit -n 64; exec "$@"', 'sh', process.execPath, fixture];
  const { status, stdout, stderr } = spawnSync('sh', limited, { encoding: 'utf8' });
  expect(status, stderr).toBe(0);
  const results: CommandResult[] = JSON.parse(stdout);
  expect(results.pop()).toEqual({ status: 7, stdout: 'input', stderr: '' });
  expect(results).toHaveLength(8);
  for (const result of results)
    expect(result).toEqual({ status: -1, stdout: '', stderr: expect.stringContaining('EMFILE') });
});
