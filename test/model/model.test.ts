/**
 * Every case of the exhaustive check, over the real core, and the traces over whole nodes. Prints the number of states.
 * With LATCHWAY_FULL=1 cases that are cut in the suite go on to their end.
 */

import { describe, expect, it } from 'vitest';
import { CASES } from './cases.ts';
import { explore } from './explore.ts';
import { TRACES } from './traces.ts';

const FULL = process.env['LATCHWAY_FULL'] === '1';
const LIMIT = FULL ? 50_000_000 : 2_000_000;

/** The traces that break a cluster without its rules, by name. */
const ROWS = [
  'crash after selection',
  'silence taken for no',
  'port reuse',
  'late close',
  'resurrection by digest',
  'resurrection by resend',
  'stale grant',
  'joiner misses one',
  'session captures old flow',
  'conflict that stays',
  'double rebinding',
  'phantom lock',
  'two hops are few',
  'recording replayed',
  'everyone a joiner',
];

describe('exhaustive check', () => {
  it('has each known trace as a case that is exhausted, or as a trace over nodes', () => {
    const names = new Set([
      ...CASES.filter(({ maxStates }) => maxStates === undefined).map(({ name }) => name),
      ...TRACES.map(({ name }) => name),
    ]);
    expect(ROWS.filter((row) => !names.has(row))).toEqual([]);
  });

  it.each(CASES)('$name (rule $rule)', { timeout: FULL ? 7_200_000 : 300_000 }, (model) => {
    const result = explore(model, { maxStates: FULL ? LIMIT : (model.maxStates ?? LIMIT) });
    const how = result.exhausted ? 'exhausted' : 'cut at the limit';
    process.stdout.write(`${model.name}: ${result.states} states, ${result.ends} ends, ${how}\n`);
    expect(result.fault, result.trace.join('\n')).toBeUndefined();
    if (FULL || model.maxStates === undefined) expect(result.exhausted).toBe(true);
  });

  it.each(TRACES)('$name (rule $rule)', ({ run }) => {
    expect(run()).toBeUndefined();
  });
});
