/** The commands that ask a daemon, as child processes against a control socket with a daemon that is none. */
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer, type Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, describe, expect, test } from 'vitest';
import { LatchwayError } from '../../../src/base/fault.ts';
import type { ControlTarget } from '../../../src/daemon/control/control.ts';
import { type ControlServer, startControl } from '../../../src/daemon/control/server.ts';
import { CLUSTER, fakeTarget, flow, keptLog, PEER, SERVERS, STATUS } from '../../support/control-target.ts';
import { runProgram, startProgram } from '../../support/program.ts';

const folder = mkdtempSync(join(tmpdir(), 'latchway-views-'));
afterAll(() => rmSync(folder, { recursive: true }));

let server: ControlServer | undefined;
afterEach(async () => {
  await server?.close();
  server = undefined;
});

const SOCKET = join(folder, 'd1.sock');

async function ask(target: ControlTarget, ...args: string[]) {
  server = await startControl(SOCKET, target, keptLog());
  return runProgram([...args, '--socket', SOCKET]);
}

/** Runs of spaces mean nothing: columns are as wide as they need to be. */
const squeeze = (text: string): string[] =>
  text.split('\n').map((line) => line.replace(/ +/g, ' ').trimEnd());

describe('tables', () => {
  test('status', async () => {
    const { code, stdout, stderr } = await ask(fakeTarget(), 'status');
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    expect(squeeze(stdout)).toEqual([
      'node: d1, ready',
      'version: 0.1.0',
      'process: 4242, up 1h 2m, since 2026-01-02T03:04:05.000Z',
      'config: /etc/latchway.yaml, hash abababababab, read 2026-01-02T03:04:05.000Z',
      'generation: 7',
      'device: lw0, queues 2, offloads csum tso4 tso6',
      'table: 12345 of 1048576 (1.2 %), 64 MiB',
      'flows/s: 41.5',
      'service: web, 1 of 2 servers up; down: s2',
      'service: dns, 1 of 1 servers up; drained: s1',
      'sysctl: net.ipv4.conf.eth0.forwarding 0 -> 1',
      'warning: this kernel has no USO offload',
      '',
    ]);
  });

  test('servers, in the habit of ipvsadm', async () => {
    const { code, stdout } = await ask(fakeTarget(), 'servers');
    expect(code).toBe(0);
    expect(squeeze(stdout)).toEqual([
      'Prot LocalAddress:Port Scheduler Affinity Service',
      ' -> RemoteAddress:Port Forward Weight ActiveConn InActConn Server State Since',
      'TCP 192.0.2.10:80,443 wlc flow web',
      ' -> 10.0.2.1:8080 nat 3 120 4 s1 up 2026-01-02 03:04:05Z',
      ' -> 10.0.2.2:8080 nat 0 0 1 s2 down (ECONNREFUSED), drained 2026-01-02 04:00:00Z',
      'UDP [2001:db8::53]:any maglev flow dns',
      ' -> [2001:db8:1::1]:* ipip 1 9 0 s1 up 2026-01-02 03:04:05Z',
      '',
    ]);
    const [, head, , ...rows] = stdout.split('\n');
    // Columns stand under their heads.
    expect(rows[0]!.indexOf('nat')).toBe(head!.indexOf('Forward'));
    expect(rows[0]!.indexOf('120') + 3).toBe(head!.indexOf('ActiveConn') + 'ActiveConn'.length);
  });

  test('counters: what is not zero, or all, each with its meaning', async () => {
    const target = fakeTarget();
    const { stdout } = await ask(target, 'counters');
    const names = (text: string) =>
      squeeze(text)
        .slice(1, -1)
        .map((line) => line.split(' ')[0]);
    const counters = Object.entries(target.counters());
    expect(names(stdout)).toEqual(counters.filter(([, count]) => count > 0).map(([name]) => name));
    expect(squeeze(stdout)).toContain(
      'tx-packets 2 packets written to the device or sent to a server by raw socket',
    );
    const all = await runProgram(['counters', '--all', '--socket', SOCKET]);
    expect(names(all.stdout)).toEqual(counters.map(([name]) => name));
  });

  test('flows, one a line', async () => {
    const { code, stdout } = await ask(fakeTarget(2), 'flows');
    expect(code).toBe(0);
    expect(squeeze(stdout)).toEqual([
      'Prot State Client VIP Server RemoteAddress Idle Age',
      'tcp established 198.51.0.0:1024 192.0.2.10:80 web/s0 10.0.2.0:8080 0s 0s',
      'tcp established 198.51.0.1:1024 192.0.2.10:80 web/s1 10.0.2.1:8080 0s 0s',
      '',
    ]);
  });

  test('a reload', async () => {
    expect((await ask(fakeTarget(), 'reload')).stdout).toBe('generation 8, hash cdcdcdcdcdcd\n');
  });
});

