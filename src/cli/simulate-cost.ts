/**
 * `latchway simulate --cost`: what clusters of some sizes would cost, in messages, bytes, time, and packets that take a detour.
 */
import { MAX_DISPATCHERS } from '../daemon/config/limits.ts';
import { type Cost, costOf } from '../sim/cost.ts';
import type { CostOptions } from '../sim/cost-world.ts';
import { formatTable, print, printJson } from './output.ts';

/** Sizes, and how many sessions show what they cost: each goes to all. */
const SIZES: readonly (readonly [number, number])[] = [
  [2, 500],
  [4, 500],
  [16, 300],
  [100, 200],
  [1_000, 40],
];
const HEAD = [
  'dispatchers',
  'lock',
  'sessions a turn',
  'datagrams',
  'bytes',
  'bytes a peer',
  'all know, ms',
  'at most',
  'tunnelled',
  'heartbeats/s',
  'their bytes/s',
];

/** What was given by options; the rest is chosen here. */
export interface CostWords {
  readonly dispatchers: number | undefined;
  readonly sessions: number | undefined;
  readonly lock: CostOptions['lock'] | undefined;
  readonly delayMs: readonly [number, number] | undefined;
  readonly seed: number;
  readonly json: boolean;
}

export function simulateCost(words: CostWords): void {
  const sizes = words.dispatchers === undefined ? SIZES : [[words.dispatchers, 200] as const];
  const locks = words.lock === undefined ? (['announce', 'confirm'] as const) : [words.lock];
  const rows: (string | number)[][] = [];
  const costs: (Cost & CostOptions)[] = [];
  for (const [dispatchers, some] of sizes) {
    for (const lock of locks) {
      for (const batch of [1, 20]) {
        const sessions = words.sessions ?? some;
        const delayMs = words.delayMs ?? ([0.1, 0.3] as const);
        const options: CostOptions = { dispatchers, sessions, lock, batch, delayMs, seed: words.seed };
        if (process.stderr.isTTY === true) process.stderr.write(`\r${dispatchers} dispatchers, ${lock} `);
        const cost = costOf(options);
        costs.push({ ...options, ...cost });
        rows.push(rowOf(options, cost));
      }
    }
  }
  if (process.stderr.isTTY === true) process.stderr.write('\r\u001b[K');
  if (words.json) {
    printJson({ costs });
    return;
  }
  print(formatTable(HEAD, rows, [0, 2, 3, 4, 5, 6, 7, 8, 9, 10]));
  print('');
  print(
    'Datagrams and bytes are those of all dispatchers for one new session of five packets sprayed within 5 ms,',
  );
  print('with headers and seals, by unicast. Heartbeats are what one dispatcher sends, sessions or not.');
  print(
    `A configuration names at most ${MAX_DISPATCHERS} dispatchers: what is larger is worked out, not offered.`,
  );
}

function rowOf({ dispatchers, lock, batch }: CostOptions, cost: Cost): (string | number)[] {
  const percent = (share: number): string => `${(100 * share).toFixed(1)} %`;
  return [
    dispatchers,
    lock,
    batch,
    cost.datagramsPerSession.toFixed(1),
    Math.round(cost.bytesPerSession),
    Math.round(cost.bytesPerSession / (dispatchers - 1)),
    cost.convergenceMs.mean.toFixed(2),
    cost.convergenceMs.most.toFixed(2),
    percent(cost.tunnelledShare),
    cost.heartbeats.perSecond,
    Math.round(cost.heartbeats.bytesPerSecond),
  ];
}
