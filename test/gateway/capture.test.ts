/** `latchway capture` on a real device, in a network namespace of its own. */
import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { packetLine } from '../../src/cli/packet-line.ts';

const folder = mkdtempSync(join(tmpdir(), 'latchway-capture-'));
let traffic: ChildProcessWithoutNullStreams;

beforeAll(async () => {
  traffic = spawn('unshare', ['--net', process.execPath, 'test/support/tun-traffic.mjs']);
  const up = once(createInterface({ input: traffic.stdout }), 'line');
  const ended = once(traffic, 'exit').then(([code]) => [`ended with ${code}`]);
  expect(await Promise.race([up, ended])).toEqual(['up']);
});

afterAll(async () => {
  traffic.stdin.end();
  await once(traffic, 'exit');
  rmSync(folder, { recursive: true });
});

interface Capture {
  readonly child: ChildProcessWithoutNullStreams;
  /** Resolves when it says that it listens. */
  readonly listening: Promise<void>;
  readonly ended: Promise<{ readonly code: number | null; readonly stdout: string; readonly stderr: string }>;
}

function capture(...args: string[]): Capture {
  const inside = [
    `--net=/proc/${traffic.pid}/ns/net`,
    process.execPath,
    'dist/cli/main.js',
    'capture',
    ...args,
  ];
  const child = spawn('nsenter', inside);
  let [stdout, stderr] = ['', ''];
  let heard: () => void;
  const listening = new Promise<void>((resolve) => {
    heard = resolve;
  });
  child.stdout.on('data', (chunk) => {
    stdout += String(chunk);
  });
  child.stderr.on('data', (chunk) => {
    stderr += String(chunk);
    if (stderr.includes('listening')) heard();
  });
  const ended = once(child, 'close').then(([code]) => ({ code: code as number | null, stdout, stderr }));
  return { child, listening, ended };
}

/** Packets of a pcap file, by an own reading of the format. */
function readPcap(file: string): { readonly linkType: number; readonly packets: Buffer[] } {
  const bytes = readFileSync(file);
  expect(bytes.readUInt32LE(0)).toBe(0xa1b2c3d4);
  const packets: Buffer[] = [];
  let at = 24;
  while (at < bytes.length) {
    const length = bytes.readUInt32LE(at + 8);
    expect(bytes.readUInt32LE(at + 12)).toBe(length);
    expect(Math.abs(bytes.readUInt32LE(at) - Date.now() / 1000)).toBeLessThan(300);
    packets.push(bytes.subarray(at + 16, at + 16 + length));
    at += 16 + length;
  }
  expect(at).toBe(bytes.length);
  return { linkType: bytes.readUInt32LE(20), packets };
}

const UDP = /^IP 10\.9\.0\.1:\d+ > 10\.9\.0\.7:53: UDP, length 5$/;

test('shows a line for each packet that the filter lets through, and ends by itself', async () => {
  const { code, stdout, stderr } = await capture('udp', 'port', '53', '--count', '4', '--device', 'lw0')
    .ended;
  expect({ code, stderr }).toEqual({ code: 0, stderr: 'listening on lw0\n' });
  const lines = stdout.trimEnd().split('\n');
  expect(lines).toHaveLength(4);
  for (const line of lines) {
    expect(line).toMatch(/^\d\d:\d\d:\d\d\.\d{6} IP /);
    expect(line.slice(16)).toMatch(UDP);
  }
});

test('without --device, and without a daemon to ask, listens on lw0', async () => {
  const { code, stdout } = await capture('tcp', '--count', '1').ended;
  expect(code).toBe(0);
  expect(stdout).toMatch(/ IP 10\.9\.0\.1:\d+ > 10\.9\.0\.9:80: Flags \[S\], length 0\n$/);
});

test('stores packets in a pcap file', async () => {
  const file = join(folder, 'count.pcap');
  const { code, stdout, stderr } = await capture('udp', '--count', '5', '--write', file, '--device', 'lw0')
    .ended;
  expect({ code, stdout }).toEqual({ code: 0, stdout: '' });
  expect(stderr).toContain(`5 packets written to ${file}\n`);
  const { linkType, packets } = readPcap(file);
  expect(linkType).toBe(101);
  expect(packets).toHaveLength(5);
  for (const packet of packets) expect(packetLine(packet)).toMatch(UDP);
});

test('SIGINT ends it with exit code 0 and a whole file', async () => {
  const file = join(folder, 'interrupted.pcap');
  const { child, listening, ended } = capture('--write', file, '--device', 'lw0');
  await listening;
  child.kill('SIGINT');
  const { code, stderr } = await ended;
  expect(code).toBe(0);
  expect(stderr).toContain(`${readPcap(file).packets.length} packets written`);
});

test('a reader that has seen enough ends it quietly', async () => {
  const { child, ended } = capture('--device', 'lw0');
  await once(child.stdout, 'data');
  child.stdout.destroy();
  expect(await ended).toMatchObject({ code: 0, stderr: 'listening on lw0\n' });
});

test.each([
  [
    ['no', 'such', 'words', '--device', 'lw0'],
    /^cannot capture on lw0 with filter 'no such words': .*syntax error\n$/,
  ],
  [['--device', 'nobody0'], /^cannot capture on nobody0: No such device exists\n$/],
  [['--device', 'lw0', '--write', '/nowhere/x.pcap'], /\/nowhere\/x\.pcap: ENOENT/],
])('%j is exit code 1 with a line', async (args, line) => {
  const { code, stdout, stderr } = await capture(...args).ended;
  expect({ code, stdout }).toEqual({ code: 1, stdout: '' });
  expect(stderr).toMatch(line);
});

test('a device that goes down costs nothing of what was captured', async () => {
  const file = join(folder, 'down.pcap');
  const { listening, ended } = capture('--write', file, '--device', 'lw0');
  await listening;
  traffic.stdin.write('down\n');
  const { code, stderr } = await ended;
  expect(code).toBe(1);
  expect(stderr).toMatch(/device lw0 went down or away\n$/);
  expect(stderr).toContain(`${readPcap(file).packets.length} packets written`);
});
