/** `latchway run`: the daemon in the foreground. */
import type { Command } from 'commander';
import { checkedNode, withExamples } from './options.ts';

interface RunOptions {
  readonly config: string;
  readonly node?: string;
  readonly socket?: string;
  readonly state?: string;
  readonly hold?: boolean;
}

export function addRun(program: Command): void {
  const command = program
    .command('run')
    .description(
      'run the dispatcher in the foreground; logs JSON lines to standard error, prints "ready" when it forwards',
    )
    .requiredOption('--config <FILE>', 'configuration file; SIGHUP reads it again')
    .option('--node <NAME>', 'which dispatcher this is (default: the host name)')
    .option('--socket <PATH>', 'control socket (default: /run/latchway/NODE.sock)')
    .option(
      '--state <FILE>',
      'where the table is kept over a restart (default: NODE.table beside the socket)',
    )
    .option(
      '--hold',
      'when it stops, leave the routes and rules that keep replies from leaking, for the next start (upgrades)',
    )
    .action(async ({ config, node, socket, state, hold = false }: RunOptions) => {
      // The daemon takes it over when it is loaded; before that it must not end the process.
      process.on('SIGHUP', () => undefined);
      // Who reads "ready" may leave afterwards; the daemon stays.
      process.stdout.on('error', () => undefined);
      // Loaded here alone: the other commands start faster without the daemon's code and its native addon.
      const { runDaemon } = await import('../daemon/run.ts');
      process.exitCode = await runDaemon({ config, node: checkedNode(node), socket, state, hold });
    });
  withExamples(command, [
    ['latchway run --config /etc/latchway.yaml', 'until SIGTERM or SIGINT'],
    [
      'latchway run --config l.yaml --node d1 --socket ./d1.sock',
      'as dispatcher d1, with a socket of its own',
    ],
  ]);
}
