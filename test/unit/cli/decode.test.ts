/** `latchway decode` as a child process, on captures that are put together here with the real links and keys. */
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { pcapHeader, pcapRecord } from '../../../src/cli/pcap.ts';
import { NO_ISN } from '../../../src/cluster/entry.ts';
import { nodeId } from '../../../src/cluster/identity.ts';
import { Link } from '../../../src/cluster/link.ts';
import type { AnyRecord } from '../../../src/cluster/messages.ts';
import { Sealer } from '../../../src/cluster/seal.ts';
import { KIND_FLOW, KIND_SESSION, ReplyKey, SessionKey } from '../../../src/cluster/session-key.ts';
import { loadConfig } from '../../../src/daemon/config/config.ts';
import { wireId } from '../../../src/daemon/member/ids.ts';
import { serverId, serviceId } from '../../../src/daemon/pool/ids.ts';
import { tcpPacket, udpPacket } from '../../support/packets.ts';
import { runProgram, startProgram } from '../../support/program.ts';

const folder = mkdtempSync(join(tmpdir(), 'latchway-decode-'));
afterAll(() => rmSync(folder, { recursive: true }));
const file = (name: string): string => join(folder, name);

const KEY = Buffer.alloc(32, 5);
const ADDRESSES: Readonly<Record<string, string>> = { d1: '10.0.9.1', d2: '10.0.9.2', d3: '10.0.9.3' };
const SERVICES = `services:
  web:
    { vip: 192.0.2.10, protocol: tcp, ports: [80], servers: { s1: { address: 10.0.2.11 }, s2: { address: 10.0.2.12 } } }
`;
writeFileSync(file('cluster.key'), KEY.toString('hex'));
writeFileSync(file('other.key'), Buffer.alloc(32, 6).toString('hex'));
const cluster = (key: string): string =>
  `cluster: { name: t, key-file: ${key}, dispatchers: ${JSON.stringify(ADDRESSES)} }\n`;
writeFileSync(file('l.yaml'), cluster('cluster.key') + SERVICES);
writeFileSync(file('other.yaml'), cluster('other.key') + SERVICES);
writeFileSync(file('alone.yaml'), SERVICES);

const [web] = loadConfig(file('l.yaml')).services;
const WEB = wireId(serviceId(web!));
const [S1, S2] = web!.servers.map((server) => wireId(serverId(serviceId(web!), server))) as [number, number];
const CLIENT = [0, 0, 0xffff, 0xc6336402] as const;
const FLOW = new SessionKey(WEB, KIND_FLOW, CLIENT, 40_000, 80);
const SESSION = new SessionKey(WEB, KIND_SESSION, CLIENT, 0, 0);
const CLAIM = { isn: 1, previousIsn: NO_ISN, generation: 0, server: S1 };
const LOCK = { type: 'lock', attempt: 5, key: FLOW, ...CLAIM, leaseMs: 250, confirm: true } as const;
const ENTRY = {
  type: 'entry',
  cause: 'selected',
  attempt: 5,
  key: FLOW,
  ...CLAIM,
  origin: nodeId('d1'),
  bits: 0,
  ageMs: 0,
  idleMs: 0,
} as const;

const life = (name: string) => ({ node: nodeId(name), incarnation: `0${name.slice(1)}`.repeat(16) });
const links = new Map(
  Object.keys(ADDRESSES).map((name) => [name, new Link(life(name), new Sealer([KEY]), 1500, [])] as const),
);

/** A datagram between two, as a packet. */
function says(from: string, to: string, stream: 'broadcast' | 'unicast', ...records: AnyRecord[]): Buffer {
  const link = links.get(from)!;
  for (const record of records) {
    if (stream === 'broadcast') link.broadcast(record);
    else link.unicast(nodeId(to), record);
  }
  const [datagram] = link.flush(0, () => life(to));
  const addresses = { source: ADDRESSES[from]!, destination: ADDRESSES[to]! };
  return udpPacket({ ...addresses, sourcePort: 7373, destinationPort: 7373, payload: datagram!.bytes }).bytes;
}

