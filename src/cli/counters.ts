/** `latchway counters`: what happened to packets, each drop with its reason. */
import type { Command } from 'commander';
import { COUNTER_INFO } from '../base/counters.ts';
import { askDaemon } from './client.ts';
import { socketOf, type ViewOptions, withExamples, withView } from './options.ts';
import { formatTable, print, printJson } from './output.ts';

interface CounterOptions extends ViewOptions {
  readonly all?: true;
}

type Counts = Readonly<Record<string, number>>;

export function addCounters(program: Command): void {
  const command = program
    .command('counters')
    .description('packets by verdict and drop reason, and other events, since the start')
    .option('--all', 'those that are zero too; JSON always has them')
    .action(async (options: CounterOptions) => {
      const counts = await askDaemon<Counts>(socketOf(options), 'GET', '/counters');
      if (options.json) return printJson(counts);
      const shown = Object.entries(counts).filter(([, count]) => options.all || count !== 0);
      print(formatCounters(Object.fromEntries(shown)));
    });
  withExamples(withView(command), [
    ['latchway counters', 'what is not zero'],
    ['latchway counters --all | grep drop', 'every reason for which a packet can be dropped'],
    [`latchway counters --json | jq '."drop-table-full"'`, 'for scripts'],
  ]);
}

const HELP = new Map<string, string>(COUNTER_INFO.map(({ name, help }) => [name, help]));

export function formatCounters(counts: Counts): string {
  const rows = Object.entries(counts).map(([name, count]) => [name, count, HELP.get(name) ?? '']);
  return formatTable(['Counter', 'Count', 'Meaning'], rows, [1]);
}
