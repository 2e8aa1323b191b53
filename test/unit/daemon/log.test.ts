import { spawnSync } from 'node:child_process';
import { expect, test } from 'vitest';
import { createLog } from '../../../src/daemon/log.ts';

test('a line is one JSON object with level, time, node and message', () => {
  const lines: string[] = [];
  createLog('d1', { write: (line) => lines.push(line) }).warn({ server: 's1' }, 'went down');
  expect(lines).toHaveLength(1);
  const { time, ...rest } = JSON.parse(lines[0]!) as Record<string, unknown>;
  expect(rest).toEqual({ level: 'warn', node: 'd1', server: 's1', msg: 'went down' });
  expect(time).toMatch(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/);
});

test('standard error has the last line even when the process is killed after it', () => {
  const program = `
    import { destination, pino } from 'pino';
    const log = pino({}, destination({ dest: 2, sync: true }));
    log.info('last words');
    process.kill(process.pid, 'SIGKILL');`;
  const { stderr, signal } = spawnSync(process.execPath, ['--input-type=module', '-e', program], {
    encoding: 'utf8',
  });
  expect(signal).toBe('SIGKILL');
  expect(stderr).toContain('last words');
});
