import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { hostname, tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { LatchwayError } from '../../../../src/base/fault.ts';
import { clusterKeys, sharedKey } from '../../../../src/daemon/config/cluster.ts';
import { chooseNode, configHash, loadConfig, parseConfig } from '../../../../src/daemon/config/config.ts';
import { newKeyFile, readKeyFile } from '../../../../src/daemon/config/key-file.ts';
import { probePort } from '../../../../src/daemon/config/services.ts';
import { parseAddress } from '../../../../src/wire/address.ts';
import { FULL, faultsOf, service } from './sample.ts';

const folder = mkdtempSync(join(tmpdir(), 'latchway-config-'));
afterAll(() => rmSync(folder, { recursive: true }));

function write(name: string, content: string | Uint8Array): string {
  const file = join(folder, name);
  writeFileSync(file, content);
  return file;
}

function faultOfFile(file: string): string {
  try {
    loadConfig(file);
    return 'none';
  } catch (error) {
    expect(error).toBeInstanceOf(LatchwayError);
    return (error as LatchwayError).message;
  }
}

describe('a whole file', () => {
  const config = parseConfig(FULL, '/etc/latchway/l.yaml');
  const [web, dns] = config.services;

  test('every key arrives as a value', () => {
    expect(config.device).toEqual({ name: 'lw1', queues: 2 });
    expect(config.table).toEqual({ capacity: 4096 });
    expect(config.flood).toEqual({ newSessionsPerSecond: 1000 });
    expect(config.metrics).toEqual({ listen: { address: parseAddress('127.0.0.1'), port: 9273 } });
    expect(config.cluster).toEqual({
      name: 'edge',
      keyFile: '/etc/latchway/cluster.key',
      port: 7373,
      multicast: parseAddress('239.1.2.3'),
      heartbeatMs: 100,
      deadAfterMs: 500,
      leaseMs: 250,
      confirmTimeoutMs: 20,
      dispatchers: [{ name: 'd1', address: parseAddress('10.0.1.1') }],
    });
    expect(web).toEqual({
      name: 'web',
      vip: parseAddress('192.0.2.10'),
      protocol: 6,
      ports: [
        [80, 80],
        [443, 443],
        [8000, 8099],
      ],
      mode: 'nat',
      scheduler: 'wlc',
      affinity: { kind: 'client', prefix: 24 },
      lock: 'announce',
      unknown: 'drop',
      onServerDown: 'reset',
      timeoutsMs: {
        tcpEstablished: 600_000,
        tcpOpening: 20_000,
        tcpClosing: 10_000,
        udp: 7000,
        client: 300_000,
      },
      health: { type: 'tcp', intervalMs: 2000, timeoutMs: 300, rise: 1, fall: 5, port: 81 },
      servers: [
        { name: 's1', address: parseAddress('10.0.2.1'), port: 8080, weight: 3 },
        { name: 's2', address: parseAddress('10.0.2.2'), port: 8080, weight: 0 },
      ],
    });
  });

  test('what is left out has its default', () => {
    expect(dns).toMatchObject({
      ports: [[1, 65_535]],
      scheduler: 'maglev',
      affinity: { kind: 'flow' },
      lock: 'auto',
      unknown: 'hash',
      onServerDown: 'keep',
      health: { type: 'none' },
      servers: [{ port: 0, weight: 1 }, {}],
    });
    const least = parseConfig(service(), '/x.yaml');
    expect(least).toMatchObject({
      cluster: undefined,
      device: { name: 'lw0', queues: 1 },
      table: { capacity: 1_048_576 },
      flood: { newSessionsPerSecond: 50_000 },
      metrics: undefined,
      services: [
        {
          timeoutsMs: {
            tcpEstablished: 900_000,
            tcpOpening: 30_000,
            tcpClosing: 30_000,
            udp: 120_000,
            client: 900_000,
          },
        },
      ],
    });
  });

  test('an empty health section is a tcp check with the defaults', () => {
    const [only] = parseConfig(service('health: {}'), '/x').services;
    expect(only!.health).toEqual({
      type: 'tcp',
      intervalMs: 1000,
      timeoutMs: 500,
      rise: 2,
      fall: 3,
      port: 0,
    });
  });

  test.each([
    ['maglev', 'hash'],
    ['sh', 'hash'],
    ['rr', 'reset'],
    ['wlc', 'reset'],
    ['random', 'reset'],
  ])('unknown: auto under %s is %s', (scheduler, unknown) => {
    expect(parseConfig(service(`scheduler: ${scheduler}`), '/x').services[0]!.unknown).toBe(unknown);
  });

  test('client affinity without bits takes the whole address of the family', () => {
    const prefix = (text: string) => parseConfig(text, '/x').services[0]!.affinity;
    expect(prefix(service('affinity: client'))).toEqual({ kind: 'client', prefix: 32 });
    const six = service('affinity: client', 's1: { address: 2001:db8::1 }').replace(
      '192.0.2.10',
      '2001:db8::10',
    );
    expect(prefix(six)).toEqual({ kind: 'client', prefix: 128 });
  });

  test('a probe goes to the port of the check, else of the server, else the first of the service', () => {
    const ports = [[80, 80] as const];
    const tcp = { type: 'tcp', intervalMs: 1, timeoutMs: 1, rise: 1, fall: 1 } as const;
    expect(probePort({ ports, health: { ...tcp, port: 9 } }, { port: 8080 })).toBe(9);
    expect(probePort({ ports, health: { ...tcp, port: 0 } }, { port: 8080 })).toBe(8080);
    expect(probePort({ ports, health: { ...tcp, port: 0 } }, { port: 0 })).toBe(80);
  });

  test('anchors and aliases share a pool of servers', () => {
    const text = `services:
  a: { vip: 192.0.2.1, protocol: tcp, ports: 80, servers: &pool { s1: { address: 10.0.0.1 } } }
  b: { vip: 192.0.2.1, protocol: udp, ports: 80, servers: *pool }
`;
    expect(parseConfig(text, '/x').services.map((one) => one.servers[0]!.name)).toEqual(['s1', 's1']);
    const faulty = text.replace('10.0.0.1', '10.0.0.256');
    expect(faultsOf(faulty)).toEqual([
      "services.a.servers.s1.address: not an IP address: '10.0.0.256' (2)",
      "services.b.servers.s1.address: not an IP address: '10.0.0.256' (2)",
    ]);
  });
});

describe('files', () => {
  test('missing, a directory, binary, not UTF-8, too large: one line each', () => {
    expect(faultOfFile(join(folder, 'none.yaml'))).toBe(`${folder}/none.yaml: there is no such file`);
    expect(faultOfFile(folder)).toBe(`${folder}: is a directory, not a configuration file`);
    expect(faultOfFile(write('nul', new Uint8Array(9)))).toMatch(/NUL bytes/);
    expect(faultOfFile(write('latin', new Uint8Array([0x76, 0xff, 0x0a])))).toMatch(/not UTF-8/);
    expect(faultOfFile(write('large', '#'.repeat(4 * 1024 * 1024 + 1)))).toMatch(/larger than 4194304 bytes/);
  });

  test('a byte order mark is nothing to complain about', () => {
    expect(faultOfFile(write('bom.yaml', `\ufeff${service()}`))).toBe('none');
  });

  test('the key file is read: absent, wrong, right', () => {
    const file = write('full.yaml', FULL);
    expect(faultOfFile(file)).toMatch(/^cluster\.key-file: .*cluster\.key: cannot be read .*latchway keygen/);
    write('cluster.key', 'secret');
    const message = faultOfFile(file);
    expect(message).toMatch(/is no cluster key of 64 hexadecimal digits/);
    expect(message).not.toContain('secret');
    write('cluster.key', `${'0f'.repeat(32)}\n`);
    expect(faultOfFile(file)).toBe('none');
  });

  test('so are those of a change of keys, each by its name and line', () => {
    write('new.key', `${'0e'.repeat(32)}\n`);
    const files = (more: string): string =>
      write(
        'keys.yaml',
        `cluster:\n  { name: e, key-file: new.key,\n    ${more},\n    dispatchers: { d1: 10.0.1.1 } }\n${service()}`,
      );
    expect(faultOfFile(files('next-key-file: new.key'))).toBe('none');
    write('other.key', newKeyFile());
    expect(faultOfFile(files('next-key-file: other.key'))).toMatch(
      /^cluster\.next-key-file: and key-file do not follow each other, .* keygen --after OLD' \(.*:3\)$/,
    );
    for (const key of ['next-key-file', 'previous-key-file'])
      expect(faultOfFile(files(`${key}: gone.key`))).toMatch(
        new RegExp(`^cluster\\.${key}: .*gone\\.key: cannot be read .*keys\\.yaml:3\\)$`),
      );
  });

  test('which key seals, and of which key the hashes are, in each step of a change', () => {
    write('old.key', newKeyFile());
    write('new.key', newKeyFile(readKeyFile(join(folder, 'old.key'))));
    const [older, newer] = ['old', 'new'].map((name) =>
      readKeyFile(join(folder, `${name}.key`)).key.toString('hex'),
    );
    const step = (keys: string) => {
      const text = `cluster: { name: e, ${keys}, dispatchers: { d1: 10.0.1.1 } }\n${service()}`;
      const { cluster } = loadConfig(write('step.yaml', text));
      return { keys: clusterKeys(cluster!).map((key) => key.toString('hex')), seed: sharedKey(cluster!) };
    };
    const before = step('key-file: old.key');
    const accepts = step('key-file: old.key, next-key-file: new.key');
    const seals = step('key-file: new.key, previous-key-file: old.key');
    const after = step('key-file: new.key');
    expect([before, accepts, seals, after].map(({ keys }) => keys)).toEqual([
      [older],
      [older, newer],
      [newer, older],
      [newer],
    ]);
    expect([accepts.seed, seals.seed, after.seed]).toEqual([before.seed, before.seed, before.seed]);
    // And in the next change.
    write('third.key', newKeyFile(readKeyFile(join(folder, 'new.key'))));
    expect(step('key-file: third.key').seed).toEqual(before.seed);
    write('fresh.key', newKeyFile());
    expect(step('key-file: fresh.key').seed).not.toEqual(before.seed);
  });

  test('paths in messages are absolute', () => {
    expect(loadConfig(write('ok.yaml', service())).file).toBe(join(folder, 'ok.yaml'));
  });
});

describe('hash', () => {
  const hash = (text: string, file = '/a/x.yaml') => configHash(parseConfig(text, file));

  test('ignores where the file lies, comments, and the order of servers', () => {
    const two = hash(service('', 's1: { address: 10.0.2.1 }\ns2: { address: 10.0.2.2 }'));
    expect(hash(service('# note', 's2: { address: 10.0.2.2 }\ns1: { address: 10.0.2.1 }'), '/b/y.yaml')).toBe(
      two,
    );
    expect(hash(FULL, '/a/x.yaml')).toBe(hash(FULL, '/b/y.yaml'));
    expect(two).toMatch(/^[0-9a-f]{64}$/);
  });

  test('a weight, a key of a service or of a section changes it', () => {
    const before = hash(service());
    expect(hash(service('', 's1: { address: 10.0.2.1, weight: 2 }'))).not.toBe(before);
    expect(hash(service('scheduler: rr'))).not.toBe(before);
    expect(hash(`table: { capacity: 2048 }\n${service()}`)).not.toBe(before);
  });

  test('a default that is spelled out means the same', () => {
    expect(hash(service('mode: nat\nlock: auto'))).toBe(hash(service()));
  });
});

describe('node', () => {
  test('is what --node says, else the host name', () => {
    const config = parseConfig(service(), '/x');
    expect(chooseNode(config, 'd7')).toBe('d7');
    expect(chooseNode(config, undefined)).toBe(hostname());
  });

  test('must be named by the cluster, where there is one', () => {
    const config = parseConfig(FULL, '/x');
    expect(chooseNode(config, 'd1')).toBe('d1');
    expect(() => chooseNode(config, 'd9')).toThrow(/no dispatcher is named 'd9'.*known: d1/);
  });
});