/** Writes a capture: [millisecond, packet] each. */
function capture(name: string, packets: readonly (readonly [number, Buffer])[]): string {
  const records = packets.map(([at, bytes]) => pcapRecord({ seconds: 1000, microseconds: at * 1000, bytes }));
  writeFileSync(file(name), Buffer.concat([pcapHeader('RAW'), ...records]));
  return file(name);
}

const SYN = tcpPacket({
  source: '198.51.100.2',
  destination: '192.0.2.10',
  sourcePort: 40_000,
  destinationPort: 80,
  flags: 2,
}).bytes;

/** Lines without their time. */
const untimed = (text: string): string[] =>
  text
    .trimEnd()
    .split('\n')
    .map((line) => line.replace(/^\d\d:\d\d:\d\d\.\d{6} /, ''));

const decode = (...args: string[]) => runProgram(['decode', '--config', file('l.yaml'), ...args]);

test('captures of several places are one story in the order of time', async () => {
  const atD1 = capture('d1.pcap', [
    [1, SYN],
    [2, says('d1', 'd2', 'unicast', LOCK)],
    [4, says('d1', 'd2', 'broadcast', ENTRY)],
  ]);
  const atD2 = capture('d2.pcap', [
    [3, says('d2', 'd1', 'unicast', { type: 'grant', key: FLOW, attempt: 5, reports: [] })],
  ]);
  const { code, stdout, stderr } = await decode(atD2, atD1);
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
  expect(stdout).toMatch(/^\d\d:\d\d:\d\d\.001000 d1 /);
  expect(untimed(stdout)).toEqual([
    'd1  IP 198.51.100.2:40000 > 192.0.2.10:80: Flags [S], length 0',
    'd1  IP 10.0.9.1:7373 > 10.0.9.2:7373: d1 to d2, unicast 1: lock 5: web 198.51.100.2:40000, server s1, lease 250 ms, wants a grant',
    'd2  IP 10.0.9.2:7373 > 10.0.9.1:7373: d2 to d1, unicast 1: grant 5: web 198.51.100.2:40000',
    'd1  IP 10.0.9.1:7373 > 10.0.9.2:7373: d1 to all, broadcast 1: entry selected 5: web 198.51.100.2:40000, server s1, opening',
  ]);
});

