/**
 * Where a variant's time goes: what share of all processors was busy with what while a figure was taken, from /proc/stat. It says of a missed aim
 * whether the machine was full, and of what; which function it was, `perf record -a` says.
 *
 * `user` is programs (load generators and JavaScript), `system` their system calls, `softirq` forwarding and TCP that ran outside of one
 * (much of both runs inside system calls, and counts there). Only true on a machine that does nothing else.
 */
import { readFileSync } from 'node:fs';
import { median } from './table.mjs';

/** @typedef {{ user: number, system: number, softirq: number, idle: number }} Share of all processors' time, 0 to 1 */

/** What is profiled, by key of the figure. */
const PROFILED = /** @type {const} */ ({
  tcp8: 'TCP, 8 streams',
  tcp8off: 'TCP, 8 streams, offloads off',
  connections: 'new connections',
  echoP50: 'echo',
});
const KINDS = /** @type {const} */ (['user', 'system', 'softirq', 'idle']);

function ticks() {
  const [user = 0, nice = 0, system = 0, idle = 0, wait = 0, irq = 0, softirq = 0] =
    /^cpu +(.*)$/m.exec(readFileSync('/proc/stat', 'utf8'))?.[1]?.split(' ').map(Number) ?? [];
  return { user: user + nice, system: system + irq, softirq, idle: idle + wait };
}

/**
 * Runs something and adds what the machine did meanwhile to `figures`.
 * @template Result
 * @param {Record<string, number>} figures
 * @param {keyof typeof PROFILED} key
 * @param {() => Promise<Result>} work
 */
export async function profiled(figures, key, work) {
  const before = ticks();
  const result = await work();
  const after = ticks();
  const sum = KINDS.reduce((total, kind) => total + after[kind] - before[kind], 0);
  for (const kind of KINDS) figures[`${key} ${kind}`] = (after[kind] - before[kind]) / Math.max(1, sum);
  return result;
}

/**
 * @param {import('./table.mjs').Results} results
 * @param {readonly import('./variants.mjs').Variant[]} variants
 * @returns {string} markdown: user / system / softirq / idle in per cent
 */
export function profileTable(results, variants) {
  const rows = Object.entries(PROFILED).map(([key, title]) => {
    const cells = variants.map(({ name }) => {
      const shares = KINDS.map((kind) => {
        const taken = (results[name] ?? []).flatMap((figures) => figures[`${key} ${kind}`] ?? []);
        return taken.length === 0 ? '-' : Math.round(median(taken) * 100);
      });
      return shares.join(' / ');
    });
    return `| ${title} | ${cells.join(' | ')} |`;
  });
  return [
    `| time of all CPUs, %: user / system / softirq / idle | ${variants.map(({ title }) => title).join(' | ')} |`,
    `| --- |${' ---: |'.repeat(variants.length)}`,
    ...rows,
  ].join('\n');
}
