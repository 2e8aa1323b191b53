import { expect, test } from 'vitest';
import { Agreement } from '../../../../src/daemon/cluster/agreement.ts';

function agreementOf(drifting: string[]): Agreement {
  return new Agreement({ drifting: () => Promise.resolve([...drifting]) });
}

test('it is reached at once where all run the same configuration', async () => {
  expect(await agreementOf([]).reached(1_000)).toEqual([]);
});

test('one that differs is waited for, but not for ever, and each wait has its own minute', async () => {
  const drifting = ['d2'];
  const agreement = agreementOf(drifting);
  expect(await agreement.reached(1_000)).toBeUndefined();
  expect(await agreement.reached(60_999)).toBeUndefined();
  expect(await agreement.reached(61_000)).toEqual(['d2']);
  agreement.forget();
  expect(await agreement.reached(62_000)).toBeUndefined();
  drifting.pop();
  expect(await agreement.reached(62_001)).toEqual([]);
});
