/**
 * The daemon in a lab: its configuration file, its process, its commands.
 *
 * A configuration is given as an object and written as JSON, which is YAML too. `program` names another
 * `cli/main.js`: that is how tests run a build with one fault put in.
 */
import { execFile } from 'node:child_process';
import { existsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { askSocket } from './control-socket.mjs';
import { run } from './host.mjs';
import { PROJECT } from './laboratory.mjs';

/**
 * @typedef {object} DispatcherOptions
 * @property {string} [node] name of the dispatcher and of its host in the lab, default d1
 * @property {string} [program] path of cli/main.js, default this project's build
 * @property {boolean} [ready] wait until it says `ready`; default true
 * @property {number} [deadlineMs] for that
 * @property {Record<string, string>} [environment]
 * @property {readonly string[]} [words] further words of `run`, such as `--hold`
 */

/** The program under test; LATCHWAY_PROGRAM names another build of it. */
export const PROGRAM = process.env['LATCHWAY_PROGRAM'] ?? join(PROJECT, 'dist', 'cli', 'main.js');

/** Whether there is a build to run. */
export function isBuilt() {
  return existsSync(PROGRAM);
}

/** A dispatcher that runs in a lab. */
export class Dispatcher {
  /**
   * @param {import('./processes.mjs').LabProcess} daemon
   * @param {{ program: string, configFile: string, socket: string, stateFile: string }} paths
   */
  constructor(daemon, { program, configFile, socket, stateFile }) {
    this.daemon = daemon;
    this.program = program;
    this.configFile = configFile;
    this.socket = socket;
    this.stateFile = stateFile;
  }

  /**
   * Runs a command of the program against this dispatcher.
   * @param {...string} words such as `flows`, `--json`
   * @returns {import('./host.mjs').Outcome}
   */
  cli(...words) {
    return run([process.execPath, this.program, ...words, '--socket', this.socket], { check: false });
  }

  /** The same with `--json`, read; a failure is an error. @param {...string} words @returns {any} */
  json(...words) {
    const outcome = this.cli(...words, '--json');
    if (outcome.code !== 0) throw new Error(`latchway ${words.join(' ')}: ${outcome.stderr}`);
    return JSON.parse(outcome.stdout);
  }

  /**
   * The same while others run: what several dispatchers show of one moment.
   * @param {...string} words @returns {Promise<any>}
   */
  jsonMeanwhile(...words) {
    const command = [this.program, ...words, '--json', '--socket', this.socket];
    return new Promise((resolve, reject) => {
      execFile(process.execPath, command, (error, stdout) => {
        if (error) reject(error);
        else resolve(JSON.parse(stdout));
      });
    });
  }

  /**
   * What the control socket answers, without a process in between: for questions whose answer is soon another one.
   * @param {string} path such as `/locks`
   * @returns {Promise<any>} rejects when nobody answers, or not as asked
   */
  ask(path) {
    return askSocket(this.socket, path);
  }

  /** The same of one that may not answer yet, or not any more. @param {string} path @returns {Promise<any>} undefined then */
  look(path) {
    return this.ask(path).catch(() => undefined);
  }

  /** Writes another configuration and has it read (SIGHUP). @param {object} config */
  reload(config) {
    writeFileSync(this.configFile, `${JSON.stringify(config, null, 2)}\n`);
    this.daemon.child.kill('SIGHUP');
  }

  /** Ends it in good order. @param {NodeJS.Signals} [signal] */
  stop(signal = 'SIGTERM') {
    return this.daemon.stop(signal);
  }

  /** Ends it as a power failure would. */
  kill9() {
    return this.daemon.stop('SIGKILL');
  }
}

/**
 * Starts the daemon and waits until it forwards.
 * @param {import('./laboratory.mjs').Lab} lab
 * @param {object} config
 * @param {DispatcherOptions} [options]
 * @returns {Promise<Dispatcher>}
 */
export async function startDispatcher(lab, config, options = {}) {
  const node = options.node ?? 'd1';
  const program = options.program ?? PROGRAM;
  const paths = {
    program,
    configFile: lab.file(`${node}.yaml`),
    socket: lab.file(`${node}.sock`),
    stateFile: lab.file(`${node}.state`),
  };
  writeFileSync(paths.configFile, `${JSON.stringify(config, null, 2)}\n`);
  const daemon = await lab.spawn(node, [...runCommand(node, paths), ...(options.words ?? [])], {
    ...(options.ready === false ? {} : { ready: /^ready$/ }),
    ...(options.deadlineMs === undefined ? {} : { deadlineMs: options.deadlineMs }),
    ...(options.environment === undefined ? {} : { environment: options.environment }),
  });
  return new Dispatcher(daemon, paths);
}

/**
 * @param {string} node
 * @param {{ program: string, configFile: string, socket: string, stateFile: string }} paths
 */
export function runCommand(node, { program, configFile, socket, stateFile }) {
  const files = ['--config', configFile, '--socket', socket, '--state', stateFile];
  return [process.execPath, program, 'run', '--node', node, ...files];
}
