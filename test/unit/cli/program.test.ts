import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { hostname, tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { runProgram, startProgram } from '../../support/program.ts';
import { FULL, service } from '../daemon/config/sample.ts';

const folder = mkdtempSync(join(tmpdir(), 'latchway-cli-'));
afterAll(() => rmSync(folder, { recursive: true }));

function write(name: string, content: string): string {
  const file = join(folder, name);
  writeFileSync(file, content);
  return file;
}

const COMMANDS = [
  'run',
  'check',
  'cleanup',
  'keygen',
  'status',
  'servers',
  'server',
  'flows',
  'locks',
  'peers',
  'explain',
  'diff',
  'counters',
  'reload',
  'capture',
  'decode',
  'simulate',
];
const VIEWS = ['status', 'servers', 'flows', 'locks', 'peers', 'diff', 'counters', 'reload'];

describe('help', () => {
  test('of the program names every command and the exit codes', async () => {
    const { code, stdout, stderr } = await runProgram(['--help']);
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    for (const command of COMMANDS) expect(stdout).toMatch(new RegExp(`^  ${command}\\b`, 'm'));
    expect(stdout).toContain('Exit codes: 0 done, 1 the answer is no or the input is bad, 2 wrong usage');
  });

  test.each(COMMANDS)('of %s has examples', async (command) => {
    const { code, stdout } = await runProgram([command, '--help']);
    expect(code).toBe(0);
    expect(stdout).toMatch(new RegExp(`Examples:\\n.*latchway ${command}`));
  });

  test('whose reader has seen enough ends with exit code 0 and without a word', async () => {
    const child = startProgram(['simulate', '--help']);
    child.stdout.destroy();
    let errors = '';
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      errors += text;
    });
    const [code] = await once(child, 'close');
    expect({ code, errors }).toEqual({ code: 0, errors: '' });
  });

  test('the version is that of the package', async () => {
    const { version } = JSON.parse(readFileSync('package.json', 'utf8')) as { version: string };
    expect(await runProgram(['--version'])).toEqual({ code: 0, stdout: `${version}\n`, stderr: '' });
  });
});

describe('wrong usage is exit code 2, with a line on standard error', () => {
  test.each([
    [['nope'], /^error: unknown command 'nope'/],
    [['status', '--nope'], /^error: unknown option '--nope'/],
    [['status', 'extra'], /^error: too many arguments/],
    [['check'], /^error: missing required argument 'FILE'/],
    [['run'], /^error: required option '--config <FILE>' not specified/],
    [['server'], /^error: missing required argument 'SERVICE\/SERVER'/],
    [['server', 'web'], /^error: 'web' is no SERVICE\/SERVER/],
    [['server', 'web/s1'], /^error: say what to change/],
    [
      ['server', 'web/s1', '--weight', '65536'],
      /^error: --weight must be a whole number from 0 to 65535, not '65536'/,
    ],
    [['server', 'web/s1', '--weight', '-1'], /^error: --weight must be/],
    [
      ['server', 'web/s1', '--drain', '--enable'],
      /^error: option '--drain' cannot be used with option '--enable'/,
    ],
    [
      ['server', 'web/s1', '--drain', '--weight', '1'],
      /^error: option '--weight <N>' cannot be used with option '--drain'/,
    ],
    [['flows', '--limit', 'many'], /^limit must be a whole number from 1, not 'many'/],
    [['flows', '--state', 'open'], /^state must be one of opening/],
    [['flows', '--client', '10.0.0'], /^client must be an address/],
    [['explain'], /^error: missing required argument 'PACKET'/],
    [
      ['explain', 'tcp 198.51.100.7 > 192.0.2.10:80'],
      /^'tcp 198.51.100.7 > 192.0.2.10:80' is no packet: write it/,
    ],
    [['explain', 'tcp 198.51.100.7:1 > [2001:db8::1]:80'], /is no packet: its addresses are of two families/],
    [['explain', 'udp 198.51.100.7:1 > 192.0.2.10:53 ack'], /is no packet: UDP has no ack/],
    [['capture', '--count', '0'], /^error: --count must be a whole number from 1, not '0'/],
    [['status', '--node', 'a/b'], /^error: --node must be a name/],
    [['simulate', '--runs', '0'], /^--runs: at least 1/],
    [['cleanup', '--device', 'a b'], /^error: --device: 'a b' is no name of a device/],
  ])('%j', async (args, line) => {
    const { code, stdout, stderr } = await runProgram(args);
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
    expect(stderr).toMatch(line);
  });

  test('no command at all', async () => {
    const { code, stdout, stderr } = await runProgram([]);
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
    expect(stderr).toMatch(/^Usage: latchway/);
  });
});

describe('no daemon is exit code 3, with one line', () => {
  const EXPLAIN = ['explain', 'tcp 198.51.100.7:1 > 192.0.2.10:80'];
  test.each([
    ...VIEWS.map((view) => [view]),
    ['server', 'web/s1', '--drain'],
    ['flows', '--cluster'],
    ['capture', '--count', '1'],
    EXPLAIN,
  ])('%s', async (...args) => {
    const socket = join(folder, 'none.sock');
    const { code, stdout, stderr } = await runProgram([...args, '--socket', socket]);
    expect({ code, stdout }).toEqual({ code: 3, stdout: '' });
    expect(stderr).toBe(
      `no daemon answers on ${socket} (there is no such socket): is 'latchway run' running? choose its socket with --socket\n`,
    );
  });

  test('the default socket is named for the node, which is the host by default', async () => {
    const named = await runProgram(['status', '--node', 'd-nobody']);
    expect(named).toMatchObject({ code: 3 });
    expect(named.stderr).toContain('/run/latchway/d-nobody.sock');
    const socket = `/run/latchway/${hostname()}.sock`;
    expect((await runProgram(['status', '--help'])).stdout).toContain('/run/latchway/NODE.sock');
    const { stderr } = await runProgram(['status']);
    if (stderr !== '') expect(stderr).toContain(socket);
  });
});

