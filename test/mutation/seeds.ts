/**
 * Runs seeds of the simulation until one fails: `node seeds.js OPTIONS-AS-JSON FIRST LAST [CHECKER]`. Exit 1 at the first
 * failure, with CHECKER at the first that this checker finds.
 */

import { runSeed } from '../../src/sim/simulate.ts';

const options = JSON.parse(process.argv[2] ?? '{}');
const first = Number(process.argv[3] ?? 1);
const last = Number(process.argv[4] ?? 50);
const checker = process.argv[5] ?? '';
let violation: string | undefined;
let seed = first;
for (; seed <= last && violation === undefined; seed++) {
  const { violations } = runSeed(seed, { cipher: false, ...options });
  violation = violations.find((one) => one.startsWith(checker));
}
process.stdout.write(
  violation === undefined ? `seeds ${first}-${last} clean\n` : `seed ${seed - 1}: ${violation}\n`,
);
process.exitCode = violation === undefined ? 0 : 1;
