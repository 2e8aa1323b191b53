import { expect, test } from 'vitest';
import { WorkQueue } from '../../../src/daemon/work-queue.ts';

test('work is done one after the other, also after one that fails', async () => {
  const queue = new WorkQueue();
  const done: string[] = [];
  let inside = 0;
  const work = (name: string) => async () => {
    inside++;
    expect(inside).toBe(1);
    await new Promise((resolve) => setImmediate(resolve));
    inside--;
    if (name === 'bad') throw new Error('no');
    done.push(name);
  };
  const all = await Promise.allSettled(['a', 'bad', 'b'].map((name) => queue.add(work(name))));
  expect(all.map(({ status }) => status)).toEqual(['fulfilled', 'rejected', 'fulfilled']);
  expect(done).toEqual(['a', 'b']);
});

test('closing waits for what runs and refuses what waits', async () => {
  const queue = new WorkQueue();
  const done: string[] = [];
  let release: () => void = () => {};
  const running = queue.add(async () => {
    await new Promise<void>((resolve) => {
      release = resolve;
    });
    done.push('running');
  });
  const waiting = queue.add(() => done.push('waiting'));
  await new Promise((resolve) => setImmediate(resolve));
  const closed = queue.close().then(() => done.push('closed'));
  release();
  await running;
  await expect(waiting).rejects.toThrow('stopping');
  await closed;
  await expect(queue.add(() => 1)).rejects.toThrow('stopping');
  expect(done).toEqual(['running', 'closed']);
});
