import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { request } from 'node:http';
import { connect, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, describe, expect, test } from 'vitest';
import { LatchwayError } from '../../../../src/base/fault.ts';
import type { ControlTarget } from '../../../../src/daemon/control/control.ts';
import { type ControlServer, startControl } from '../../../../src/daemon/control/server.ts';
import { type FakeTarget, fakeTarget, keptLog, SERVERS, STATUS } from '../../../support/control-target.ts';
import { expectBounded } from '../../../support/idle.ts';

const folder = mkdtempSync(join(tmpdir(), 'latchway-control-'));
afterAll(() => rmSync(folder, { recursive: true }));

let open: ControlServer[] = [];
afterEach(async () => {
  await Promise.all(open.map((server) => server.close()));
  open = [];
});

let number = 0;
async function start(
  target: ControlTarget = fakeTarget(),
  socket = join(folder, `${++number}.sock`),
): Promise<string> {
  open.push(await startControl(socket, target, keptLog()));
  return socket;
}

interface Answer {
  readonly status: number;
  readonly text: string;
  readonly json: unknown;
}

function ask(socket: string, method: string, path: string, body?: string): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const asked = request({ socketPath: socket, method, path }, (response) => {
      let text = '';
      response.setEncoding('utf8');
      response.on('data', (chunk: string) => {
        text += chunk;
      });
      response.on('error', reject);
      response.on('end', () => {
        const json = /json/.test(response.headers['content-type'] ?? '')
          ? (JSON.parse(text) as unknown)
          : undefined;
        resolve({ status: response.statusCode!, text, json });
      });
    });
    asked.on('error', reject);
    asked.end(body);
  });
}

describe('answers', () => {
  test('status, counters, servers', async () => {
    const socket = await start();
    expect(await ask(socket, 'GET', '/status')).toMatchObject({ status: 200, json: STATUS });
    expect((await ask(socket, 'GET', '/servers')).json).toEqual(SERVERS);
    expect((await ask(socket, 'GET', '/counters')).json).toMatchObject({ 'rx-packets': 0, 'rx-bytes': 1 });
  });

  test('metrics', async () => {
    const answer = await ask(await start(), 'GET', '/metrics');
    expect(answer.status).toBe(200);
    expect(answer.text).toContain('latchway_table_entries 12345\n');
  });

  test('flows with a filter', async () => {
    const target = fakeTarget(3);
    const answer = await ask(await start(target), 'GET', '/flows?service=web&client=198.51.0.0%2F16');
    expect(answer.json).toHaveLength(3);
    expect(target.calls).toMatchObject([{ service: 'web', client: { port: undefined } }]);
  });

  test('a change of a server', async () => {
    const target = fakeTarget();
    const socket = await start(target);
    const changed = await ask(socket, 'PATCH', '/servers/web/s1', '{"weight":0}');
    expect(changed).toMatchObject({ status: 200, json: { service: 'web', server: 's1', weight: 0 } });
    await ask(socket, 'PATCH', '/servers/web/s1', '{"drain":true}');
    await ask(socket, 'PATCH', '/servers/web/s1', '{"enable":true}');
    expect(target.calls).toEqual([
      ['web', 's1', { weight: 0 }],
      ['web', 's1', { drain: true }],
      ['web', 's1', { enable: true }],
    ]);
  });

  test('a reload, done or refused with its faults', async () => {
    const good = fakeTarget();
    const socket = await start(good);
    expect((await ask(socket, 'POST', '/reload')).json).toMatchObject({ generation: 8 });
    expect(good.calls).toEqual(['reload']);
    const faults = [{ path: 'services.web.vip', line: 3, message: 'is missing' }];
    const bad: ControlTarget = {
      ...good,
      reload: async () => {
        throw new LatchwayError({ code: 'config', file: '/x', faults });
      },
    };
    const refused = await ask(await start(bad), 'POST', '/reload');
    expect(refused).toMatchObject({
      status: 422,
      json: { error: 'services.web.vip: is missing (/x:3)', faults },
    });
  });
});

