/**
 * `latchway simulate`: runs the protocol in a virtual network, seed by seed, and says what went wrong in which.
 *
 * What is not given by an option the seed chooses, so a seed with the same options is the same run, to the byte. Progress
 * goes to standard error: on a terminal as it comes, else a line each thousand runs. SIGINT and SIGTERM end it with what the runs until then have shown, and exit code 1.
 */
import { setImmediate } from 'node:timers/promises';
import type { Command } from 'commander';
import { LatchwayError } from '../base/fault.ts';
import type { SimulationOptions } from '../sim/options.ts';
import { runSeed, type SimulationSummary } from '../sim/simulate.ts';
import { withExamples } from './options.ts';
import { formatTable, print, printJson } from './output.ts';
import { simulateCost } from './simulate-cost.ts';

/** Every one talks to every other, and all of it runs here. */
const MOST_DISPATCHERS = 16;

type Words = Readonly<Record<string, string | boolean | undefined>>;

/** Option, what it is called in the simulation, its largest value, and its help. */
const NUMBERS: readonly (readonly [string, keyof SimulationOptions, number, string])[] = [
  ['dispatchers', 'dispatchers', 1_000, `dispatchers: up to ${MOST_DISPATCHERS}, with --cost up to 1000`],
  ['sessions', 'tcpFlows', 10_000, 'TCP connections'],
  ['datagrams', 'udpFlows', 10_000, 'UDP flows'],
  ['servers', 'servers', 250, 'servers'],
  ['loss', 'loss', 1, 'part of the datagrams between dispatchers that is lost'],
  ['duplicate', 'duplication', 1, 'part of them that comes twice'],
  ['partitions', 'partitions', 100, 'cuts between two dispatchers, one way or both'],
  ['crashes', 'crashes', 100, 'dispatchers that die and come back'],
  ['slow', 'slowdowns', 100, 'times for which a dispatcher does everything late'],
  ['server-changes', 'serverChanges', 100, 'servers that are drained, or taken back'],
  ['server-deaths', 'serverDeaths', 100, 'servers that die'],
  ['floods', 'floods', 10, 'bursts of spoofed SYNs'],
  ['drift', 'drift', 0.5, 'part by which clocks run apart'],
  ['confirm-timeout', 'confirmTimeoutMs', 10_000, 'ms after which silence counts as a grant'],
];
const CHOICES: Readonly<Record<string, readonly [keyof SimulationOptions, readonly string[]]>> = {
  lock: ['lock', ['auto', 'announce', 'confirm']],
  affinity: ['affinity', ['flow', 'client']],
  'on-server-down': ['onServerDown', ['keep', 'rebind']],
};

export function addSimulate(program: Command): void {
  const command = program
    .command('simulate')
    .description('run the cluster protocol in a virtual network, by seed')
    .option('--seed <N>', 'the first seed', '1')
    .option('--runs <N>', 'how many seeds', '100')
    .option('--delay <MS-MS>', 'delay between dispatchers, from - to')
    .option('--cost', 'what clusters of some sizes would cost, instead')
    .option('--json', 'print one JSON object')
    .action((words: Words) => simulate(words));
  for (const [name, , , help] of NUMBERS) command.option(`--${name} <N>`, help);
  for (const [name, [, values]] of Object.entries(CHOICES))
    command.option(`--${name} <NAME>`, values.join(', '));
  withExamples(command, [
    ['latchway simulate --runs 1000', 'a thousand seeds, each with a cluster and trouble of its own'],
    ['latchway simulate --dispatchers 4 --loss 0.3 --lock confirm', 'one kind of trouble'],
    ['latchway simulate --seed 4268 --runs 1', 'one seed again'],
    ['latchway simulate --cost', 'messages, bytes and time a new session, for 2 to 1,000 dispatchers'],
  ]);
}

function usage(detail: string): LatchwayError {
  return new LatchwayError({ code: 'usage', detail });
}

function numberOf(words: Words, name: string, most: number): number | undefined {
  const word = words[name.replace(/-(\w)/g, (_, letter: string) => letter.toUpperCase())];
  if (word === undefined) return undefined;
  const value = Number(word);
  if (!(value >= 0 && value <= most)) throw usage(`--${name}: ${word} is not a number from 0 to ${most}`);
  return value;
}

