/** `latchway check`: is this configuration good, and would it run on this host? */
import type { Command } from 'commander';
import type { CheckOptions } from './check-file.ts';
import { withExamples } from './options.ts';

export function addCheck(program: Command): void {
  const command = program
    .command('check')
    .description('check a configuration file: a summary, or one line per fault and exit code 1')
    .argument('<FILE>', 'configuration file')
    .option('--host', 'say as well what a start on this host would say; changes nothing')
    .option(
      '--node <NAME>',
      'which dispatcher this host is to be: the cluster must name it (with --host by default: the host name)',
    )
    .option('--json', 'print JSON')
    .action(async (file: string, options: CheckOptions) => {
      // Loaded here alone: the other commands start faster without the schema.
      const { checkFile } = await import('./check-file.ts');
      await checkFile(file, options);
    });
  withExamples(command, [
    ['latchway check /etc/latchway.yaml', 'before a reload'],
    ['latchway check --host /etc/latchway.yaml', 'before the first start on a gateway'],
    [
      'latchway check --host --node d1 l.yaml',
      'the same where the host has another name than its dispatcher',
    ],
    ['latchway check --json l.yaml | jq .faults', 'for scripts'],
  ]);
}