describe('what makes no sense', () => {
  const CHANGE = 'the body must be {"weight": 0 to 65535}, {"drain": true} or {"enable": true}';
  test.each([
    [
      'GET',
      '/nothing',
      undefined,
      404,
      'there is no /nothing: known are /status, /counters, /servers, /peers, /locks, /diff, /explain, /reload, /flows, /metrics',
    ],
    ['GET', '/', undefined, 404, /^there is no \/:/],
    ['GET', '/status/x', undefined, 404, /^there is no \/status\/x/],
    ['POST', '/status', undefined, 405, 'POST is not for /status: use GET'],
    ['GET', '/reload', undefined, 405, 'GET is not for /reload: use POST'],
    ['GET', '/%', undefined, 400, 'the path of the request cannot be read'],
    ['GET', '/status?x=1', undefined, 400, "unknown parameter 'x'"],
    ['GET', '/flows?limit=-1', undefined, 400, "limit must be a whole number from 1, not '-1'"],
    ['PATCH', '/servers/web', '{}', 404, /^there is no \/servers\/web/],
    ['PATCH', '/servers/web/s1', '', 400, 'the body is not JSON'],
    ['PATCH', '/servers/web/s1', '{', 400, 'the body is not JSON'],
    ['PATCH', '/servers/web/s1', '{}', 400, CHANGE],
    ['PATCH', '/servers/web/s1', '{"weight":65536}', 400, CHANGE],
    ['PATCH', '/servers/web/s1', '{"weight":1.5}', 400, CHANGE],
    ['PATCH', '/servers/web/s1', '{"drain":false}', 400, CHANGE],
    ['PATCH', '/servers/web/s1', '{"weight":1,"drain":true}', 400, CHANGE],
    ['PATCH', '/servers/web/s1', 'null', 400, CHANGE],
    ['PATCH', '/servers/web/s1', `"${'x'.repeat(5000)}"`, 413, 'the body is longer than 4096 bytes'],
    ['PATCH', '/servers/mail/s1', '{"weight":1}', 422, "no service is named 'mail'"],
  ] as const)('%s %s %s', async (method, path, body, status, error) => {
    const target = fakeTarget();
    const answer = await ask(await start(target), method, path, body);
    expect(answer.status).toBe(status);
    expect((answer.json as { error: string }).error).toMatch(error);
    expect((answer.json as { error: string }).error).not.toContain('\n');
    if (status !== 422) expect(target.calls).toEqual([]);
  });

  test('what is no HTTP gets a 400 with one line, and the server lives on', async () => {
    const socket = await start();
    const text = await new Promise<string>((resolve, reject) => {
      const raw = connect(socket);
      let got = '';
      raw.on('data', (chunk) => {
        got += String(chunk);
      });
      raw.on('end', () => resolve(got));
      raw.on('error', reject);
      raw.write('\x16\x03\x01 hello\r\n\r\n');
    });
    expect(text).toMatch(/^HTTP\/1\.1 400 Bad Request\r\n.*\r\n\r\nnot an HTTP request\n$/s);
    expect((await ask(socket, 'GET', '/status')).status).toBe(200);
  });

  test('a fault of our own is a 500, in the log too', async () => {
    const log = keptLog();
    const target: ControlTarget = {
      ...fakeTarget(),
      status: () => {
        throw new Error('boom');
      },
    };
    const socket = join(folder, 'broken.sock');
    open.push(await startControl(socket, target, log));
    expect(await ask(socket, 'GET', '/status')).toMatchObject({
      status: 500,
      json: { error: 'internal error: boom' },
    });
    expect(log.lines.join()).toContain('boom');
  });
});

