/**
 * Processes inside a namespace, as tests and scenarios need them: lines of output to wait for, questions on standard
 * input with an answer on standard output, and an end that is known before anybody goes on.
 */
import { spawn } from 'node:child_process';
import { openSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { DEADLINE_MS, inNamespace, trace, waitFor } from './host.mjs';

/**
 * @typedef {object} SpawnOptions
 * @property {RegExp} [ready] a line of standard output that says it is ready
 * @property {RegExp} [readyError] the same on standard error
 * @property {number} [deadlineMs] how long readiness may take, default DEADLINE_MS
 * @property {Record<string, string>} [environment] added to this process's own
 */

const LINES_KEPT = 20_000;
/** For a command that does much: hundreds of connections, a hundred megabytes. */
const RUN_DEADLINE_MS = 600_000;

/** A process that runs in the background of a lab. */
export class LabProcess {
  /**
   * @param {string} host
   * @param {readonly string[]} command without the namespace
   * @param {import('node:child_process').ChildProcess} child
   */
  constructor(host, command, child) {
    this.host = host;
    this.command = command;
    this.child = child;
    /** Standard output, the last 20,000 lines. @type {string[]} */
    this.lines = [];
    /** Standard error, likewise. @type {string[]} */
    this.errorLines = [];
    /** @type {{ code: number | null, signal: NodeJS.Signals | null } | undefined} */
    this.exit = undefined;
    /** @type {Promise<{ code: number | null, signal: NodeJS.Signals | null }>} */
    this.exited = new Promise((resolve) => {
      child.once('close', (code, signal) => {
        this.exit = { code, signal };
        resolve(this.exit);
      });
      child.once('error', (error) => this.errorLines.push(String(error)));
    });
    if (child.stdout) collect(child.stdout, this.lines);
    if (child.stderr) collect(child.stderr, this.errorLines);
    child.stdin?.on('error', () => {}); // the process ended first: `exited` says so
  }

  /** The process id: `ip netns exec` becomes the command itself. */
  get pid() {
    return /** @type {number} */ (this.child.pid);
  }

  /**
   * Waits for a line of output, from the first one on or, with `after`, from that line number on.
   * @param {RegExp} pattern
   * @param {{ deadlineMs?: number, after?: number, error?: boolean }} [options] `error`: look at standard error
   * @returns {Promise<string>} the line
   */
  async line(pattern, options = {}) {
    const lines = options.error ? this.errorLines : this.lines;
    const search = () => lines.slice(options.after ?? 0).find((line) => pattern.test(line));
    await waitFor(() => search() !== undefined || this.exit, {
      deadlineMs: options.deadlineMs ?? DEADLINE_MS,
      what: `${pattern} from ${this.describe()}`,
    });
    const found = search();
    if (found === undefined) throw new Error(`${this.describe()} ended before ${pattern}`);
    return found;
  }

  /**
   * Writes a line to standard input and waits for the next line of JSON on standard output.
   * @param {string} question
   * @param {number} [deadlineMs]
   * @returns {Promise<any>}
   */
  async ask(question, deadlineMs = DEADLINE_MS) {
    const after = this.lines.length;
    this.child.stdin?.write(`${question}\n`);
    return JSON.parse(await this.line(/^\{/, { after, deadlineMs }));
  }

  /**
   * Sends a signal and waits for the end; a process that ignores it for `deadlineMs` is killed, and that is an error.
   * @param {NodeJS.Signals} [signal]
   * @param {number} [deadlineMs]
   */
  async stop(signal = 'SIGTERM', deadlineMs = DEADLINE_MS) {
    if (this.exit) return this.exit;
    this.child.kill(signal);
    const timer = setTimeout(() => this.child.kill('SIGKILL'), deadlineMs);
    const exit = await this.exited;
    clearTimeout(timer);
    if (signal !== 'SIGKILL' && exit.signal === 'SIGKILL') {
      throw new Error(`${this.describe()} did not end within ${deadlineMs} ms of ${signal}`);
    }
    return exit;
  }

  /** One paragraph for a failure: the command, how it ended, its last words. */
  describe() {
    const end = this.exit ? ` (exit ${this.exit.code ?? this.exit.signal})` : '';
    const last = [...this.lines.slice(-5), ...this.errorLines.slice(-10)].map((line) => `\n    ${line}`);
    return `[${this.host}] ${this.command.join(' ')}${end}${last.join('')}`;
  }
}

/**
 * @param {import('node:stream').Readable} stream
 * @param {string[]} into
 */
function collect(stream, into) {
  createInterface({ input: stream }).on('line', (line) => {
    into.push(line);
    if (into.length > 2 * LINES_KEPT) into.splice(0, LINES_KEPT);
  });
}

/**
 * Starts a command in a namespace and, when asked, waits until it says that it is ready.
 * @param {string} namespace
 * @param {string} host its name within the lab
 * @param {readonly string[]} command
 * @param {SpawnOptions} [options]
 * @returns {Promise<LabProcess>}
 */
export async function startProcess(namespace, host, command, options = {}) {
  const whole = inNamespace(namespace, command);
  trace(whole);
  const child = spawn(/** @type {string} */ (whole[0]), whole.slice(1), {
    stdio: 'pipe',
    env: { ...process.env, ...options.environment },
  });
  const started = new LabProcess(host, command, child);
  const { deadlineMs } = options;
  const wait = deadlineMs === undefined ? {} : { deadlineMs };
  if (options.ready) await started.line(options.ready, wait);
  if (options.readyError) await started.line(options.readyError, { ...wait, error: true });
  return started;
}

/**
 * Starts a command that outlives this process; its output goes to a file.
 * @param {string} namespace
 * @param {readonly string[]} command
 * @param {string} logFile
 * @returns {number} process id
 */
export function startDetached(namespace, command, logFile) {
  const whole = inNamespace(namespace, command);
  trace(whole);
  const log = openSync(logFile, 'a');
  const child = spawn(/** @type {string} */ (whole[0]), whole.slice(1), {
    detached: true,
    stdio: ['ignore', log, log],
  });
  child.unref();
  return /** @type {number} */ (child.pid);
}

/**
 * Runs a command in a namespace to its end without blocking this process.
 * @param {string} namespace
 * @param {string} host
 * @param {readonly string[]} command
 * @param {{ input?: string, deadlineMs?: number }} [options] default deadline RUN_DEADLINE_MS
 * @returns {Promise<import('./host.mjs').Outcome>}
 */
export async function runProcess(namespace, host, command, options = {}) {
  const started = await startProcess(namespace, host, command);
  started.child.stdin?.end(options.input ?? '');
  let late = false;
  const timer = setTimeout(() => {
    late = true;
    started.child.kill('SIGKILL');
  }, options.deadlineMs ?? RUN_DEADLINE_MS);
  const { code } = await started.exited;
  clearTimeout(timer);
  if (late) throw new Error(`not done in time: ${started.describe()}`);
  return { code: code ?? 1, stdout: started.lines.join('\n'), stderr: started.errorLines.join('\n') };
}
