/**
 * Strangers, a flood, a joiner and the price of a session, smaller than by hand (`netns/scenarios/hostile`, `flood`, `joiner`, `wire-cost`). Each
 * scenario has its controls among its claims.
 */
import { expect, test } from 'vitest';
import { flood } from '../../netns/scenarios/flood.mjs';
import { hostile } from '../../netns/scenarios/hostile.mjs';
import { joiner } from '../../netns/scenarios/joiner.mjs';
import { wireCost } from '../../netns/scenarios/wire-cost.mjs';

const FULL = process.env['LATCHWAY_FULL'] === '1';

/** Claims of what happens without the cause of success. */
const controls = (claims: readonly { readonly claim: string }[]): number =>
  claims.filter(({ claim }) => claim.startsWith('control: ')).length;

test('what strangers send is refused, counted, and costs no memory', async () => {
  const { broken, claims } = await hostile(FULL ? {} : { connections: 50, datagrams: 100, calls: 5 });
  expect(broken).toEqual([]);
  expect(controls(claims)).toBe(3);
});

test('a flood of forged SYNs leaves known connections alone, and ends by itself', async () => {
  const { broken, claims } = await flood(
    // Far more than is taken, but not so many that the client's own packets do not get through.
    FULL ? {} : { connections: 50, seconds: 4, capacity: 4_096, threshold: 300, rate: 5_000 },
  );
  expect(broken).toEqual([]);
  expect(controls(claims)).toBe(1);
});

test('a joiner knows every entry before it forwards', async () => {
  const { broken, claims } = await joiner(FULL ? {} : { flows: 5_000, connections: 50 });
  expect(broken).toEqual([]);
  expect(controls(claims)).toBe(1);
});

test('a new session costs each peer at most 64 bytes, in company', async () => {
  const { broken } = await wireCost(FULL ? {} : { dispatchers: [2], flows: 3_000, connections: 100 });
  expect(broken).toEqual([]);
});