describe('check', () => {
  test('a good file: exit 0 and a summary', async () => {
    write('cluster.key', '00'.repeat(32));
    const file = write('full.yaml', FULL);
    const { code, stdout, stderr } = await runProgram(['check', file]);
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    expect(stdout).toMatch(new RegExp(`^${file} is good: 2 services, 4 servers, hash [0-9a-f]{12}\n`));
    expect(stdout).toContain('cluster edge: d1 10.0.1.1; port 7373, updates by multicast 239.1.2.3\n');
    expect(stdout).toContain('device lw1 with 2 queues, room for 4096 flows\n');
    expect(stdout).toContain(
      'service web: tcp 192.0.2.10:80,443,8000-8099 nat wlc, affinity client/24, unknown drop, health tcp every 2s, 2 servers\n',
    );
    expect(stdout).toContain(
      'service dns: udp [2001:db8::53]:any ipip maglev, affinity flow, unknown hash, health none, 2 servers\n',
    );
  });

  test('a faulty one: exit 1 and one line per fault', async () => {
    const file = write('bad.yaml', service('mode: gue\nshceduler: rr', 's1: { address: 10.0.2 }'));
    expect(await runProgram(['check', file])).toEqual({
      code: 1,
      stderr: '',
      stdout: [
        `services.web.mode: gue is not supported by this version: use nat or ipip (${file}:6)`,
        `services.web.shceduler: unknown key: did you mean 'scheduler'? (${file}:7)`,
        `services.web.servers.s1.address: not an IP address: '10.0.2' (${file}:9)`,
        '',
      ].join('\n'),
    });
  });

  test('as JSON', async () => {
    const good = await runProgram(['check', '--json', write('ok.yaml', service())]);
    expect(good.code).toBe(0);
    expect(JSON.parse(good.stdout)).toMatchObject({
      ok: true,
      faults: [],
      services: [
        { service: 'web', unknown: 'hash', servers: [{ server: 's1', address: '10.0.2.1', weight: 1 }] },
      ],
    });
    const bad = await runProgram(['check', '--json', write('no.yaml', service('mode: x'))]);
    expect(bad.code).toBe(1);
    expect(JSON.parse(bad.stdout)).toMatchObject({
      ok: false,
      faults: [{ path: 'services.web.mode', line: 6 }],
    });
  });

  test('a file that is not there', async () => {
    const file = join(folder, 'missing.yaml');
    expect(await runProgram(['check', file])).toEqual({
      code: 1,
      stdout: `${file}: there is no such file\n`,
      stderr: '',
    });
  });

  test('a node that the cluster does not name', async () => {
    write('cluster.key', '00'.repeat(32));
    const { code, stdout } = await runProgram(['check', '--node', 'd2', write('full.yaml', FULL)]);
    expect({ code, stdout }).toEqual({
      code: 1,
      stdout: "cluster.dispatchers: no dispatcher is named 'd2' (known: d1): choose one with --node\n",
    });
  });

  test('--host speaks of the host, and changes no exit code by warnings alone', async () => {
    // Loopback's own address cannot be a VIP of anybody.
    const file = write('host.yaml', service('', 's1: { address: 10.255.255.1 }'));
    const { code, stdout } = await runProgram(['check', '--host', '--json', file]);
    const { ok, host } = JSON.parse(stdout) as {
      ok: boolean;
      host: { errors: string[]; warnings: string[] };
    };
    expect(ok).toBe(host.errors.length === 0);
    expect(code).toBe(ok ? 0 : 1);
    for (const line of [...host.errors, ...host.warnings]) expect(line).toMatch(/^[^\n]+$/);
  });
});

describe('keygen', () => {
  test('prints 32 bytes, others each time', async () => {
    const [first, second] = [await runProgram(['keygen']), await runProgram(['keygen'])];
    expect(first.stdout).toMatch(/^[0-9a-f]{64}\n$/);
    expect(second.stdout).not.toBe(first.stdout);
  });

  test('--after makes one that hands on what hashes are keyed by', async () => {
    const [first, second] = [join(folder, 'first.key'), join(folder, 'second.key')];
    await runProgram(['keygen', '--out', first]);
    expect(await runProgram(['keygen', '--after', first, '--out', second])).toMatchObject({ code: 0 });
    const [, hashes] = /^[0-9a-f]{64} ([0-9a-f]{16})\n$/.exec(readFileSync(second, 'utf8')) ?? [];
    const { stdout } = await runProgram(['keygen', '--after', second]);
    expect(stdout).toMatch(new RegExp(`^[0-9a-f]{64} ${hashes}\n$`));
    const gone = await runProgram(['keygen', '--after', join(folder, 'gone.key')]);
    expect(gone).toMatchObject({ code: 1, stdout: '' });
    expect(gone.stderr).toMatch(/gone\.key: cannot be read/);
  });

  test('--out makes a file for its owner, once', async () => {
    const file = join(folder, 'new.key');
    expect(await runProgram(['keygen', '--out', file])).toEqual({ code: 0, stdout: '', stderr: '' });
    const key = readFileSync(file, 'utf8');
    expect(key).toMatch(/^[0-9a-f]{64}\n$/);
    expect(statSync(file).mode & 0o777).toBe(0o600);
    const again = await runProgram(['keygen', '--out', file]);
    expect(again).toMatchObject({ code: 1, stderr: `${file}: is there already: keys are not replaced\n` });
    expect(readFileSync(file, 'utf8')).toBe(key);
  });
});
