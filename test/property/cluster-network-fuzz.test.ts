/**
 * A short run of the fuzzer of the cluster's network (test/fuzz), and its negative controls. A long one by hand, with its summary:
 *
 *   LATCHWAY_FUZZ_DATAGRAMS=10000000 npx vitest run test/property/cluster-network-fuzz.test.ts
 */
import { expect, it } from 'vitest';
import { COUNTER_INFO } from '../../src/base/counters.ts';
import { fuzzNetwork, type NetworkFuzzSummary } from '../fuzz/cluster-network.ts';

const BY_HAND = process.env['LATCHWAY_FUZZ_DATAGRAMS'];
const DATAGRAMS = Number(BY_HAND ?? 40_000);
const SEED = Number(process.env['LATCHWAY_FUZZ_SEED'] ?? 1);
/** What the controls do is the same each time. */
const CONTROL_SEED = 2;
/** What is held at half of the run is held at its end: what grows by 16 bytes a datagram shows in ten million. */
const MAY_GROW = 24 << 20;

function print(text: string): void {
  if (BY_HAND !== undefined) process.stdout.write(`${text}\n`);
}

function printSummary(summary: NetworkFuzzSummary): void {
  const { datagrams, seconds, outsiders, insiders, largest, answers, heapAtHalf, heapAtEnd } = summary;
  print(`${datagrams} datagrams, seed ${SEED}, ${seconds.toFixed(0)} s, ${answers} answers`);
  print(`outsiders ${JSON.stringify(outsiders)}`);
  print(`insiders ${JSON.stringify(insiders)}`);
  print(`largest ${JSON.stringify(largest)}`);
  print(`heap ${(heapAtHalf / 1e6).toFixed(1)} MB at half, ${(heapAtEnd / 1e6).toFixed(1)} MB at the end`);
  for (const { name } of COUNTER_INFO) {
    if (/refused|ignored|limit|full|forgotten|stranger|bad|conflict/.test(name))
      print(`${String(summary.counts[name]).padStart(10)}  ${name}`);
  }
}

it(`${DATAGRAMS} datagrams, half of outsiders, half of an insider: nothing is accepted, thrown or grown`, {
  timeout: 7_200_000,
}, () => {
  const summary = fuzzNetwork({
    datagrams: DATAGRAMS,
    seed: SEED,
    progress: (datagrams) => print(`${datagrams} ...`),
  });
  printSummary(summary);
  const refusals = COUNTER_INFO.filter(({ name }) => /^cluster-refused-/.test(name));
  const never = refusals.filter(({ name }) => summary.counts[name] === 0).map(({ name }) => name);
  // Of TCP alone.
  expect(never).toEqual(['cluster-refused-connection']);
  expect(summary.counts['drop-tunnel-stranger']).toBeGreaterThan(0);
  expect(summary.heapAtEnd - summary.heapAtHalf).toBeLessThan(MAY_GROW);
});

it('notices a dispatcher that takes replays', () => {
  expect(() =>
    fuzzNetwork({
      datagrams: 5_000,
      seed: CONTROL_SEED,
      sabotage: ({ link }) => {
        link.isNew = () => true;
      },
    }),
  ).toThrow(/replayed: /);
});

it('notices a dispatcher that remembers without a limit', () => {
  expect(() =>
    fuzzNetwork({
      datagrams: 6_500,
      seed: CONTROL_SEED,
      sabotage: ({ core: { locks } }) => {
        locks.isFull = () => false;
      },
    }),
  ).toThrow(/locks: \d+, more than/);
});
