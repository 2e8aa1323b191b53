/** Runs seeds of the simulation until one fails: `node seeds.js OPTIONS-AS-JSON FIRST LAST`. Exit 1 at the first failure. */

import { runSimulation } from '../../src/sim/simulate.ts';

const options = JSON.parse(process.argv[2] ?? '{}');
const first = Number(process.argv[3] ?? 1);
const last = Number(process.argv[4] ?? 50);
let violation: string | undefined;
let seed = first;
for (; seed <= last && violation === undefined; seed++) {
  violation = runSimulation({ ...options, seed }).violations[0];
}
process.stdout.write(
  violation === undefined ? `seeds ${first}-${last} clean\n` : `seed ${seed - 1}: ${violation}\n`,
);
process.exitCode = violation === undefined ? 0 : 1;
