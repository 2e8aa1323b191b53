/** Every case of the exhaustive check, over the real core. Prints the number of states. */

import { describe, expect, it } from 'vitest';
import { CASES } from './cases.ts';
import { explore } from './explore.ts';

/** With LATCHWAY_FULL the bounds are those that take an hour. */
const FULL = process.env['LATCHWAY_FULL'] === '1';
const LIMIT = FULL ? 20_000_000 : 1_000_000;

describe('exhaustive check', () => {
  it.each(CASES)('$name (rule $rule)', { timeout: FULL ? 3_600_000 : 120_000 }, (model) => {
    const result = explore(model, FULL ? LIMIT : (model.maxStates ?? LIMIT));
    const how = result.exhausted ? 'exhausted' : 'cut at the limit';
    process.stdout.write(`${model.name}: ${result.states} states, ${result.ends} ends, ${how}\n`);
    expect(result.fault, result.trace.join('\n')).toBeUndefined();
    if (model.maxStates === undefined) expect(result.exhausted).toBe(true);
  });
});
