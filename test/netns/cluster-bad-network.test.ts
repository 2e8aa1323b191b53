/**
 * A bad network between the dispatchers, smaller than `netns/scenarios/spray --loss 30 ...` and `netns/scenarios/partition`
 * by hand: loss, repetition and reordering, then partitions that heal.
 */
import { expect, test } from 'vitest';
import { pairwise } from '../../netns/cluster-services.mjs';
import { VERY_PATIENT } from '../../netns/scenarios/cluster-lab.mjs';
import { FULL_PARTITION, partition, SMALL_PARTITION } from '../../netns/scenarios/partition.mjs';
import { spray } from '../../netns/scenarios/spray.mjs';
import { FULL_LOAD, SMALL_LOAD } from '../../netns/scenarios/spray-load.mjs';

const FULL = process.env['LATCHWAY_FULL'] === '1';
const ONE = { mode: 'nat', scheduler: 'rr', lock: 'confirm', family: 4 } as const;

test.each(FULL ? [10, 30] : [30])(
  '%i percent of what dispatchers say is lost, repeated and late: nothing broken',
  async (percent) => {
    const { broken, claims } = await spray({
      dispatchers: 3,
      combinations: FULL ? pairwise(4) : [ONE],
      load: FULL ? FULL_LOAD : SMALL_LOAD,
      ...(!FULL && { settings: VERY_PATIENT }),
      wire: { loss: percent, duplicate: percent, reorder: percent },
    });
    expect(broken).toEqual([]);
    expect(claims.filter(({ claim }) => claim.startsWith('control: '))).toHaveLength(1);
  },
);

test('a partition that has healed leaves equal tables and no broken connection', async () => {
  const { broken, claims } = await partition(FULL ? { ...FULL_PARTITION, control: true } : SMALL_PARTITION);
  expect(broken).toEqual([]);
  expect(claims.filter(({ claim }) => claim.includes('tables differ'))).toHaveLength(2);
});
