/** `latchway run`: the daemon as a process. Signals, the line `ready`, exit codes. */
import { once } from 'node:events';
import { dirname, join } from 'node:path';
import { LatchwayError } from '../base/fault.ts';
import { chooseNode, loadConfig } from './config/config.ts';
import { DaemonControl } from './control/daemon-control.ts';
import { defaultSocket } from './control/listen.ts';
import { createMetrics, listenMetrics } from './control/metrics.ts';
import { startControl } from './control/server.ts';
import { createDaemon, type Daemon } from './daemon.ts';
import { createLog, type Log } from './log.ts';

export interface RunOptions {
  readonly config: string;
  readonly node: string | undefined;
  readonly socket: string | undefined;
  readonly state: string | undefined;
  /** On a clean stop, leave what keeps replies from leaking for the next start. */
  readonly hold: boolean;
}

/**
 * Runs until SIGTERM, SIGINT or a fault. Signals are handled until the process ends: one that comes while the daemon starts or
 * stops must not end it half way.
 * @returns 0 after a clean stop, 1 when a thread died or the host could not be put back.
 * @throws LatchwayError when it cannot start; the host is then as it was
 */
export async function runDaemon(options: RunOptions): Promise<number> {
  const config = loadConfig(options.config);
  const node = chooseNode(config, options.node);
  const socket = options.socket ?? defaultSocket(node);
  const tableFile = options.state ?? join(dirname(socket), `${node}.table`);
  const log = createLog(node);
  const signals = new Signals();
  const onDeath = (fault: LatchwayError): void => {
    log.fatal(fault.message);
    signals.end(1);
  };
  const { stopping } = signals;
  const daemon = await createDaemon({ config, node, tableFile, hold: options.hold, log, stopping, onDeath });
  const target = new DaemonControl(daemon);
  const closers: (() => Promise<void>)[] = [];
  try {
    // Before routes bring packets: a socket or port that is taken must be found out first.
    const control = await startControl(socket, target, log);
    closers.push(() => control.close());
    if (config.metrics !== undefined)
      closers.push(await listenMetrics(config.metrics.listen, createMetrics(target)));
    await daemon.start();
    if (daemon.ready) {
      log.info({ socket, services: config.services.length }, 'ready');
      process.stdout.write('ready\n');
    }
    await signals.serve(() => reload(target, log));
    log.info('stopping');
  } finally {
    if (!(await takeDown(daemon, closers))) signals.end(1);
  }
  log.info('stopped');
  return signals.exitCode;
}

async function takeDown(daemon: Daemon, closers: readonly (() => Promise<void>)[]): Promise<boolean> {
  for (const close of closers) await close();
  return daemon.stop();
}

/** SIGTERM and SIGINT end, SIGHUP reloads; what comes before `serve` is remembered, what comes after it changes nothing. */
class Signals {
  exitCode = 0;
  readonly #ending = new AbortController();
  #reload: (() => void) | undefined;
  #reloadAsked = false;

  constructor() {
    for (const name of ['SIGTERM', 'SIGINT'] as const) process.on(name, () => this.end(0));
    process.on('SIGHUP', () => {
      if (this.#reload === undefined) this.#reloadAsked = true;
      else this.#reload();
    });
  }

  get stopping(): AbortSignal {
    return this.#ending.signal;
  }

  end(exitCode: number): void {
    if (exitCode !== 0) this.exitCode = exitCode;
    this.#ending.abort();
  }

  /** Resolves when it is time to end. */
  async serve(reload: () => void): Promise<void> {
    this.#reload = reload;
    if (this.#reloadAsked) reload();
    if (!this.#ending.signal.aborted) await once(this.#ending.signal, 'abort');
    this.#reload = () => undefined;
  }
}

function reload(target: DaemonControl, log: Log): void {
  target.reload().then(
    (view) => log.info({ generation: view.generation, warnings: view.warnings }, 'configuration reloaded'),
    (error: unknown) => {
      if (!(error instanceof LatchwayError))
        log.error({ error: String(error) }, 'reload failed; nothing changed');
      else
        for (const line of error.message.split('\n'))
          log.error({ code: error.fault.code }, `reload refused, nothing changed: ${line}`);
    },
  );
}
