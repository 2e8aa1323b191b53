// What outlives what: arenas and the garbage collector, worker threads that come and go, descriptors and their owners.
import { execFile, spawn } from 'node:child_process';
import { closeSync, existsSync, openSync, readdirSync, readlinkSync } from 'node:fs';
import { constants } from 'node:os';
import { promisify } from 'node:util';
import { Worker } from 'node:worker_threads';
import { describe, expect, test } from 'vitest';
import { loadNative } from '../../src/io/native.ts';
import { fixture, NATIVE_PATH, uniqueName } from './namespace.ts';

const { EBADF } = constants.errno;

/** Descriptors of this process that lead to a TUN, a socket or an eventfd. */
function descriptors(): string[] {
  return readdirSync('/proc/self/fd').flatMap((fd) => {
    try {
      const target = readlinkSync(`/proc/self/fd/${fd}`);
      return /tun|socket|eventfd/.test(target) ? [`${fd} ${target}`] : [];
    } catch {
      return []; // the descriptor of this very listing
    }
  });
}

interface Opener {
  readonly worker: Worker;
  readonly device: string;
  readonly fds: readonly number[];
  /** Lets the worker end; resolves with its exit code. */
  end(): Promise<number>;
}

async function startOpener(): Promise<Opener> {
  const device = uniqueName('lwt');
  const worker = new Worker(fixture('opener.mjs'), { workerData: { native: NATIVE_PATH, device } });
  const fds = await new Promise<number[]>((resolve, reject) => {
    worker.once('message', resolve);
    worker.once('error', reject);
  });
  const end = (): Promise<number> =>
    new Promise((resolve) => {
      worker.once('exit', resolve);
      worker.postMessage('end');
    });
  return { worker, device, fds, end };
}

test('arenas that verbs have used are collected', async () => {
  const { stdout } = await promisify(execFile)(process.execPath, [
    '--expose-gc',
    fixture('collect.mjs'),
    NATIVE_PATH,
  ]);
  expect(stdout).toBe('200');
});

describe('a worker', () => {
  test('gives back all that it opened when it ends, many times over and side by side', async () => {
    const before = descriptors();
    for (let round = 0; round < 3; round++) {
      const openers = await Promise.all([startOpener(), startOpener(), startOpener()]);
      for (const { device, fds } of openers) {
        expect(fds.length).toBe(5);
        expect(existsSync(`/sys/class/net/${device}`)).toBe(true);
      }
      expect(await Promise.all(openers.map((opener) => opener.end()))).toEqual([0, 0, 0]);
      for (const { device } of openers) expect(existsSync(`/sys/class/net/${device}`)).toBe(false);
    }
    expect(descriptors()).toEqual(before);
  });

  test('gives it back when it is terminated, too', async () => {
    const before = descriptors();
    const opener = await startOpener();
    await opener.worker.terminate();
    expect(existsSync(`/sys/class/net/${opener.device}`)).toBe(false);
    expect(descriptors()).toEqual(before);
  });

  test('leaves what another thread adopted', async () => {
    const native = loadNative();
    const before = descriptors();
    const opener = await startOpener();
    const [event, queue] = opener.fds;
    expect(native.adopt(event!)).toBe(0);
    expect(native.adopt(queue!)).toBe(0);
    expect(await opener.end()).toBe(0);
    expect(existsSync(`/sys/class/net/${opener.device}`)).toBe(true);
    expect(native.eventWake(event!)).toBe(0);
    expect(native.close(queue!)).toBe(0);
    expect(native.close(event!)).toBe(0);
    expect(descriptors()).toEqual(before);
  });
});

describe('a descriptor', () => {
  test('is closed by any thread, once, and only if the addon opened it', async () => {
    const native = loadNative();
    const opener = await startOpener();
    for (const fd of opener.fds) {
      expect(native.close(fd)).toBe(0);
      expect(native.close(fd)).toBe(-EBADF);
      expect(native.adopt(fd)).toBe(-EBADF);
    }
    const foreign = openSync('/dev/null', 'r');
    expect(native.close(foreign)).toBe(-EBADF);
    expect(native.adopt(foreign)).toBe(-EBADF);
    closeSync(foreign); // throws if it was closed
    expect(await opener.end()).toBe(0);
  });

  test('is not inherited by a child process', async () => {
    const native = loadNative();
    const event = native.eventOpen();
    const child = spawn('sh', ['-c', `test ! -e /proc/self/fd/${event}`]);
    expect(await new Promise((resolve) => child.once('exit', resolve))).toBe(0);
    native.close(event);
  });
});

test('a process whose worker was woken exits with its own code', async () => {
  const child = spawn(process.execPath, [fixture('exit.mjs'), NATIVE_PATH]);
  expect(await new Promise((resolve) => child.once('exit', resolve))).toBe(7);
});
