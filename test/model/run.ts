/** Runs the cases by hand: `node run.js [name part] [max states]`. Exit 1 when one fails. */

import { CASES } from './cases.ts';
import { explore } from './explore.ts';
import { TRACES } from './traces.ts';

const part = process.argv[2] ?? '';
const limit = process.argv[3] === undefined ? undefined : Number(process.argv[3]);
let failed = false;
for (const model of CASES) {
  if (!model.name.includes(part)) continue;
  const started = performance.now();
  const result = explore(model, limit === undefined ? {} : { maxStates: limit });
  const seconds = ((performance.now() - started) / 1_000).toFixed(1);
  const verdict = result.fault ?? (result.exhausted ? 'exhausted' : 'cut at the limit');
  process.stdout.write(
    `${model.name} (rule ${model.rule}): ${result.states} states, ${result.ends} ends, ${seconds} s: ${verdict}\n`,
  );
  for (const line of result.trace) process.stdout.write(`    ${line}\n`);
  failed ||= result.fault !== undefined;
}
for (const { name, rule, run } of TRACES) {
  if (!name.includes(part)) continue;
  const fault = run();
  process.stdout.write(`${name} (rule ${rule}): one trace: ${fault ?? 'holds'}\n`);
  failed ||= fault !== undefined;
}
process.exitCode = failed ? 1 : 0;
