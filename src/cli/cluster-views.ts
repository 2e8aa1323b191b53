/**
 * `latchway locks` and `latchway peers`: what a dispatcher shares with others. This version has no cluster, so a daemon
 * that answers has none of either; the commands and their exit codes are there for the tools that rely on them.
 */
import type { Command } from 'commander';
import type { StatusView } from '../daemon/control.ts';
import { askDaemon } from './client.ts';
import { socketOf, type ViewOptions, withExamples, withView } from './options.ts';
import { print, printJson } from './output.ts';

export function addLocks(program: Command): void {
  const command = program
    .command('locks')
    .description('client locks that dispatchers agreed on; a dispatcher alone has none')
    .action((options: ViewOptions) => showNone(options, 'client locks'));
  withExamples(withView(command), [['latchway locks --json', 'an empty array without a cluster']]);
}

export function addPeers(program: Command): void {
  const command = program
    .command('peers')
    .description('the other dispatchers of the cluster; a dispatcher alone has none')
    .action((options: ViewOptions) => showNone(options, 'peers'));
  withExamples(withView(command), [['latchway peers --json', 'an empty array without a cluster']]);
}

/** The daemon is asked all the same: whether it is there is part of the answer. */
async function showNone(options: ViewOptions, what: string): Promise<void> {
  await askDaemon<StatusView>(socketOf(options), 'GET', '/status');
  if (options.json) printJson([]);
  else print(`no cluster: this dispatcher is alone: no ${what}`);
}
