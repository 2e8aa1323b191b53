/** `latchway run`: the daemon as a process. Signals, the line `ready`, exit codes. */
import { once } from 'node:events';
import { dirname, join } from 'node:path';
import { LatchwayError } from '../base/fault.ts';
import { chooseNode, loadConfig } from './config.ts';
import { defaultSocket } from './control-listen.ts';
import { startControl } from './control-server.ts';
import { createDaemon } from './daemon.ts';
import { DaemonControl } from './daemon-control.ts';
import { createLog } from './log.ts';
import { createMetrics, listenMetrics } from './metrics.ts';

export interface RunOptions {
  readonly config: string;
  readonly node: string | undefined;
  readonly socket: string | undefined;
  readonly state: string | undefined;
  /** On a clean stop, leave what keeps replies from leaking for the next start. */
  readonly hold: boolean;
}

/**
 * Runs until SIGTERM, SIGINT or a fault.
 * @returns 0 after a clean stop, 1 when a thread died.
 * @throws LatchwayError when it cannot start; the host is then as it was
 */
export async function runDaemon(options: RunOptions): Promise<number> {
  const config = loadConfig(options.config);
  const node = chooseNode(config, options.node);
  const socket = options.socket ?? defaultSocket(node);
  const tableFile = options.state ?? join(dirname(socket), `${node}.table`);
  const log = createLog(node);
  const ending = new AbortController();
  let exitCode = 0;
  const end = (): void => ending.abort();
  process.on('SIGTERM', end).on('SIGINT', end);
  const onDeath = (fault: LatchwayError): void => {
    log.fatal(fault.message);
    exitCode = 1;
    end();
  };
  const daemon = await createDaemon({ config, node, tableFile, hold: options.hold, log, onDeath });
  const target = new DaemonControl(daemon);
  await daemon.start();
  const reload = (): void => {
    target.reload().then(
      (view) => log.info({ generation: view.generation, warnings: view.warnings }, 'configuration reloaded'),
      (error: unknown) => logFault(log, error),
    );
  };
  process.on('SIGHUP', reload);
  const closers: (() => Promise<void>)[] = [];
  try {
    const control = await startControl(socket, target, log);
    closers.push(() => control.close());
    if (config.metrics !== undefined)
      closers.push(await listenMetrics(config.metrics.listen, createMetrics(target)));
    log.info({ socket, services: config.services.length }, 'ready');
    process.stdout.write('ready\n');
    if (!ending.signal.aborted) await once(ending.signal, 'abort');
    log.info('stopping');
  } finally {
    process.off('SIGHUP', reload);
    for (const close of closers) await close();
    await daemon.stop();
    process.off('SIGTERM', end).off('SIGINT', end);
  }
  log.info('stopped');
  return exitCode;
}

function logFault(log: ReturnType<typeof createLog>, error: unknown): void {
  if (!(error instanceof LatchwayError))
    log.error({ error: String(error) }, 'reload failed; nothing changed');
  else
    for (const line of error.message.split('\n'))
      log.error({ code: error.fault.code }, `reload refused: ${line}`);
}
