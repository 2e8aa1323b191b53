import { expect, test } from 'vitest';
import { markdown, median, ratios, summary } from '../../../netns/bench/table.mjs';

const NOTHING = { missing: () => undefined, start: async () => '', udp: true };
const BASE = { ...NOTHING, name: 'kernel', title: 'kernel' };
const OTHER = { ...NOTHING, name: 'other', title: 'other' };
const RATE = { key: 'rate', title: 'rate', unit: 'kpps', higher: true };
const ABSENT = { key: 'absent', title: 'absent', unit: 's', higher: false };

test('the median of an even number lies between the two in the middle', () => {
  expect(median([3, 1, 2])).toBe(2);
  expect(median([4, 1, 3, 2])).toBe(2.5);
});

test('the spread is half the range, as a part of the median', () => {
  expect(summary([8, 10, 12])).toEqual({ median: 10, spread: 0.2 });
});

test('ratios are taken within a run, and runs that lack a figure are left out', () => {
  expect(ratios([{ rate: 2 }, { rate: 4 }, {}], [{ rate: 1 }, { rate: 4 }, { rate: 9 }], 'rate')).toEqual([
    0.5, 1,
  ]);
});

test('the table has the base in its unit, the others as ratio, and no row that nobody measured', () => {
  const results = { kernel: [{ rate: 100 }, { rate: 200 }], other: [{ rate: 50 }, { rate: 100 }] };
  expect(markdown(results, [BASE, OTHER], [RATE, ABSENT]).split('\n')).toEqual([
    '| | kernel | other |',
    '| --- | ---: | ---: |',
    '| rate | 150 ±33 % kpps | 0.50 ±0 % |',
  ]);
});
