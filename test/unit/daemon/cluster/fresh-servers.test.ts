import { expect, test } from 'vitest';
import { FreshServers } from '../../../../src/daemon/cluster/fresh-servers.ts';

function made(fresh: number[], drifting: string[]) {
  const settled: (readonly number[])[] = [];
  const warned: unknown[] = [];
  const one = new FreshServers({
    pool: {
      get fresh() {
        return [...fresh];
      },
    },
    cluster: { drifting: () => Promise.resolve([...drifting]) },
    settle: (known) => {
      settled.push(known);
      fresh.length = 0;
      return Promise.resolve();
    },
    log: { warn: (facts: unknown) => warned.push(facts) } as never,
  });
  return { one, settled, warned };
}

test('added servers are used once no dispatcher runs another configuration', async () => {
  const drifting = ['d2'];
  const { one, settled, warned } = made([4], drifting);
  await one.look(1000);
  expect(settled).toEqual([]);
  drifting.pop();
  await one.look(2000);
  expect(settled).toEqual([[4]]);
  expect(warned).toEqual([]);
});

test('one that never rereads its file does not keep them out for ever, and is named', async () => {
  const fresh = [4];
  const { one, settled, warned } = made(fresh, ['d2']);
  await one.look(1000);
  await one.look(60_999);
  expect(settled).toEqual([]);
  await one.look(61_000);
  expect(settled).toEqual([[4]]);
  expect(warned).toEqual([{ dispatchers: ['d2'] }]);
  // The next ones have a minute of their own.
  await one.look(62_000);
  fresh.push(5);
  await one.look(63_000);
  expect(settled).toHaveLength(1);
});
