/**
 * Each rule of the protocol, taken out of a copy of the sources, is missed by a case of the model or by a seed; and each
 * checker of the simulation has something that it, and it by name, finds. The sources as they are must be clean under the
 * same options, up to the seed that caught. Prints the table.
 */

import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { buildMutant, removeMutant } from './build.ts';
import { catchesOf, isCaught, rowOf } from './catches.ts';
import { MUTATIONS } from './mutations.ts';
import { Original } from './original.ts';

const rows: string[] = [];

/** Rules of the protocol by number, packet rules, and what has no number. */
const RULES = [
  ...Array.from({ length: 19 }, (_, at) => `${at + 1}`),
  ...Array.from({ length: 8 }, (_, at) => `packet ${at + 1}`),
  'identities',
  'attempt',
  'incarnation',
  'order of entries',
];

describe('mutations', () => {
  it('there is one for each rule', () => {
    const named = new Set(MUTATIONS.flatMap(({ rule }) => rule.split(', ')));
    expect(RULES.filter((rule) => !named.has(rule))).toEqual([]);
  });

  it('there is one for each checker of the simulation', () => {
    const named = new Set(MUTATIONS.map(({ checker }) => checker));
    const checkers = readdirSync(join(import.meta.dirname, '../../src/sim/checkers')).map((file) =>
      file.slice(0, -3),
    );
    expect(checkers.length).toBeGreaterThan(0);
    expect(checkers.filter((name) => !named.has(name))).toEqual([]);
  });

  let original: Original;
  beforeAll(() => {
    original = new Original();
  }, 300_000);

  afterAll(() => {
    original.remove();
    const head = '| rule | mutation | caught by | the original there |\n| --- | --- | --- | --- |';
    process.stdout.write(`\n${head}\n${rows.join('\n')}\n`);
  });

  it.each(MUTATIONS)('$rule: $name', { timeout: 300_000 }, (mutation) => {
    const folder = buildMutant(mutation);
    const catches = catchesOf(folder, mutation, original, { seeds: 200, maxStates: 100_000 });
    removeMutant(folder);
    const row = rowOf(mutation, catches);
    rows.push(row);
    expect(isCaught(mutation, catches), row).toBe(true);
  });
});