describe('many flows', () => {
  test('a million arrive whole', async () => {
    const socket = await start(fakeTarget(1_000_000));
    let lines = 0;
    await new Promise<void>((resolve, reject) => {
      request({ socketPath: socket, path: '/flows?format=ndjson' }, (response) => {
        response.on('data', (chunk: Buffer) => {
          for (const byte of chunk) if (byte === 10) lines++;
        });
        response.on('end', resolve);
        response.on('error', reject);
      }).end();
    });
    expect(lines).toBe(1_000_000);
  });

  test('a reader that leaves ends the iteration early', async () => {
    const target: FakeTarget = fakeTarget(10_000_000);
    const socket = await start(target);
    request({ socketPath: socket, path: '/flows' }, (response) => {
      response.once('data', () => response.destroy());
    }).end();
    await target.ended;
    expect(target.pulled()).toBeLessThan(1_000_000);
  });

  test('an iteration that fails cuts the answer, so that nobody takes it for whole', async () => {
    const socket = await start(fakeTarget(1_000_000, 5000));
    await expect(ask(socket, 'GET', '/flows')).rejects.toThrow(/aborted|hang up/);
  });
});

describe('the socket', () => {
  test('is for its owner only, in a folder that is made, and goes away', async () => {
    const socket = join(folder, 'new', 'deep', 'd1.sock');
    const server = await startControl(socket, fakeTarget(), keptLog());
    expect(statSync(socket).mode & 0o777).toBe(0o600);
    await server.close();
    expect(existsSync(socket)).toBe(false);
  });

  test('is not taken from a daemon that answers', async () => {
    const socket = await start();
    await expect(startControl(socket, fakeTarget(), keptLog())).rejects.toThrow(
      /a daemon answers on .* already/,
    );
    expect((await ask(socket, 'GET', '/status')).status).toBe(200);
  });

  test('is taken over when nobody answers', async () => {
    const socket = join(folder, 'stale.sock');
    const program = `require('net').createServer().listen(${JSON.stringify(socket)}, () => process.kill(process.pid, 'SIGKILL'))`;
    spawnSync(process.execPath, ['-e', program]);
    expect(statSync(socket).isSocket()).toBe(true);
    await start(fakeTarget(), socket);
    expect((await ask(socket, 'GET', '/status')).status).toBe(200);
  });

  test('does not replace a file that is no socket', async () => {
    const file = join(folder, 'plain');
    writeFileSync(file, 'precious');
    await expect(startControl(file, fakeTarget(), keptLog())).rejects.toThrow(/is in the way/);
    expect(statSync(file).size).toBe(8);
  });

  test('a path that no socket can have is refused', async () => {
    const path = join(folder, 'x'.repeat(100));
    await expect(startControl(path, fakeTarget(), keptLog())).rejects.toThrow(/at most 107 bytes/);
  });

  test('a folder that cannot be made is one line', async () => {
    writeFileSync(join(folder, 'file'), '');
    await expect(startControl(join(folder, 'file', 'd1.sock'), fakeTarget(), keptLog())).rejects.toThrow(
      /the control socket cannot be made/,
    );
  });

  test('closing does not wait for readers', async () => {
    const target = fakeTarget(10_000_000);
    const socket = join(folder, 'closing.sock');
    const server = await startControl(socket, target, keptLog());
    await new Promise((resolve) => {
      request({ socketPath: socket, path: '/flows' }, (response) => {
        response.on('error', () => undefined);
        response.once('data', () => resolve(response.pause()));
      }).end();
    });
    await server.close();
    await target.ended;
  });

  test('takes at most 64 connections at a time', async () => {
    const socket = await start();
    await expectBounded({ path: socket }, 100, 64, () => ask(socket, 'GET', '/status'));
  });

  test('another listener that is not a daemon counts as an answer', async () => {
    const socket = join(folder, 'other.sock');
    const other = createServer();
    await new Promise<void>((resolve) => other.listen(socket, resolve));
    await expect(startControl(socket, fakeTarget(), keptLog())).rejects.toThrow(/already/);
    await new Promise((resolve) => other.close(resolve));
  });
});
