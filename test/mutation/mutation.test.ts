/** Each rule of the protocol, taken out of a copy of the sources, is missed by a case of the model or by a seed. */

import { describe, expect, it } from 'vitest';
import { buildMutant, failuresOf, removeMutant } from './build.ts';
import { MUTATIONS } from './mutations.ts';

describe('mutations', () => {
  it.each(MUTATIONS)('$rule: $name', { timeout: 300_000 }, (mutation) => {
    const folder = buildMutant(mutation);
    const failures = failuresOf(folder, mutation, 30, 100_000);
    removeMutant(folder);
    process.stdout.write(`${mutation.rule} | ${mutation.name} | ${failures.join(' | ')}\n`);
    expect(failures).not.toEqual([]);
  });
});
