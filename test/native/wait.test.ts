// Waiting in a worker, being woken from another thread, and the order in which things are closed.
import { existsSync } from 'node:fs';
import { constants } from 'node:os';
import { Worker } from 'node:worker_threads';
import { describe, expect, onTestFinished, test } from 'vitest';
import { elapsedMs } from '../../src/base/clock.ts';
import { loadNative, POLL } from '../../src/io/native.ts';
import { openTun } from '../../src/io/tun.ts';
import { openEvent, Poller, wakeEvent } from '../../src/io/wait.ts';
import { fixture, isPolling, NATIVE_PATH, uniqueName, untilPolling } from './namespace.ts';

const { EBADF, EINVAL } = constants.errno;

function openFor(test: () => number): number {
  const fd = test();
  onTestFinished(() => void loadNative().close(fd));
  return fd;
}

/** A worker that sits in poll, and what it says when it comes back. */
async function startWaiter(
  queue: number,
  event: number,
): Promise<{ report: Promise<unknown>; exit: Promise<number> }> {
  const worker = new Worker(fixture('waiter.mjs'), { workerData: { native: NATIVE_PATH, queue, event } });
  const report = new Promise((resolve, reject) => {
    worker.once('message', resolve);
    worker.once('error', reject);
  });
  const exit = new Promise<number>((resolve) => worker.once('exit', resolve));
  await untilPolling();
  return { report, exit };
}

describe('poll', () => {
  test('says which descriptors are ready, skips negative ones, and clears the rest', () => {
    const native = loadNative();
    const events = [openFor(openEvent), openFor(openEvent)] as const;
    const ready = new Int32Array(4).fill(-1);
    expect(native.poll(Int32Array.of(events[0], -1, events[1]), ready, 0)).toBe(0);
    expect([...ready]).toEqual([0, 0, 0, -1]);
    wakeEvent(events[1]);
    expect(native.poll(Int32Array.of(events[0], -1, events[1]), ready, -1)).toBe(1);
    expect([...ready]).toEqual([0, 0, POLL.IN, -1]);
  });

  test('sees while it spins what another thread does, before it would sleep', async () => {
    const event = openFor(openEvent);
    const ready = new Int32Array(1);
    const code = `const { native, event } = require('node:worker_threads').workerData; require(native).eventWake(event)`;
    const worker = new Worker(code, { eval: true, workerData: { native: NATIVE_PATH, event } });
    const exit = new Promise((resolve) => worker.once('exit', resolve));
    expect(loadNative().poll(Int32Array.of(event), ready, 0, 20_000_000)).toBe(1);
    expect([...ready]).toEqual([POLL.IN]);
    await exit;
  });

  test('reports a descriptor that is not open, and refuses lists that do not fit', () => {
    const native = loadNative();
    const ready = new Int32Array(65);
    expect(native.poll(Int32Array.of(1_000_000), ready, -1)).toBe(1);
    expect(ready[0]).toBe(POLL.INVALID);
    expect(native.poll(new Int32Array(65).fill(-1), ready, 0)).toBe(-EINVAL);
    expect(native.poll(Int32Array.of(1, 2), new Int32Array(1), 0)).toBe(-EINVAL);
    expect(native.poll(new Int32Array(0), new Int32Array(0), 0)).toBe(0);
  });
});

describe('an event', () => {
  test('is one however often it was woken, and none after', () => {
    const native = loadNative();
    const event = openFor(openEvent);
    expect(native.eventDrain(event)).toBe(0);
    for (let turn = 0; turn < 100; turn++) expect(native.eventWake(event)).toBe(0);
    expect(native.eventDrain(event)).toBe(1);
    expect(native.eventDrain(event)).toBe(0);
    expect(native.eventWake(-1)).toBe(-EBADF);
    expect(() => wakeEvent(-1)).toThrow(/EBADF/);
  });

  test('a wake before the wait is not lost', () => {
    const event = openFor(openEvent);
    const poller = new Poller(event, [-1]);
    expect(poller.wait(0)).toBe(false);
    wakeEvent(event);
    expect(poller.wait(-1)).toBe(true);
    expect(poller.wait(0)).toBe(false);
  });

  test('a poller tells a wake from a descriptor that is ready', () => {
    const event = openFor(openEvent);
    const other = openFor(openEvent);
    const poller = new Poller(event, [other]);
    wakeEvent(other);
    expect(poller.wait(-1)).toBe(false);
    expect([...poller.ready]).toEqual([POLL.IN, 0]);
    expect(() => new Poller(event, new Array(64).fill(-1))).toThrow(/poll failed: EINVAL/);
  });

  test('ends the wait of a worker that sits in poll', async () => {
    const event = openFor(openEvent);
    const { report, exit } = await startWaiter(-1, event);
    wakeEvent(event);
    expect(await report).toEqual({ count: 1, ready: [0, POLL.IN], woken: 1 });
    expect(await exit).toBe(0);
  });
});

describe('closing while a worker waits', () => {
  test('in order: wake, let it stop, close; then nothing is left', async () => {
    const native = loadNative();
    const name = uniqueName('lwt');
    const event = openFor(openEvent);
    const queue = openTun({ name, multiQueue: false, exclusive: true });
    const { exit } = await startWaiter(queue.fd, event);
    wakeEvent(event);
    expect(await exit).toBe(0);
    expect(native.close(queue.fd)).toBe(0);
    expect(native.close(queue.fd)).toBe(-EBADF);
    expect(existsSync(`/sys/class/net/${name}`)).toBe(false);
  });

  test('out of order: closing first neither wakes nor harms, and a wake still ends it', async () => {
    const native = loadNative();
    const event = openFor(openEvent);
    const queue = openTun({ name: uniqueName('lwt'), multiQueue: false, exclusive: true });
    const { report, exit } = await startWaiter(queue.fd, event);
    expect(native.close(queue.fd)).toBe(0);
    expect(isPolling()).toBe(true);
    wakeEvent(event);
    expect(await report).toMatchObject({ woken: 1 });
    expect(await exit).toBe(0);
  });
});

test('the clock is unsigned, of 32 bits, and never goes back', () => {
  const native = loadNative();
  let last = native.monotonicMs();
  for (let turn = 0; turn < 10_000; turn++) {
    const now = native.monotonicMs();
    expect(Number.isInteger(now) && now >= 0 && now <= 0xffff_ffff).toBe(true);
    expect(elapsedMs(now, last)).toBeLessThan(0x8000_0000);
    last = now;
  }
});
