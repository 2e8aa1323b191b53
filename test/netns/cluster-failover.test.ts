/** The scenario of deaths, joins and restarts, with fewer connections than `netns/scenarios/failover` by hand. */
import { expect, test } from 'vitest';
import { failover } from '../../netns/scenarios/failover.mjs';

const CONNECTIONS = process.env['LATCHWAY_FULL'] === '1' ? 1000 : 100;

test('long connections outlive deaths, joins, changes and restarts of dispatchers, and their control does not', async () => {
  const { broken, claims } = await failover({ connections: CONNECTIONS, dispatchers: 4 });
  expect(broken).toEqual([]);
  expect(claims.filter(({ claim }) => claim.startsWith('control: '))).toHaveLength(1);
});
