/**
 * `node scripts/tally.mjs REPORT`: reads vitest's JSON report; prints `PASSED FAILED` on standard output, and on standard error a
 * line for each folder of test/. A file that failed without a failed test counts as one.
 */
import { readFileSync } from 'node:fs';
import { relative, sep } from 'node:path';

const report = JSON.parse(readFileSync(process.argv[2] ?? '', 'utf8'));
/** @type {Map<string, { passed: number, failed: number }>} */
const folders = new Map();
for (const { name, status, assertionResults } of report.testResults) {
  const folder = relative('test', name).split(sep)[0] ?? '';
  const counts = folders.get(folder) ?? { passed: 0, failed: 0 };
  folders.set(folder, counts);
  for (const result of assertionResults) {
    if (result.status === 'passed') counts.passed++;
    if (result.status === 'failed') counts.failed++;
  }
  if (status === 'failed' && assertionResults.length === 0) counts.failed++;
}
const all = { passed: 0, failed: 0 };
for (const [folder, { passed, failed }] of [...folders].sort()) {
  console.error(`${folder}: ${passed} passed, ${failed} failed`);
  all.passed += passed;
  all.failed += failed;
}
console.log(`${all.passed} ${all.failed}`);
