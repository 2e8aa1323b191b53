/**
 * The daemon on its host: everything is as before once it ended, however it ended; two of them share a machine; and
 * each reason why it cannot start is one clear line and exit 1.
 */
import { writeFileSync } from 'node:fs';
import { afterEach, describe, expect, test } from 'vitest';
import { PROGRAM, runCommand } from '../../netns/dispatcher.mjs';
import { createLab, type Lab } from '../../netns/laboratory.mjs';
import { DROP_INVALID, MASQUERADE } from '../../netns/nftables.mjs';
import { ipipService, natService, SERVER_PORTS } from '../../netns/services.mjs';
import { brokenTool } from '../support/broken-tool.ts';
import { startDispatcher, startServers } from '../support/lab.ts';
import { readHost } from '../support/snapshot.ts';

const { http, udp } = SERVER_PORTS;
const CONFIG = {
  services: {
    web: natService('192.0.2.10', 'tcp', 80, http),
    web6: natService('2001:db8:f::10', 'tcp', 80, http),
    echo: natService('192.0.2.10', 'udp', 53, udp),
    direct: ipipService('192.0.2.20', 'tcp', http, 4),
  },
};

const labs: Lab[] = [];
afterEach(() => {
  for (const lab of labs.splice(0)) lab.close();
});

function open(options: Parameters<typeof createLab>[0] = {}): Lab {
  const lab = createLab(options);
  labs.push(lab);
  return lab;
}

describe.each([
  ['a gateway that forwards', {}],
  ['a host that does not', { forwarding: false, rpFilter: 0 }],
  ['a gateway with connection tracking', { nftables: MASQUERADE + DROP_INVALID }],
] as const)('%s is as before', (_, options) => {
  test.each(['SIGTERM', 'SIGINT'] as const)('after %s', async (signal) => {
    const lab = open(options);
    const before = readHost(lab, 'd1');
    const dispatcher = await startDispatcher(lab, CONFIG);
    expect(readHost(lab, 'd1')).not.toEqual(before);
    expect(await dispatcher.stop(signal)).toEqual({ code: 0, signal: null });
    expect(readHost(lab, 'd1')).toEqual(before);
  });

  test('after SIGKILL, a restart and SIGTERM', async () => {
    const lab = open(options);
    const before = readHost(lab, 'd1');
    await (await startDispatcher(lab, CONFIG)).kill9();
    expect(readHost(lab, 'd1')).not.toEqual(before);
    expect(await (await startDispatcher(lab, CONFIG)).stop()).toEqual({ code: 0, signal: null });
    expect(readHost(lab, 'd1')).toEqual(before);
  });

  // Each of the tools fails at the first batch that does what its pattern says; everything else works.
  test.each([
    ['ip', 'rule add'],
    ['ip', 'route (add|replace|append).* dev lw0'],
    ['nft', 'add table|^table'],
  ])('after a fault during set-up: %s refuses %s', async (tool, pattern) => {
    const lab = open(options);
    const before = readHost(lab, 'd1');
    const broken = await startDispatcher(lab, CONFIG, {
      ready: false,
      environment: brokenTool(lab, tool, pattern),
    });
    const refused = broken.daemon.line(/^ready$/).catch(() => 'ended');
    const outcome = await Promise.race([broken.daemon.exited, refused]);
    if (outcome === 'ready') {
      // What this host does not need cannot fail: nftables without connection tracking.
      expect(tool).toBe('nft');
      expect(options).not.toHaveProperty('nftables');
      await broken.stop();
    } else {
      const exit = await broken.daemon.exited;
      expect(exit, broken.daemon.describe()).toEqual({ code: 1, signal: null });
      expect(broken.daemon.describe()).toContain('made to fail');
    }
    expect(readHost(lab, 'd1')).toEqual(before);
  });
});

test('two dispatchers in two namespaces of one machine do not see each other', async () => {
  const both = [open(), open()];
  for (const lab of both) await startServers(lab, 'http-server', ['--port', http]);
  const [first, second] = await Promise.all(both.map((lab) => startDispatcher(lab, CONFIG)));
  const load = () => Promise.all(both.map((lab) => lab.tool('client', 'http-load', ['--requests', 20])));
  for (const loaded of await load()) expect(loaded).toMatchObject({ ok: 20, broken: 0 });
  await first!.stop();
  expect(await both[1]!.tool('client', 'http-load', ['--requests', 20])).toMatchObject({ ok: 20 });
  await second!.stop();
});

describe('a start that is impossible says why in one line', () => {
  const run = async (lab: Lab, config: object, wrap: readonly string[] = []) => {
    const paths = {
      program: PROGRAM,
      configFile: lab.file('d1.yaml'),
      socket: lab.file('d1.sock'),
      stateFile: lab.file('d1.state'),
    };
    writeFileSync(paths.configFile, JSON.stringify(config));
    const before = readHost(lab, 'd1');
    const outcome = await lab.exec('d1', [...wrap, ...runCommand('d1', paths)]);
    expect(readHost(lab, 'd1')).toEqual(before);
    expect(outcome.stdout).toBe('');
    expect(outcome.code, outcome.stderr).toBe(1);
    const said = outcome.stderr.split('\n').filter((line) => line !== '' && !line.startsWith('{'));
    expect(said, outcome.stderr).toHaveLength(1);
    return said[0]!;
  };

  test('not root', async () => {
    const lab = open({ servers: 1 });
    lab.must('d1', 'chmod', '777', lab.record.directory);
    const wrap = ['setpriv', '--bounding-set', '-all', '--inh-caps', '-all', '--no-new-privs'];
    expect(await run(lab, CONFIG, wrap)).toMatch(/root/);
  });

  test('no /dev/net/tun', async () => {
    const wrap = ['unshare', '--mount', 'sh', '-c', 'mount -t tmpfs none /dev/net && exec "$@"', 'sh'];
    expect(await run(open({ servers: 1 }), CONFIG, wrap)).toMatch(/\/dev\/net\/tun/);
  });

  test('the VIP is on an interface', async () => {
    const lab = open({ servers: 1 });
    lab.must('d1', 'ip', 'addr', 'add', '192.0.2.10/32', 'dev', 'lo');
    expect(await run(lab, CONFIG)).toMatch(/192\.0\.2\.10.*\blo\b/);
  });

  test('the device name is taken', async () => {
    const lab = open({ servers: 1 });
    lab.must('d1', 'ip', 'link', 'add', 'lw0', 'type', 'veth', 'peer', 'name', 'lw0-peer');
    expect(await run(lab, CONFIG)).toMatch(/lw0/);
  });

  test('a server that no route leads to', async () => {
    const lab = open({ servers: 1 });
    lab.must('d1', 'ip', 'route', 'del', 'default');
    const web = natService('192.0.2.10', 'tcp', 80, http);
    web.servers['s2'] = { address: '203.0.113.7', port: http };
    expect(await run(lab, { services: { web } })).toMatch(/203\.0\.113\.7/);
  });
});
