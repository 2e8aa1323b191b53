/**
 * Each rule of the protocol, taken out of a copy of the sources, is missed by a case of the model or by a seed; and each
 * checker of the simulation has something that it, and it by name, finds. Prints the table.
 */

import { describe, expect, it } from 'vitest';
import { buildMutant, catchesOf, isCaught, removeMutant, rowOf } from './build.ts';
import { MUTATIONS } from './mutations.ts';

describe('mutations', () => {
  it.each(MUTATIONS)('$rule: $name', { timeout: 300_000 }, (mutation) => {
    const folder = buildMutant(mutation);
    const catches = catchesOf(folder, mutation, 200, 100_000);
    removeMutant(folder);
    const row = rowOf(mutation, catches);
    process.stdout.write(`${row}\n`);
    expect(isCaught(mutation, catches), row).toBe(true);
  });
});