test('every record has its words', async () => {
  const reports = [{ server: S2, holder: nodeId('d3'), tag: 1 }];
  const reply = new ReplyKey(6, [0, 0, 0xffff, 0x0a00020b], 80, CLIENT, 40_000);
  const nested = links.get('d2')!;
  nested.broadcast(ENTRY);
  const [{ bytes: datagram } = { bytes: Buffer.alloc(0) }] = nested.flush(0, () => undefined);
  const heartbeat = {
    ready: true,
    flooding: false,
    flooded: false,
    lastSequence: 7,
    configuration: 1,
    version: 1,
    hears: [{ node: nodeId('d1'), tag: 1 }],
  };
  const cases: readonly (readonly [AnyRecord, string])[] = [
    [{ ...LOCK, key: SESSION, confirm: false }, 'lock 5: web client 198.51.100.2, server s1, lease 250 ms'],
    [
      { ...LOCK, generation: 2, previousIsn: 9, server: 0xabcdef },
      'lock 5: web 198.51.100.2:40000, server #00abcdef, lease 250 ms, generation 2, follows one that ended, wants a grant',
    ],
    [
      { type: 'grant', key: FLOW, attempt: 6, reports },
      'grant 6: web 198.51.100.2:40000, d3 had intended s2',
    ],
    [
      { type: 'refuse', attempt: 4, lock: LOCK },
      'refuse 4: holds lock 5: web 198.51.100.2:40000, server s1, lease 250 ms, wants a grant',
    ],
    [{ type: 'unlock', key: FLOW, attempt: 5 }, 'unlock 5: web 198.51.100.2:40000'],
    [{ type: 'question', question: 8, about: reply }, 'question 8: reply 10.0.2.11:80 > 198.51.100.2:40000'],
    [
      { type: 'no', question: 8, about: FLOW, reports, flooded: false },
      'no 8: web 198.51.100.2:40000, d3 had intended s2',
    ],
    [
      { ...ENTRY, cause: 'refresh', attempt: 0, generation: 1, bits: 3, idleMs: 40 },
      'entry refresh: web 198.51.100.2:40000, server s1, established, FIN of the client, generation 1, idle 40 ms',
    ],
    [
      { ...ENTRY, cause: 'changed', attempt: 0, bits: 15 },
      'entry changed: web 198.51.100.2:40000, server s1, closing',
    ],
    [{ type: 'heartbeat', ...heartbeat }, 'heartbeat: ready, broadcast up to 7, hears d1'],
    [
      { type: 'heartbeat', ...heartbeat, ready: false, flooding: true, hears: [] },
      'heartbeat: not ready, broadcast up to 7, hears nobody, in flood',
    ],
    [
      { type: 'heartbeat', ...heartbeat, flooded: true },
      'heartbeat: ready, broadcast up to 7, hears d1, remembers a flood',
    ],
    [{ type: 'repair-request', sequences: [3, 4] }, 'repair-request: 3 4'],
    [{ type: 'gone', sequences: [3] }, 'gone: 3'],
    [
      { type: 'repair', heldMs: 12, datagram },
      'repair, 12 ms old: (entry selected 5: web 198.51.100.2:40000, server s1, opening)',
    ],
    [{ type: 'repair', heldMs: 12, datagram: Buffer.from('?') }, 'repair, 12 ms old: (sealed)'],
    [{ type: 'digest', ranges: new Uint32Array(256) }, 'digest'],
    [{ type: 'leave' }, 'leave'],
  ];
  const packets = cases.map(([record], index) => [index, says('d2', 'd1', 'broadcast', record)] as const);
  const { stdout } = await decode(capture('words.pcap', packets));
  expect(untimed(stdout).map((line) => line.replace(/^.*?broadcast \d+: /, ''))).toEqual(
    cases.map(([, words]) => words),
  );
});

test('who is not in the configuration is named by number', async () => {
  const link = new Link({ node: 0x12ab, incarnation: 'ee'.repeat(16) }, new Sealer([KEY]), 1500, []);
  link.broadcast({ type: 'leave' });
  const [datagram] = link.flush(0, () => undefined);
  const ports = { sourcePort: 7373, destinationPort: 7373 };
  const packet = udpPacket({
    source: '10.0.9.9',
    destination: '10.0.9.1',
    ...ports,
    payload: datagram!.bytes,
  }).bytes;
  const { stdout } = await decode(capture('stranger.pcap', [[1, packet]]));
  expect(untimed(stdout)).toEqual(['IP 10.0.9.9:7373 > 10.0.9.1:7373: #000012ab to all, broadcast 1: leave']);
});

test('JSON has a packet a line, with what its records say', async () => {
  const packets = [
    [1, SYN],
    [2, says('d1', 'd3', 'broadcast', { ...ENTRY, key: SESSION })],
  ] as const;
  const { code, stdout } = await decode('--json', capture('j.pcap', packets));
  expect(code).toBe(0);
  const text = 'entry selected 5: web client 198.51.100.2, server s1, opening';
  const record = {
    type: 'entry',
    cause: 'selected',
    number: 5,
    service: 'web',
    client: '198.51.100.2',
    server: 's1',
    text,
  };
  expect(
    stdout
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line) as unknown),
  ).toEqual([
    { time: 1000.001, file: 'j', packet: 'IP 198.51.100.2:40000 > 192.0.2.10:80: Flags [S], length 0' },
    {
      time: 1000.002,
      file: 'j',
      packet: 'IP 10.0.9.1:7373 > 10.0.9.3:7373',
      sender: 'd1',
      receiver: 'd3',
      stream: 'broadcast',
      sequence: expect.any(Number),
      records: [record],
    },
  ]);
});

