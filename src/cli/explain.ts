/** `latchway explain` and `latchway diff`: what all dispatchers of the cluster say about one packet, and about all entries. */
import type { Command } from 'commander';
import type { DiffView, ExplainView } from '../daemon/cluster/cluster-views.ts';
import { parseExplained } from '../daemon/control/explained-packet.ts';
import { askDaemon } from './client.ts';
import { socketOf, type ViewOptions, withExamples, withView } from './options.ts';
import { formatTable, print, printJson } from './output.ts';

export function addExplain(program: Command): void {
  const command = program
    .command('explain <PACKET>')
    .description(
      'where each dispatcher would send a packet now, and by which rule (of the table in ARCHITECTURE.md); changes nothing',
    )
    .action(async (packet: string, options: ViewOptions) => {
      // Judged here too, so that a bad packet is wrong usage and not an answer of the daemon.
      parseExplained(packet);
      const path = `/explain?packet=${encodeURIComponent(packet)}`;
      const views = await askDaemon<readonly ExplainView[]>(socketOf(options), 'GET', path);
      if (options.json) printJson(views);
      else print(formatExplained(views));
      if (views.some((view) => !view.answered)) process.exitCode = 1;
    });
  withExamples(withView(command), [
    [
      `latchway explain 'tcp 198.51.100.7:40000 > 192.0.2.10:80'`,
      'the first packet of a connection, or one of a known flow',
    ],
    [`latchway explain 'tcp 198.51.100.7:40000 > 192.0.2.10:80 ack'`, 'one that opens nothing'],
    [`latchway explain 'udp [2001:db8::7]:5000 > [2001:db8:f::10]:53'`, 'IPv6 addresses stand in brackets'],
  ]);
}

export function formatExplained(views: readonly ExplainView[]): string {
  return formatTable(
    ['Dispatcher', 'Rule', 'Verdict', 'Server', 'To'],
    views.map((view) => [
      view.dispatcher,
      view.rule === 0 ? '' : view.rule,
      view.verdict,
      view.server,
      view.to,
    ]),
    [1],
  );
}

export function addDiff(program: Command): void {
  const command = program
    .command('diff')
    .description(
      'compares the tables of all dispatchers, but for entries that are closing or younger than a second; exit code 1 when they differ, or one does not answer',
    )
    .action(async (options: ViewOptions) => {
      const diff = await askDaemon<DiffView>(socketOf(options), 'GET', '/diff');
      if (options.json) printJson(diff);
      else print(formatDiff(diff));
      if (diff.differences.length > 0 || Object.keys(diff.silent).length > 0) process.exitCode = 1;
    });
  withExamples(withView(command), [
    ['latchway diff', 'nothing but the numbers of entries, when all agree; what differs is looked at twice'],
    ['latchway diff --json | jq .differences', 'for scripts'],
  ]);
}

export function formatDiff(diff: DiffView): string {
  const names = Object.keys(diff.entries).toSorted();
  const lines = names.map((name) => `${name}: ${diff.entries[name]} entries compared`);
  for (const [name, why] of Object.entries(diff.silent)) lines.push(`${name}: does not answer: ${why}`);
  const some = Object.keys(diff.silent).length > 0;
  if (diff.differences.length === 0)
    lines.push(some ? 'no differences between those that answered' : 'no differences');
  else {
    lines.push(
      formatTable(
        ['Service', 'Client', 'Port', ...names],
        diff.differences.map((row) => [
          row.service,
          row.client,
          row.vipPort,
          ...names.map((name) => row.says[name] ?? ''),
        ]),
        [2],
      ),
    );
    if (diff.unlisted > 0) lines.push(`and ${diff.unlisted} more`);
  }
  return lines.join('\n');
}
