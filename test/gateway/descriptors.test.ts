/**
 * A daemon whose descriptors strangers use up: idle connections to its metrics are bounded, and where even those are too many,
 * it goes on with what it has, thinks no worse of its servers, and follows its host again as soon as it can.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { afterEach, beforeEach, expect, test } from 'vitest';
import type { Dispatcher } from '../../netns/dispatcher.mjs';
import { run } from '../../netns/host.mjs';
import { createLab, type Lab } from '../../netns/laboratory.mjs';
import type { LabProcess } from '../../netns/processes.mjs';
import { natService, SERVER_PORTS } from '../../netns/services.mjs';
import { startDispatcher, startServers, waitFor } from '../support/lab.ts';
import { readHost } from '../support/snapshot.ts';

const { http } = SERVER_PORTS;
/** MAX_CONNECTIONS of the metrics port. */
const ALLOWED = 64;
/** More than the daemon needs at once, with all tools that it runs. */
const ENOUGH = 40;
/** So short that a server that is thought ill of falls within any time that is waited here. */
const health = { type: 'tcp', interval: '100ms', timeout: '60s', rise: 1, fall: 2 };
const CONFIG = {
  metrics: { listen: '10.0.1.1:9373' },
  services: { web: natService('192.0.2.10', 'tcp', 80, http, { scheduler: 'rr', health }) },
};
const NOT_FOLLOWED = /routes could not be followed/;

let lab: Lab;
let before: Record<string, string[]>;
let dispatcher: Dispatcher;
beforeEach(async () => {
  // It does not forward by itself: a new interface shows whether the daemon has heard of it.
  lab = createLab({ forwarding: false });
  before = readHost(lab, 'd1');
  await startServers(lab, 'http-server', ['--port', http]);
  dispatcher = await startDispatcher(lab, CONFIG);
});
afterEach(() => lab.close());

/** Lets the daemon open `spare` descriptors more than it has now. */
function leaveDescriptors(spare: number): void {
  const { pid } = dispatcher.daemon;
  const taken = new Set(readdirSync(`/proc/${pid}/fd`).map(Number));
  // Every number below the limit may be taken.
  let limit = 0;
  for (let free = 0; free < spare; limit++) if (!taken.has(limit)) free++;
  run(['prlimit', '--pid', String(pid), `--nofile=${limit}:${limit}`]);
}

function holdIdle(connections: number): Promise<LabProcess> {
  return lab.startTool('client', 'idle-connections', ['--connections', connections]);
}

/** Connections to the metrics that the daemon has a descriptor of; those that the kernel has accepted for it have none. */
function countTaken(): number {
  const shown = lab.must('d1', 'ss', '-Htnp', 'state', 'established', 'sport', '=', ':9373');
  return shown.split('\n').filter((line) => line.includes('users:')).length;
}

/** News of interfaces: one more, which does not forward by itself. */
function addLink(name: string): void {
  lab.must('d1', 'ip', 'link', 'add', name, 'type', 'veth', 'peer', 'name', `${name}-peer`);
}

const forwards = (name: string) =>
  lab.must('d1', 'sysctl', '-n', `net.ipv4.conf.${name}.forwarding`).trim() === '1';
const said = (pattern: RegExp) => dispatcher.daemon.errorLines.filter((line) => pattern.test(line));

/** The process that tells the daemon of changes on its host. */
function monitor(): number | undefined {
  const { pid } = dispatcher.daemon;
  const children = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim().split(' ');
  return children.map(Number).find((child) => commandOf(child).startsWith('ip monitor '));
}

function commandOf(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ');
  } catch {
    return ''; // it has ended
  }
}

/** No server was taken for dead, and all get requests. */
async function expectForwarding(): Promise<void> {
  const { daemon } = dispatcher;
  expect(said(/server is down/)).toEqual([]);
  const load = await lab.tool('client', 'http-load', ['--requests', 40]);
  expect(load).toMatchObject({ ok: 40, broken: 0 });
  expect(Object.keys(load.byServer).sort()).toEqual(lab.servers);
  expect(daemon.exit, daemon.describe()).toBeUndefined();
}

/** Idle connections until the daemon has no descriptor left, though they are fewer than it allows. */
async function useUp(): Promise<LabProcess> {
  leaveDescriptors(16);
  const idle = await holdIdle(ALLOWED - 16);
  await waitFor(async () => (await idle.ask('report')).ended > 0, { what: 'connections to be turned away' });
  return idle;
}

/** Waits until the daemon could not look at its host `more` times. They are at least a second apart, ten rounds of health checks. */
async function failures(more: number): Promise<void> {
  const count = said(NOT_FOLLOWED).length + more;
  const { daemon } = dispatcher;
  await waitFor(() => daemon.exit !== undefined || said(NOT_FOLLOWED).length >= count, {
    what: `${more} failures to follow the host`,
  });
  expect(daemon.exit, daemon.describe()).toBeUndefined();
}

test('idle connections to the metrics are bounded: the daemon keeps what it needs', async () => {
  leaveDescriptors(ALLOWED + ENOUGH);
  const idle = await holdIdle(3 * ALLOWED);
  // All have tried, and those that were turned away came back.
  const isCrowded = async () => (await idle.ask('report')).ended > 4 * ALLOWED;
  await waitFor(isCrowded, { what: 'connections to be turned away' });
  await waitFor(() => countTaken() >= ALLOWED, { what: 'as many connections as it allows' });
  expect(countTaken()).toBeLessThanOrEqual(ALLOWED);

  addLink('late0');
  await waitFor(() => forwards('late0'), { what: 'a new interface to be noticed' });
  const servers: { up: boolean }[] = await dispatcher.ask('/servers');
  expect(servers.map(({ up }) => up)).toEqual([true, true, true, true]);
  await expectForwarding();
  expect(countTaken()).toBeLessThanOrEqual(ALLOWED);
  expect(said(NOT_FOLLOWED)).toEqual([]);
});

test('with no descriptor left it lives on, and follows its host again as soon as it can', async () => {
  const idle = await useUp();
  for (const name of ['late0', 'late1', 'late2']) {
    addLink(name);
    await failures(1);
  }
  expect(forwards('late2')).toBe(false);
  // What tells it of news ends, and cannot be started again; nobody can ask it anything.
  process.kill(monitor()!, 'SIGKILL');
  await dispatcher.look('/status');
  await failures(3);
  expect(monitor()).toBeUndefined();
  await expectForwarding();

  await idle.stop();
  await waitFor(() => forwards('late2'), { what: 'the new interfaces to be noticed' });
  await waitFor(() => monitor() !== undefined, { what: 'news to be followed again' });
  const servers: { up: boolean }[] = await dispatcher.ask('/servers');
  expect(servers.map(({ up }) => up)).toEqual([true, true, true, true]);
  await expectForwarding();
  for (const name of ['late0', 'late1', 'late2']) lab.must('d1', 'ip', 'link', 'del', name);
  expect(await dispatcher.stop()).toEqual({ code: 0, signal: null });
  expect(readHost(lab, 'd1')).toEqual(before);
});

test('a stop with no descriptor left puts the host back', async () => {
  await useUp();
  addLink('late0');
  await failures(1);
  lab.must('d1', 'ip', 'link', 'del', 'late0');
  expect(await dispatcher.stop()).toEqual({ code: 0, signal: null });
  expect(readHost(lab, 'd1')).toEqual(before);
});
