/**
 * Each rule of the protocol, taken out of a copy of the sources, is missed by a case of the model or by a seed; and each
 * checker of the simulation has something that it, and it by name, finds. Prints the table.
 */

import { afterAll, describe, expect, it } from 'vitest';
import { buildMutant, catchesOf, isCaught, removeMutant, rowOf } from './build.ts';
import { MUTATIONS } from './mutations.ts';

const rows: string[] = [];

describe('mutations', () => {
  afterAll(() => {
    process.stdout.write(`\n| rule | mutation | caught by |\n| --- | --- | --- |\n${rows.join('\n')}\n`);
  });

  it.each(MUTATIONS)('$rule: $name', { timeout: 300_000 }, (mutation) => {
    const folder = buildMutant(mutation);
    const catches = catchesOf(folder, mutation, 200, 100_000);
    removeMutant(folder);
    const row = rowOf(mutation, catches);
    rows.push(row);
    expect(isCaught(mutation, catches), row).toBe(true);
  });
});
