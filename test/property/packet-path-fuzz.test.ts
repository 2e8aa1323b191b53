/**
 * A short run of the fuzzer (test/fuzz). A long one by hand, with its summary:
 *
 *   LATCHWAY_FUZZ_PACKETS=10000000 npx vitest run test/property/packet-path-fuzz.test.ts
 */
import { expect, it } from 'vitest';
import { COUNTER_INFO } from '../../src/base/counters.ts';
import { ELSEWHERE, type FuzzSummary, fuzz } from '../fuzz/packet-path.ts';

const BY_HAND = process.env['LATCHWAY_FUZZ_PACKETS'];
const PACKETS = Number(BY_HAND ?? 200_000);
const SEED = Number(process.env['LATCHWAY_FUZZ_SEED'] ?? 1);

function print(text: string): void {
  if (BY_HAND !== undefined) process.stdout.write(`${text}\n`);
}

function printSummary(summary: FuzzSummary): void {
  const { packets, seed, seconds, outputs, outputsOfUnsound, counts } = summary;
  print(`${packets} packets, seed ${seed}, ${seconds.toFixed(0)} s`);
  print(`${outputs} outputs read again, ${outputsOfUnsound} of them of inputs that do not decode either`);
  for (const { name, kind } of COUNTER_INFO) {
    if (kind === 'event') continue;
    print(`${String(counts[name]).padStart(10)}  ${kind.padEnd(7)}  ${name}`);
  }
}

it(`${PACKETS} packets, half random, half mutations: nothing throws, every verdict and drop reason comes up`, {
  timeout: 3_600_000,
}, () => {
  const summary = fuzz({ packets: PACKETS, seed: SEED, progress: (packets) => print(`${packets} ...`) });
  printSummary(summary);
  const never = COUNTER_INFO.filter(
    ({ name, kind }) => kind !== 'event' && !ELSEWHERE.includes(name) && summary.counts[name] === 0,
  );
  expect(never.map(({ name }) => name)).toEqual([]);
  expect(summary.counts['rx-packets']).toBe(summary.packets);
  expect(summary.outputs).toBeGreaterThan(summary.packets / 8);
  expect(summary.outputsOfUnsound).toBeLessThan(summary.outputs / 3);
});
