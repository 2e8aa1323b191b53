/**
 * Commands on this host, and the namespaces that they run in.
 *
 * Everything that a lab does to the kernel goes through `run` (one command, synchronously, its error output never
 * thrown away) or `ipBatch` (many `ip` commands in one process). `LATCHWAY_LAB_TRACE=1` echoes each command with
 * its namespace on standard error, so that a topology can be repeated by hand.
 */
import { spawnSync } from 'node:child_process';

/** @typedef {{ code: number, stdout: string, stderr: string }} Outcome */

const TRACE = process.env['LATCHWAY_LAB_TRACE'] === '1';
/** Long enough for a machine that is busy with everything else. */
export const DEADLINE_MS = 180_000;
const OUTPUT_LIMIT = 64 * 1024 * 1024;

/** A command that failed, with all that it said. */
export class CommandError extends Error {
  /**
   * @param {readonly string[]} command
   * @param {Outcome} outcome
   */
  constructor(command, outcome) {
    super(`${command.join(' ')}: exit ${outcome.code}\n${outcome.stderr || outcome.stdout}`);
    this.name = 'CommandError';
    this.outcome = outcome;
  }
}

/**
 * Echoes a command when tracing is on.
 * @param {readonly string[]} command
 */
export function trace(command) {
  if (TRACE) process.stderr.write(`+ ${command.join(' ')}\n`);
}

/**
 * Runs one command to its end.
 * @param {readonly string[]} command
 * @param {{ input?: string, check?: boolean }} [options] `check` (default true) makes a non-zero exit an error
 * @returns {Outcome}
 * @throws {CommandError}
 */
export function run(command, options = {}) {
  trace(command);
  const done = spawnSync(/** @type {string} */ (command[0]), command.slice(1), {
    encoding: 'utf8',
    maxBuffer: OUTPUT_LIMIT,
    input: options.input ?? '',
  });
  const outcome = {
    code: done.status ?? 1,
    stdout: done.stdout ?? '',
    stderr: done.stderr || (done.error ? String(done.error) : ''),
  };
  if (outcome.code !== 0 && options.check !== false) throw new CommandError(command, outcome);
  return outcome;
}

/**
 * Runs `ip` commands (without the word `ip`) in one process, in a namespace or, without one, on the host. Those that
 * begin with `-6`, which a batch cannot say by line (only rules need it), run as a second batch after the others.
 * @param {readonly string[]} lines
 * @param {string} [namespace]
 */
export function ipBatch(lines, namespace) {
  const target = namespace === undefined ? [] : ['-n', namespace];
  for (const line of lines) trace(['ip', ...target, line]);
  const six = lines.filter((line) => line.startsWith('-6 ')).map((line) => line.slice(3));
  const rest = lines.filter((line) => !line.startsWith('-6 '));
  const batch = ['-batch', '-'];
  if (rest.length > 0) run(['ip', ...target, ...batch], { input: `${rest.join('\n')}\n` });
  if (six.length > 0) run(['ip', '-6', ...target, ...batch], { input: `${six.join('\n')}\n` });
}

/**
 * The command that runs another one inside a namespace.
 * @param {string} namespace
 * @param {readonly string[]} command
 */
export function inNamespace(namespace, command) {
  return ['ip', 'netns', 'exec', namespace, ...command];
}

/** The names of all network namespaces of this host. @returns {string[]} */
export function namespaces() {
  const { stdout } = run(['ip', 'netns', 'list']);
  return stdout
    .split('\n')
    .map((line) => line.split(' ')[0] ?? '')
    .filter((name) => name !== '');
}

/** Blocks this thread; for clean-up, which may not return to the event loop. @param {number} milliseconds */
export function pause(milliseconds) {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, milliseconds);
}

/**
 * Polls until a condition holds; the deadline is there to fail, never to pass.
 * @template T
 * @param {() => T | Promise<T>} condition anything truthy ends the wait
 * @param {{ deadlineMs?: number, everyMs?: number, what?: string }} [options]
 * @returns {Promise<NonNullable<T>>}
 */
export async function waitFor(condition, options = {}) {
  const deadline = performance.now() + (options.deadlineMs ?? DEADLINE_MS);
  for (;;) {
    const value = await condition();
    if (value) return value;
    if (performance.now() > deadline) {
      throw new Error(`waited in vain for ${options.what ?? condition.toString()}`);
    }
    await new Promise((resolve) => setTimeout(resolve, options.everyMs ?? 20));
  }
}
