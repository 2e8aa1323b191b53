/** The table of mutations, by hand: `node run.js [name part] [seeds] [states]`. Exit 1 when one is not caught. */

import { buildMutant, failuresOf, removeMutant } from './build.ts';
import { MUTATIONS } from './mutations.ts';

const part = process.argv[2] ?? '';
const seeds = Number(process.argv[3] ?? 40);
const states = Number(process.argv[4] ?? 60_000);
for (const mutation of MUTATIONS) {
  if (!`${mutation.rule} ${mutation.name}`.includes(part)) continue;
  const folder = buildMutant(mutation);
  const failures = failuresOf(folder, mutation, seeds, states);
  removeMutant(folder);
  if (failures.length === 0) process.exitCode = 1;
  process.stdout.write(`${mutation.rule} | ${mutation.name} | ${failures.join(' | ') || 'NOT CAUGHT'}\n`);
}