function givenOptions(words: Words): Partial<SimulationOptions> {
  const given: Record<string, unknown> = {};
  for (const [name, field, most] of NUMBERS) {
    const value = numberOf(words, name, most);
    if (value !== undefined) given[field] = most > 1 ? Math.floor(value) : value;
  }
  for (const [name, [field, values]] of Object.entries(CHOICES)) {
    const word = words[name === 'on-server-down' ? 'onServerDown' : name];
    if (word === undefined) continue;
    if (!values.includes(String(word))) throw usage(`--${name}: ${word} is none of ${values.join(', ')}`);
    given[field] = word;
  }
  if (words['delay'] !== undefined) {
    const [, from, to] = /^([\d.]+)-([\d.]+)$/.exec(String(words['delay'])) ?? [];
    if (from === undefined || Number(from) > Number(to))
      throw usage('--delay: two numbers of ms, as in 0.1-2');
    given['delayMs'] = [Number(from), Number(to)];
  }
  return given;
}

async function simulate(words: Words): Promise<void> {
  const given = givenOptions(words);
  const first = numberOf(words, 'seed', 2 ** 31) ?? 1;
  const runs = numberOf(words, 'runs', 10_000_000) ?? 100;
  if (!(runs >= 1)) throw usage('--runs: at least 1');
  const { dispatchers, delayMs } = given;
  if (dispatchers !== undefined && dispatchers < 2) throw usage('--dispatchers: at least 2');
  if (words['cost'] === true) {
    const lock = given.lock === 'auto' ? undefined : given.lock;
    simulateCost({
      dispatchers,
      sessions: given.tcpFlows,
      lock,
      delayMs,
      seed: first,
      json: words['json'] === true,
    });
    return;
  }
  if (dispatchers !== undefined && dispatchers > MOST_DISPATCHERS)
    throw usage(`--dispatchers: at most ${MOST_DISPATCHERS}, but for --cost`);
  const found = await runSeeds(first, runs, given);
  if (words['json'] === true) printJson(asJson(first, runs, found));
  else printFound(first, runs, found);
  if (found.wrong.length > 0 || found.done < runs) process.exitCode = 1;
}

/** What the runs have shown, of which there were `done`. */
interface Found {
  done: number;
  readonly totals: Map<string, number>;
  readonly wrong: SimulationSummary[];
  /** Of the last run. */
  transcript: string;
}

/** Runs one seed after the other, until a signal asks for what was found. */
async function runSeeds(first: number, runs: number, given: Partial<SimulationOptions>): Promise<Found> {
  const found: Found = { done: 0, totals: new Map(), wrong: [], transcript: '' };
  let stopped = false;
  const stop = (): void => {
    stopped = true;
  };
  process.on('SIGINT', stop).on('SIGTERM', stop);
  while (found.done < runs && !stopped) {
    const summary = runSeed(first + found.done, given);
    found.done++;
    found.transcript = summary.transcript;
    if (summary.violations.length > 0) found.wrong.push(summary);
    addUp(found.totals, summary);
    showProgress(found.done, runs);
    // A signal is seen between two runs only.
    await setImmediate();
  }
  process.off('SIGINT', stop).off('SIGTERM', stop);
  if (process.stderr.isTTY === true) process.stderr.write('\r\u001b[K');
  return found;
}

function showProgress(done: number, runs: number): void {
  if (process.stderr.isTTY === true) process.stderr.write(`\r${done} of ${runs} runs `);
  else if (done % 1_000 === 0 && done < runs) process.stderr.write(`${done} of ${runs} runs\n`);
}

function asJson(first: number, runs: number, { done, totals, wrong, transcript }: Found): unknown {
  const violations = wrong.map(({ seed, violations: what }) => ({ seed, violations: what }));
  return { first, runs, done, ...Object.fromEntries(totals), violations, transcript };
}

function printFound(first: number, runs: number, { done, totals, wrong, transcript }: Found): void {
  print(formatTable(['what', 'count'], [['runs', done], ...totals], [1]));
  for (const { seed, violations } of wrong) {
    for (const violation of violations) print(`seed ${seed}: ${violation}`);
    print(`  again: the same options with --seed ${seed} --runs 1`);
  }
  if (runs === 1) print(`transcript ${transcript}`);
  print(wrong.length === 0 ? 'no violation' : `${wrong.length} of ${done} runs violate the protocol`);
  if (done < runs)
    print(
      `stopped after ${done} of ${runs} runs; the rest: the same options with --seed ${first + done} --runs ${runs - done}`,
    );
}

function addUp(totals: Map<string, number>, summary: SimulationSummary): void {
  const add = (name: string, count: number): void => {
    totals.set(name, (totals.get(name) ?? 0) + count);
  };
  for (const name of [
    'connections',
    'packets',
    'tunnelled',
    'datagrams',
    'bytes',
    'lost',
    'duplicated',
  ] as const)
    add(name, summary[name]);
  add('runs that suspend one server', summary.assumptionBroken ? 1 : 0);
  for (const name of ['locksPlaced', 'locksYielded', 'grantsByTimeout', 'conflicts', 'rebound'])
    add(name, summary.counters[name] ?? 0);
}