test('standard input is read as it comes', async () => {
  const child = startProgram(['decode', '--config', file('l.yaml'), '-']);
  const at = (bytes: Buffer): Buffer => pcapRecord({ seconds: 1, microseconds: 0, bytes });
  child.stdin.write(Buffer.concat([pcapHeader('RAW'), at(says('d1', 'd2', 'broadcast', { type: 'leave' }))]));
  const [line] = (await once(child.stdout.setEncoding('utf8'), 'data')) as [string];
  expect(line).toMatch(/: leave\n$/);
  child.stdin.end(at(says('d1', 'd3', 'unicast', { type: 'leave' })));
  // Nothing was ever heard of d3: whom it was sealed for cannot be known.
  expect(String((await once(child.stdout, 'data'))[0])).toMatch(/d1 to d3, unicast \d+: sealed\n$/);
  expect(await once(child, 'close')).toEqual([0, null]);
});

describe('what cannot be opened', () => {
  test('with another key it stays sealed; other UDP is left as it is', async () => {
    const packet = says('d1', 'd2', 'broadcast', { type: 'leave' });
    const stray = udpPacket({
      source: '10.0.9.1',
      destination: '10.0.9.2',
      sourcePort: 9,
      destinationPort: 7373,
      payload: Buffer.from('x'),
    }).bytes;
    const name = capture('sealed.pcap', [
      [1, packet],
      [2, stray],
    ]);
    const { code, stdout } = await runProgram(['decode', '--config', file('other.yaml'), name]);
    expect(code).toBe(0);
    expect(untimed(stdout)).toEqual([
      expect.stringMatching(/^IP 10\.0\.9\.1:7373 > 10\.0\.9\.2:7373: d1 to all, broadcast \d+: sealed$/),
      'IP 10.0.9.1:9 > 10.0.9.2:7373: UDP, length 1',
    ]);
  });

  test.each([
    [['--config', 'alone.yaml', 'd1.pcap'], 1, /alone\.yaml: has no section cluster/],
    [['--config', 'l.yaml', 'nowhere.pcap'], 1, /nowhere\.pcap: cannot be read: ENOENT/],
    [['--config', 'l.yaml', 'cluster.key'], 1, /cluster\.key: is no pcap file/],
    [['--config', 'l.yaml', '-', 'd1.pcap'], 2, /standard input cannot be put in order with files/],
    [['d1.pcap'], 2, /required option '--config <FILE>' not specified/],
  ])('%j is refused', async (args, code, message) => {
    const paths = args.map((word) => (/^\w+\.\w+$/.test(word) ? file(word) : word));
    const ended = await runProgram(['decode', ...paths]);
    expect(ended.code).toBe(code);
    expect(ended.stderr).toMatch(message);
    expect(ended.stdout).toBe('');
  });
});

test('what goes to the multicast group is said to all', async () => {
  const group = '239.1.2.3';
  writeFileSync(
    file('group.yaml'),
    cluster('cluster.key').replace('{ name', `{ multicast: ${group}, name`) + SERVICES,
  );
  const link = links.get('d1')!;
  link.broadcast(ENTRY);
  const [datagram] = link.flush(0, () => life('d2'));
  const ports = { sourcePort: 7373, destinationPort: 7373 };
  const sent = udpPacket({
    source: ADDRESSES['d1']!,
    destination: group,
    ...ports,
    payload: datagram!.bytes,
  });
  const captured = capture('group.pcap', [[1, sent.bytes]]);
  const { stdout } = await runProgram(['decode', '--config', file('group.yaml'), '--json', captured]);
  expect(JSON.parse(stdout.trimEnd().split('\n')[0]!)).toMatchObject({
    ...{ sender: 'd1', receiver: 'all', stream: 'broadcast', records: [{ type: 'entry' }] },
  });
  // Without it in the configuration, it is a packet like others.
  const { stdout: plain } = await decode('--json', captured);
  expect(JSON.parse(plain.trimEnd().split('\n')[0]!)).not.toHaveProperty('stream');
});
