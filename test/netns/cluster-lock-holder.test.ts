/**
 * The scenario of a lock whose holder dies, as `netns/scenarios/lock-holder` by hand, but with a lease that every command
 * can meet: what is judged is the order, not the time.
 */
import { expect, test } from 'vitest';
import { lockHolder } from '../../netns/scenarios/lock-holder.mjs';

test('a lock that waits for grants ends with its holder, and the client is answered by way of another dispatcher', async () => {
  const { broken, claims } = await lockHolder({ lease: '5s', timed: false });
  expect(broken).toEqual([]);
  expect(claims.filter(({ claim }) => claim.startsWith('control: '))).toHaveLength(2);
});
