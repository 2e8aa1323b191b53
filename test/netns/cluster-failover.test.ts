/** The scenario of deaths, joins and restarts, with fewer connections than `netns/scenarios/failover` by hand. */
import { expect, test } from 'vitest';
import { ALL_MODES, failover } from '../../netns/scenarios/failover.mjs';

const FULL = process.env['LATCHWAY_FULL'] === '1';
const LOAD = FULL
  ? ({ connections: 1000, changes: ALL_MODES } as const)
  : ({ connections: 100, changes: ['spray', 'ecmp-1'], interval: 200 } as const);

test('long connections outlive deaths, joins, changes and restarts of dispatchers, and their controls do not', async () => {
  const { broken, claims } = await failover(LOAD);
  expect(broken).toEqual([]);
  expect(claims.filter(({ claim }) => claim.startsWith('control: '))).toHaveLength(3);
});
