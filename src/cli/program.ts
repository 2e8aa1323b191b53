/**
 * The commands, put together; and how the program ends.
 *
 * Exit codes: 0 done, 1 the answer is no or the input is bad, 2 wrong usage, 3 cannot reach the daemon. Actions set
 * `process.exitCode` when the answer is no, and throw LatchwayError for what a person got wrong.
 */
import { Command, CommanderError } from 'commander';
import { LatchwayError } from '../base/fault.ts';
import { VERSION } from '../daemon/version.ts';
import { addCapture } from './capture.ts';
import { addCheck } from './check.ts';
import { addCleanup } from './cleanup.ts';
import { addCounters } from './counters.ts';
import { addDecode } from './decode.ts';
import { addDiff, addExplain } from './explain.ts';
import { addFlows } from './flows.ts';
import { addKeygen } from './keygen.ts';
import { endWithReader } from './output.ts';
import { addLocks, addPeers } from './peers.ts';
import { addReload } from './reload.ts';
import { addRun } from './run.ts';
import { addServer } from './server.ts';
import { addServers } from './servers.ts';
import { addSimulate } from './simulate.ts';
import { addStatus } from './status.ts';

const EXIT_NO = 1;
const EXIT_USAGE = 2;
const EXIT_UNREACHABLE = 3;

/** The whole command line, ready to parse. */
function createProgram(): Command {
  const program = new Command('latchway')
    .description('A layer-4 load balancer for Linux gateways.')
    .version(VERSION, '--version')
    .helpCommand('help [command]', 'show the help of a command')
    .showHelpAfterError('(add --help for the options and examples)')
    .exitOverride()
    .addHelpText(
      'after',
      '\nExit codes: 0 done, 1 the answer is no or the input is bad, 2 wrong usage, 3 cannot reach the daemon.',
    );
  for (const add of [addRun, addCheck, addCleanup, addKeygen]) add(program);
  for (const add of [addStatus, addServers, addServer, addFlows, addPeers, addLocks, addExplain, addDiff])
    add(program);
  for (const add of [addCounters, addReload, addCapture, addDecode, addSimulate]) add(program);
  return program;
}

/** Runs one command line (without node and script) and sets `process.exitCode`. */
export async function runProgram(argv: readonly string[]): Promise<void> {
  endWithReader();
  try {
    await createProgram().parseAsync(argv, { from: 'user' });
  } catch (error) {
    process.exitCode = exitCode(error);
  }
}

/** Tells what went wrong (commander has told its own by now) and chooses the exit code. */
function exitCode(error: unknown): number {
  if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : EXIT_USAGE;
  if (!(error instanceof LatchwayError)) {
    process.stderr.write(
      `latchway: internal error: ${error instanceof Error ? error.stack : String(error)}\n`,
    );
    return EXIT_NO;
  }
  process.stderr.write(`${error.message}\n`);
  if (error.fault.code === 'usage') return EXIT_USAGE;
  return error.fault.code === 'daemon-unreachable' ? EXIT_UNREACHABLE : EXIT_NO;
}
