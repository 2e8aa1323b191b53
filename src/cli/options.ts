/** Options that several commands have, and the words for them. */
import type { Command } from 'commander';
import { LatchwayError } from '../base/fault.ts';
import { defaultNode, NAME_PATTERN, NAME_RULE } from '../daemon/config/node-name.ts';
import { defaultSocket } from '../daemon/control/listen.ts';

export interface SocketOptions {
  readonly socket?: string;
  readonly node?: string;
}

export interface ViewOptions extends SocketOptions {
  readonly json?: true;
}

/** Adds `--socket` and `--node`. */
export function withSocket(command: Command): Command {
  return command
    .option('--socket <PATH>', 'control socket of the daemon (default: /run/latchway/NODE.sock)')
    .option('--node <NAME>', 'name of the dispatcher (default: the host name)');
}

/** Adds `--socket`, `--node` and `--json`. */
export function withView(command: Command): Command {
  return withSocket(command).option('--json', 'print JSON instead of a table');
}

/** Examples below the options of a command: [command line, what it does]. */
export function withExamples(command: Command, examples: readonly (readonly [string, string])[]): Command {
  const width = Math.max(...examples.map(([line]) => line.length));
  const lines = examples.map(([line, what]) => `  ${line.padEnd(width)}  ${what}`);
  return command.addHelpText('after', `\nExamples:\n${lines.join('\n')}`);
}

/** @throws LatchwayError `usage` for a name that no dispatcher can have */
export function socketOf({ socket, node }: SocketOptions): string {
  if (socket !== undefined) return socket;
  return defaultSocket(checkedNode(node) ?? defaultNode());
}

/** @throws LatchwayError `usage` */
export function checkedNode(node: string | undefined): string | undefined {
  if (node !== undefined && !NAME_PATTERN.test(node))
    throw new LatchwayError({ code: 'usage', detail: `error: --node ${NAME_RULE}` });
  return node;
}
