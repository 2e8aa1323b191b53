/**
 * The scenario of spraying, smaller than `netns/scenarios/spray` by hand: a selection in which each pair of mode,
 * scheduler and lock occurs, and its negative control.
 */
import { expect, test } from 'vitest';
import { everyCombination, pairwise } from '../../netns/cluster-services.mjs';
import { VERY_PATIENT } from '../../netns/scenarios/cluster-lab.mjs';
import { spray } from '../../netns/scenarios/spray.mjs';
import { FULL_LOAD, SMALL_LOAD } from '../../netns/scenarios/spray-load.mjs';

const FULL = process.env['LATCHWAY_FULL'] === '1';
const LOAD = FULL ? FULL_LOAD : SMALL_LOAD;

test.each([
  [3, 4, 'off'],
  [2, 6, 'on'],
] as const)(
  '%i dispatchers, IPv%i, offloads %s: every packet to another one, nothing broken',
  async (dispatchers, family, offloads) => {
    const combinations = FULL ? everyCombination(family) : pairwise(family);
    const { broken, claims } = await spray({
      dispatchers,
      combinations,
      load: LOAD,
      offloads,
      ...(!FULL && { settings: VERY_PATIENT, timed: false }),
    });
    expect(broken).toEqual([]);
    expect(claims.filter(({ claim }) => claim.startsWith('control: '))).toHaveLength(1);
  },
);
