/**
 * The log of the daemon: pino, one JSON object a line on standard error, written before the call returns, so that the
 * last line before an exit is not lost. The keys `level` (a word), `time` (ISO 8601, UTC), `node` and `msg` are in every line.
 */
import { type DestinationStream, destination, type Logger, pino, stdTimeFunctions } from 'pino';

export type Log = Pick<Logger, 'debug' | 'info' | 'warn' | 'error' | 'fatal'>;

const STANDARD_ERROR = 2;

/** A reader of the log that goes away must not take the daemon along. */
function standardError(): DestinationStream {
  return destination({ dest: STANDARD_ERROR, sync: true }).on('error', () => undefined);
}

/**
 * @param node name of this dispatcher
 * @param out where the lines go; standard error by default
 */
export function createLog(node: string, out: DestinationStream = standardError()): Log {
  return pino(
    {
      base: { node },
      timestamp: stdTimeFunctions.isoTime,
      formatters: { level: (level) => ({ level }) },
    },
    out,
  );
}
