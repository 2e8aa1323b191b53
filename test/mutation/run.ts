/** The table of mutations, by hand: `node run.js [name part] [seeds] [states]`. Exit 1 when one is not caught. */

import { buildMutant, catchesOf, isCaught, removeMutant, rowOf } from './build.ts';
import { MUTATIONS } from './mutations.ts';

const part = process.argv[2] ?? '';
const seeds = Number(process.argv[3] ?? 200);
const states = Number(process.argv[4] ?? 100_000);
for (const mutation of MUTATIONS) {
  if (!`${mutation.rule} ${mutation.name}`.includes(part)) continue;
  const folder = buildMutant(mutation);
  const catches = catchesOf(folder, mutation, seeds, states);
  removeMutant(folder);
  if (!isCaught(mutation, catches)) process.exitCode = 1;
  process.stdout.write(`${rowOf(mutation, catches)}\n`);
}
