/**
 * What the tests of the addon share: a network namespace that goes away with its test, a TUN device inside it, and child
 * programs in it. The device is opened here and moved: its queues stay readable from this process.
 */
import { execFileSync, spawn } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { onTestFinished } from 'vitest';
import { register, remove } from '../../netns/registry.mjs';
import { loadNative, type Native, POLL } from '../../src/io/native.ts';
import { openTun, TunDevice } from '../../src/io/tun.ts';
import type { Batch } from '../../src/wire/batch.ts';

/** The addon that this run tests, for programs that load it themselves. */
export const NATIVE_PATH =
  process.env['LATCHWAY_NATIVE'] ??
  fileURLToPath(new URL('../../native/build/Release/latchway.node', import.meta.url));

/** Far beyond what anything here takes: a test that meets it hangs for a reason. */
const PATIENCE_MS = 120_000;

let made = 0;

/** A name that no other process and no other test uses, at most 15 bytes. */
export function uniqueName(prefix: string): string {
  made++;
  return `${prefix}${process.pid}-${made}`.slice(0, 15);
}

export function fixture(name: string): string {
  return fileURLToPath(new URL(`./fixtures/${name}`, import.meta.url));
}

export class Namespace {
  readonly name: string;

  constructor() {
    const lab = register({ topology: 'native-test', hosts: ['tun'], kept: false });
    this.name = `${lab.name}-tun`;
    execFileSync('ip', ['netns', 'add', this.name]);
    onTestFinished(() => remove(lab.name));
    this.ip('link', 'set', 'lo', 'up');
  }

  ip(...words: string[]): void {
    execFileSync('ip', ['-n', this.name, ...words]);
  }

  /** Runs a fixture inside and gives what it printed when it ended; rejects when it fails. */
  run(name: string, ...words: (string | number)[]): Promise<string> {
    return new Promise((resolve, reject) => {
      const command = ['netns', 'exec', this.name, process.execPath, fixture(name), NATIVE_PATH];
      const child = spawn('ip', [...command, ...words.map(String)], { stdio: ['ignore', 'pipe', 'pipe'] });
      let output = '';
      let errors = '';
      child.stdout.on('data', (chunk) => {
        output += chunk;
      });
      child.stderr.on('data', (chunk) => {
        errors += chunk;
      });
      child.on('close', (code) =>
        code === 0 ? resolve(output) : reject(new Error(`exit ${code}: ${errors}`)),
      );
      onTestFinished(() => {
        child.kill();
      });
    });
  }
}

export interface Stage {
  readonly native: Native;
  readonly namespace: Namespace;
  readonly device: string;
  readonly queues: readonly TunDevice[];
}

/** A namespace with a TUN of `queues` queues that is up, has 10.77.0.1/24 and fd77::1/64, and an MTU of 1500. */
export function setStage(queues: number): Stage {
  const native = loadNative();
  const namespace = new Namespace();
  const name = uniqueName('lwt');
  const opened = Array.from({ length: queues }, (_, index) => {
    const queue = openTun({ name, multiQueue: queues > 1, exclusive: index === 0 });
    return new TunDevice(queue.name, queue.fd);
  });
  onTestFinished(() => {
    for (const queue of opened) queue.close();
  });
  execFileSync('ip', ['link', 'set', name, 'netns', namespace.name]);
  namespace.ip('addr', 'add', '10.77.0.1/24', 'dev', name);
  namespace.ip('-6', 'addr', 'add', 'fd77::1/64', 'dev', name, 'nodad');
  namespace.ip('link', 'set', name, 'up');
  return { native, namespace, device: name, queues: opened };
}

/** Reads the device until `done` says so of a packet (its offset and length); other packets are passed over. */
export async function readUntil(
  device: TunDevice,
  batch: Batch,
  done: (offset: number, length: number) => boolean,
): Promise<void> {
  const native = loadNative();
  const fds = Int32Array.of(device.fd);
  const ready = new Int32Array(1);
  const end = Date.now() + PATIENCE_MS;
  while (Date.now() < end) {
    // Short waits, so that the output of children is read in between.
    if (native.poll(fds, ready, 5) > 0 && (ready[0]! & POLL.IN) !== 0) {
      const count = device.read(batch);
      for (let index = 0; index < count; index++) {
        if (done(batch.rxOffset[index]!, batch.rxLength[index]!)) return;
      }
    }
    await new Promise((resolve) => setImmediate(resolve));
  }
  throw new Error('the packet did not come');
}

/** Waits until a thread of this process sits in poll(2) itself; Node's own threads sit in epoll and futex. */
export async function untilPolling(): Promise<void> {
  const end = Date.now() + PATIENCE_MS;
  while (!isPolling()) {
    if (Date.now() > end) throw new Error('no thread polls');
    await new Promise((resolve) => setImmediate(resolve));
  }
}

/** Whether some thread is inside poll: system call 7 on x64; ppoll, 73, on arm64. */
export function isPolling(): boolean {
  const wanted = process.arch === 'x64' ? '7' : '73';
  return readdirSync('/proc/self/task').some((task) => {
    try {
      return readFileSync(`/proc/self/task/${task}/syscall`, 'latin1').split(' ')[0] === wanted;
    } catch {
      return false; // it ended meanwhile
    }
  });
}