describe('JSON', () => {
  test.each([
    ['status', { ...STATUS, cluster: null }],
    ['servers', SERVERS],
    ['flows', [flow(0), flow(1), flow(2)]],
    ['reload', { generation: 8, hash: 'cd'.repeat(32), warnings: [] }],
  ])('%s', async (command, value) => {
    const { code, stdout } = await ask(fakeTarget(), command, '--json');
    expect(code).toBe(0);
    expect(JSON.parse(stdout)).toEqual(value);
  });

  test('counters: all of them, zeros too', async () => {
    const target = fakeTarget();
    const { code, stdout } = await ask(target, 'counters', '--json');
    expect(code).toBe(0);
    expect(JSON.parse(stdout)).toEqual(target.counters());
    expect(Object.values(target.counters())).toContain(0);
    const all = await runProgram(['counters', '--json', '--all', '--socket', SOCKET]);
    expect(all.stdout).toBe(stdout);
  });
});

describe('in a cluster', () => {
  test('peers: what is not as it should be has a note', async () => {
    const never = { ...PEER, name: 'd3', state: 'silent', ready: false, incarnation: '' } as const;
    const target: ControlTarget = {
      ...fakeTarget(),
      peers: async () => [
        PEER,
        never,
        { ...PEER, name: 'd4', drift: true, flooding: true, lastHeardMs: 75_000 },
      ],
    };
    const { stdout } = await ask(target, 'peers');
    const rows = squeeze(stdout).slice(1, -1);
    expect(rows[0]).toBe('d2 10.0.9.2 up yes 42ms 7 9 8 1 0 2 abababab');
    expect(rows[1]).toMatch(
      /^d3 10.0.9.2 silent no never .* not running, unreachable on its UDP port, or with/,
    );
    expect(rows[2]).toMatch(/1m 15s .* flood, other configuration \(0badcafe\)$/);
  });

  test('status: who is not up, and why', async () => {
    const { stdout } = await ask({ ...fakeTarget(), cluster: async () => CLUSTER }, 'status');
    expect(squeeze(stdout).slice(10, 17)).toEqual([
      'cluster: 2 of 3 dispatchers up, 1 ready; 1 locks, 2 questions, 3 packets wait',
      'multicast: 239.1.2.3 on eth2',
      'joining: copies the table of another dispatcher',
      'dispatcher: d3 is silent',
      'flood: new flows go by hash: here, d2',
      'drift: d2 has another configuration: compare the files',
      'refused: 5 datagrams that no key here opens: another key-file, or a stranger',
    ]);
  });

  test('flows of all: one that does not answer is named at the end, exit code 1', async () => {
    const merged = { ...flow(0), knownBy: ['d1', 'd2'], differs: { d2: 's9' }, unanswered: ['d3'] };
    const target: ControlTarget = {
      ...fakeTarget(),
      clusterFlows: () => ({
        unanswered: { d3: 'silent for 5 s' },
        async *flows() {
          yield merged;
        },
      }),
    };
    const table = await ask(target, 'flows', '--cluster');
    expect(table).toMatchObject({ code: 1, stderr: 'd3 does not answer: silent for 5 s\n' });
    expect(squeeze(table.stdout)[1]).toMatch(/ 0s 0s d1, d2 says s9, d3 is silent$/);
    const json = await runProgram(['flows', '--cluster', '--json', '--socket', SOCKET]);
    expect(json).toMatchObject({ code: 1, stderr: 'd3 does not answer: silent for 5 s\n' });
    expect(JSON.parse(json.stdout)).toEqual([merged]);
  });
});

describe('without a cluster', () => {
  test('flows of all are refused, in words', async () => {
    const { code, stdout, stderr } = await ask(fakeTarget(), 'flows', '--cluster');
    expect({ code, stdout, stderr }).toEqual({ code: 1, stdout: '', stderr: 'this dispatcher is alone\n' });
  });

  test.each([
    ['locks', 'no client locks\n'],
    ['peers', 'no other dispatcher: this one is alone\n'],
  ])('%s: none, which is no fault', async (command, stdout) => {
    expect(await ask(fakeTarget(), command)).toEqual({ code: 0, stdout, stderr: '' });
    const json = await runProgram([command, '--json', '--socket', SOCKET]);
    expect({ ...json, stdout: JSON.parse(json.stdout) }).toEqual({ code: 0, stdout: [], stderr: '' });
  });
});

