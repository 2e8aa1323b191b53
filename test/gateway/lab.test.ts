/**
 * The lab itself: what it builds carries traffic with the kernel in the dispatcher's place, fails where it must, and
 * leaves nothing behind, not even after a SIGKILL.
 */
import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { inNamespace, namespaces } from '../../netns/host.mjs';
import { labs, sweep } from '../../netns/registry.mjs';
import { serverAddress } from '../../netns/single.mjs';
import { checksumErrors, readAllSnmp, startCapture, startServers, waitFor, withLab } from '../support/lab.ts';

const SERVERS = [1, 2, 3, 4];

function dnatService(family: 4 | 6, protocol: 'tcp' | 'udp', port: number, serverPort: number) {
  const vip = family === 4 ? '192.0.2.10' : '2001:db8:f::10';
  const servers = SERVERS.map((number) => [
    `s${number}`,
    { address: serverAddress(number, family), port: serverPort },
  ]);
  return { vip, protocol, ports: [port], servers: Object.fromEntries(servers) };
}

const RESET_EVERYTHING = `table ip lab {
  chain forward {
    type filter hook forward priority filter
    tcp dport 80 reject with tcp reset
  }
}`;

/** A process that ended but that nobody has waited for yet does not run. */
function isRunning(pid: number): boolean {
  if (!existsSync(`/proc/${pid}/stat`)) return false;
  return !/\) Z /.test(readFileSync(`/proc/${pid}/stat`, 'utf8'));
}

const KERNEL_SERVICES = {
  web4: dnatService(4, 'tcp', 80, 8080),
  web6: dnatService(6, 'tcp', 80, 8080),
  echo4: dnatService(4, 'udp', 53, 5300),
  echo6: dnatService(6, 'udp', 53, 5300),
};

test('without a dispatcher nothing answers, with kernel DNAT everything does', async () => {
  await withLab({}, async (lab) => {
    await startServers(lab, 'http-server', ['--port', 8080]);
    await startServers(lab, 'udp-server', ['--port', 5300]);
    const load = ['--url', 'http://192.0.2.10/', '--requests', 8, '--timeout', 1000];
    expect(await lab.tool('client', 'http-load', load)).toMatchObject({ ok: 0, broken: 8 });

    lab.kernelDnat(KERNEL_SERVICES);
    const before = readAllSnmp(lab, lab.hosts);
    for (const [host, url] of [
      ['192.0.2.10', 'http://192.0.2.10'],
      ['2001:db8:f::10', 'http://[2001:db8:f::10]'],
    ] as const) {
      const answered = await lab.tool('client', 'http-load', ['--url', `${url}/`, '--requests', 40]);
      expect(answered).toMatchObject({ ok: 40, broken: 0, byServer: { s1: 10, s2: 10, s3: 10, s4: 10 } });
      const moved = await lab.tool('client', 'http-transfer', [
        '--url',
        url,
        '--download',
        1e6,
        '--upload',
        1e6,
      ]);
      expect(moved).toMatchObject({ transfers: 2, ok: 2, faults: [] });
      const talked = await lab.tool('client', 'udp-load', ['--host', host, '--sessions', 40]);
      expect(talked).toMatchObject({ answered: 120, lost: 0, mixed: 0, wrongSource: 0, wrongSize: 0 });
    }
    expect(checksumErrors(lab, before)).toEqual({});
  });
});

test('the witnesses see what goes wrong: a direct answer, a wrong source, a reset', async () => {
  await withLab({ servers: 1 }, async (lab) => {
    const udp = await startServers(lab, 'udp-server', ['--port', 53]);
    const talk = (await startServers(lab, 'talk-server', ['--port', 80]))[0]!;
    lab.must('s1', 'ip', 'addr', 'add', '192.0.2.10/32', 'dev', 'lo');
    lab.must('d1', 'ip', 'route', 'add', '192.0.2.10/32', 'via', '10.0.2.11');
    const capture = await startCapture(lab, 'client', 'to-router', 'udp and src net 10.0.2.0/24');
    const leaked = await lab.tool('client', 'udp-load', ['--sessions', 3, '--datagrams', 1]);
    expect(leaked).toMatchObject({ answered: 3, wrongSource: 3 });
    const seen = await capture.stop();
    expect(seen, seen.join('\n')).toHaveLength(3);
    await udp[0]!.stop();

    const clients = await lab.startTool('client', 'long-lived', ['--connections', 5, '--interval', 20]);
    expect(await clients.ask('report')).toMatchObject({ open: 5, broken: 0, resets: 0 });
    lab.nftables('d1', RESET_EVERYTHING);
    await talk.ask('push 10');
    await waitFor(async () => (await clients.ask('report')).open === 0, { what: 'all connections reset' });
    const end = await clients.ask('report');
    expect(end, JSON.stringify(end)).toMatchObject({ open: 0, broken: 5 });
  });
});

test('a lab leaves nothing behind, and what a killed owner leaves is swept away', () => {
  const script = `
    import { createLab } from './netns/laboratory.mjs';
    const lab = createLab({ servers: 1 });
    await lab.startTool('s1', 'http-server');
    console.log(lab.name, lab.record.directory);
    process.kill(process.pid, process.argv[1]);
    setInterval(() => {}, 1000);
  `;
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGKILL']) {
    const owner = spawnSync(process.execPath, ['--input-type=module', '-e', script, signal], {
      encoding: 'utf8',
    });
    expect(owner.signal, owner.stderr).toBe(signal);
    const [name = '', directory = ''] = owner.stdout.trim().split(' ');
    expect(name).toMatch(/^lw-[0-9a-f]{6}$/);
    if (signal === 'SIGKILL') {
      const survivor = spawnSync('ip', ['netns', 'pids', `${name}-s1`], { encoding: 'utf8' });
      expect(survivor.stdout.trim()).toMatch(/^\d+$/);
      sweep();
      expect(isRunning(Number(survivor.stdout))).toBe(false);
    }
    expect(namespaces().filter((one) => one.startsWith(name))).toEqual([]);
    expect(labs().map((lab) => lab.name)).not.toContain(name);
    expect(existsSync(directory)).toBe(false);
  }
});

test('a lab that cannot be built is taken down again and says why', async () => {
  await expect(withLab({ nftables: 'table nonsense {' }, async () => {})).rejects.toThrow(/nft -f -: exit 1/);
  await expect(withLab({ servers: 9 }, async () => {})).rejects.toThrow(/1 to 8/);
  const mine = labs().filter((lab) => lab.owner?.pid === process.pid);
  expect(mine).toEqual([]);
  expect(inNamespace('a', ['b'])).toEqual(['ip', 'netns', 'exec', 'a', 'b']);
});
