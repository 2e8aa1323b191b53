/**
 * A start that comes to nothing, because it fails or is stopped before it is ready. What an earlier run left to hold the replies
 * of servers back is still needed then, and stays; on a host without any of it, nothing is left.
 */
import { randomBytes } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { afterEach, beforeEach, expect, test } from 'vitest';
import type { Dispatcher, DispatcherOptions } from '../../netns/dispatcher.mjs';
import { createLab, type Lab } from '../../netns/laboratory.mjs';
import { MASQUERADE } from '../../netns/nftables.mjs';
import { ipipService, natService, SERVER_PORTS } from '../../netns/services.mjs';
import { brokenTool } from '../support/broken-tool.ts';
import { startDispatcher, waitFor } from '../support/lab.ts';
import { readHost } from '../support/snapshot.ts';

const METRICS_PORT = 9373;
const VIP = '192.0.2.10';
const CONFIG = {
  services: {
    web: natService(VIP, 'tcp', 80, SERVER_PORTS.http, { count: 2 }),
    web6: natService('2001:db8:f::10', 'tcp', 80, SERVER_PORTS.http, { count: 2 }),
    direct: ipipService('192.0.2.20', 'tcp', SERVER_PORTS.http, 4, { count: 2 }),
  },
};

let lab: Lab;
beforeEach(() => {
  // One that does not forward by itself and tracks connections: the most that a set-up can have to change.
  lab = createLab({ servers: 2, forwarding: false, nftables: MASQUERADE });
});
afterEach(() => lab.close());

async function startInVain(config: object, options: DispatcherOptions = {}): Promise<Dispatcher> {
  const dispatcher = await startDispatcher(lab, config, { ...options, ready: false });
  await dispatcher.daemon.exited;
  expect(dispatcher.daemon.lines).toEqual([]);
  return dispatcher;
}

/** Each a start that does not come to `ready`: found out before the host is touched, in the middle, and after all is set up. */
const FAILURES: Readonly<Record<string, (words: readonly string[]) => Promise<void>>> = {
  'its metrics port is taken': async (words) => {
    const other = await lab.startTool('d1', 'http-server', ['--port', METRICS_PORT]);
    const metrics = { listen: `127.0.0.1:${METRICS_PORT}` };
    const { daemon } = await startInVain({ ...CONFIG, metrics }, { words });
    expect(daemon.exit, daemon.describe()).toEqual({ code: 1, signal: null });
    expect(daemon.describe()).toContain('EADDRINUSE');
    await other.stop();
  },
  'a tool refuses a step of the set-up': async (words) => {
    const environment = brokenTool(lab, 'ip', 'route (add|replace|append).* dev lw0');
    const { daemon } = await startInVain(CONFIG, { words, environment });
    expect(daemon.exit, daemon.describe()).toEqual({ code: 1, signal: null });
    expect(daemon.describe()).toContain('made to fail');
  },
  'it is stopped while it waits for its cluster': async (words) => {
    writeFileSync(lab.file('cluster.key'), `${randomBytes(32).toString('hex')}\n`, { mode: 0o600 });
    // Nobody is at the other address.
    const dispatchers = { d1: '10.0.1.1', d2: '10.0.1.2' };
    const cluster = { name: 'lab', 'key-file': 'cluster.key', dispatchers };
    const { daemon } = await startDispatcher(lab, { ...CONFIG, cluster }, { words, ready: false });
    // The last thing that is set up.
    const routed = () => lab.must('d1', 'ip', 'route', 'show', VIP).includes('dev lw0');
    await waitFor(() => daemon.exit !== undefined || routed(), { what: 'the VIP to be routed' });
    expect(await daemon.stop(), daemon.describe()).toEqual({ code: 0, signal: null });
    expect(daemon.lines).toEqual([]);
  },
};

/** Blackhole routes and policy rules, which are what holds replies back. */
function countHeld(): { rules: number; blackholes: number } {
  const lines = (...words: string[]) =>
    ['-4', '-6'].flatMap((family) => lab.must('d1', 'ip', family, ...words).split('\n')).length;
  return {
    rules: lines('rule', 'show'),
    blackholes: lines('route', 'show', 'table', 'all', 'type', 'blackhole'),
  };
}

test.each([
  ['kill -9', [], 'SIGKILL'],
  ['a stop with --hold', ['--hold'], 'SIGTERM'],
] as const)('after %s, starts that fail leave what was left', async (_, words, signal) => {
  const before = readHost(lab, 'd1');
  const none = countHeld();
  const first = await startDispatcher(lab, CONFIG, { words });
  await first.stop(signal);
  const left = readHost(lab, 'd1');
  const held = countHeld();
  expect(held.rules).toBeGreaterThan(none.rules);
  expect(held.blackholes).toBeGreaterThan(none.blackholes);
  for (const [name, fail] of Object.entries(FAILURES)) {
    await fail([]);
    expect(countHeld(), name).toEqual(held);
    expect(readHost(lab, 'd1'), name).toEqual(left);
  }

  // A start that goes well takes it over, and puts all of it back.
  const good = await startDispatcher(lab, CONFIG);
  await good.daemon.line(/took over routes and rules/, { error: true });
  expect(await good.stop()).toEqual({ code: 0, signal: null });
  expect(readHost(lab, 'd1')).toEqual(before);
});

test.each([[[]], [['--hold']]])('on a clean host, starts that fail leave nothing (%j)', async (words) => {
  const before = readHost(lab, 'd1');
  for (const [name, fail] of Object.entries(FAILURES)) {
    await fail(words);
    expect(readHost(lab, 'd1'), name).toEqual(before);
  }
});
