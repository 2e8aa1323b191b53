/** How often a lock or a question that nobody answers is said again (rule 5 of PROTOCOL.md). */
import { expect, it } from 'vitest';
import { DEFAULT_SETTINGS, repeatAfterMs } from '../../../src/cluster/context.ts';

function repeatsWithin(ms: number): number {
  let count = 0;
  for (let at = DEFAULT_SETTINGS.repeatMs; at < ms; at += repeatAfterMs(DEFAULT_SETTINGS, at)) count++;
  return count;
}

it('the default time-out has room for as many repeats as make silence unlikely', () => {
  expect(repeatsWithin(DEFAULT_SETTINGS.confirmTimeoutMs)).toBeGreaterThanOrEqual(11);
});

it('a time-out ten times and a hundred times as long does not have ten times as many', () => {
  expect(repeatsWithin(10 * DEFAULT_SETTINGS.confirmTimeoutMs)).toBeLessThan(35);
  expect(repeatsWithin(100 * DEFAULT_SETTINGS.confirmTimeoutMs)).toBeLessThan(60);
});