describe('changes', () => {
  test.each([
    [['--weight', '0'], { weight: 0 }, 'web/s1: weight 0, up, 120 active and 4 inactive flows\n'],
    [['--drain'], { drain: true }, 'web/s1: weight 3, drained, up, 120 active and 4 inactive flows\n'],
    [['--enable'], { enable: true }, 'web/s1: weight 3, up, 120 active and 4 inactive flows\n'],
  ])('server web/s1 %j', async (options, change, line) => {
    const target = fakeTarget();
    expect(await ask(target, 'server', 'web/s1', ...options)).toEqual({ code: 0, stdout: line, stderr: '' });
    expect(target.calls).toEqual([['web', 's1', change]]);
  });

  test('what the daemon refuses is exit code 1 with its words', async () => {
    const { code, stderr } = await ask(fakeTarget(), 'server', 'mail/s1', '--drain');
    expect({ code, stderr }).toEqual({ code: 1, stderr: "no service is named 'mail'\n" });
  });

  test('a reload that is refused shows every fault', async () => {
    const target: ControlTarget = {
      ...fakeTarget(),
      reload: async () => {
        const faults = [
          { path: 'services.a', line: 2, message: 'is empty' },
          { path: 'services.b', line: 3, message: 'is empty' },
        ];
        throw new LatchwayError({ code: 'config', file: '/l.yaml', faults });
      },
    };
    const { code, stderr } = await ask(target, 'reload');
    expect({ code, stderr }).toEqual({
      code: 1,
      stderr: 'services.a: is empty (/l.yaml:2)\nservices.b: is empty (/l.yaml:3)\n',
    });
  });
});

describe('flows', () => {
  test('options become the query', async () => {
    const target = fakeTarget(5);
    const options = [
      '--service',
      'web',
      '--server',
      's1',
      '--state',
      'closing',
      '--client',
      '198.51.100.0/24',
      '--limit',
      '2',
    ];
    const { stdout } = await ask(target, 'flows', '--json', ...options);
    expect(JSON.parse(stdout)).toHaveLength(2);
    expect(target.calls).toMatchObject([
      { service: 'web', server: 's1', state: 'closing', client: { port: undefined } },
    ]);
  });

  test.each([
    [['--service', 'mail'], "no service is named 'mail' (known: web, dns)\n"],
    [['--server', 's9'], "no server is named 's9' (known: s1, s2)\n"],
    [['--service', 'dns', '--server', 's2'], "no server of dns is named 's2' (known: s1)\n"],
  ])('of nobody: %j', async (options, stderr) => {
    const target = fakeTarget();
    expect(await ask(target, 'flows', ...options)).toEqual({ code: 1, stdout: '', stderr });
    const json = await runProgram(['flows', '--json', ...options, '--socket', SOCKET]);
    expect(json).toEqual({ code: 1, stdout: '', stderr });
    expect(target.calls).toEqual([]);
  });

  test('none is an empty array, or a head alone', async () => {
    const { stdout } = await ask(fakeTarget(0), 'flows', '--json');
    expect(JSON.parse(stdout)).toEqual([]);
    const table = await runProgram(['flows', '--socket', SOCKET]);
    expect(squeeze(table.stdout)).toHaveLength(2);
  });

  test('a reader that has seen enough ends it quietly, and its daemon stops working for it', async () => {
    const target = fakeTarget(10_000_000);
    server = await startControl(SOCKET, target, keptLog());
    const child = startProgram(['flows', '--socket', SOCKET]);
    let stderr = '';
    child.stderr.on('data', (chunk) => {
      stderr += String(chunk);
    });
    await once(child.stdout, 'data');
    child.stdout.destroy();
    const [code, signal] = (await once(child, 'close')) as [number | null, string | null];
    expect({ code, signal, stderr }).toEqual({ code: 0, signal: null, stderr: '' });
    await target.ended;
    expect(target.pulled()).toBeLessThan(5_000_000);
  });

  test.each([['--json'], []])('an answer that breaks off is exit code 3 %s', async (...options) => {
    const { code, stderr } = await ask(fakeTarget(100_000, 50_000), 'flows', ...options);
    expect(code).toBe(3);
    expect(stderr).toMatch(/^no daemon answers on .*the answer broke off/);
  });
});

describe('somebody else on the socket', () => {
  let other: Server | undefined;
  afterEach(() => other?.close());

  test.each([
    ['speaks no HTTP', 'SSH-2.0-hello\r\n'],
    ['speaks HTTP but not ours', 'HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello'],
    ['refuses in other words', 'HTTP/1.1 500 No\r\nContent-Length: 5\r\n\r\nhello'],
    ['hangs up', ''],
  ])('that %s', async (what, text) => {
    const socket = join(folder, `${what.replaceAll(' ', '-')}.sock`);
    other = createServer((connection) => {
      connection.on('error', () => undefined);
      connection.once('data', () => connection.end(text));
    });
    other.listen(socket);
    await once(other, 'listening');
    const { code, stderr } = await runProgram(['status', '--socket', socket]);
    expect(code).toBe(3);
    expect(stderr).toMatch(/^no daemon answers on .*\n$/);
  });
});
