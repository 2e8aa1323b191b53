/**
 * HTTP connections, one request each, short ones (`--bytes 0`) or downloads of known content compared byte for byte,
 * with an eye on time: a stall is a second in which nothing of a connection went on.
 *
 * Each answer names its server twice (header and body of a short one). The last line is JSON:
 * { connections, ok, broken, stalls, longest, bytes, byServer, errors }, `longest` being the longest pause in ms. With
 * `--live`, a line `{ "done": N, "broken": N }` comes on standard error as it goes on.
 */
import { request } from 'node:http';
import { ContentCheck } from './content.mjs';
import { count, inParallel, options } from './options.mjs';

const given = options('HTTP connections with an eye on stalls', {
  url: 'http://192.0.2.10',
  connections: 100,
  concurrency: 64,
  bytes: 0,
  timeout: 120_000, // without anything going on
  pause: 0, // ms after each
  from: '', // comma-separated local addresses, used in turn
  firstPort: 0, // local port of the first connection, the next of the next; 0: the kernel's choice
  live: false,
});
const STALL_MS = 1000;
const sources = given.from === '' ? [] : given.from.split(',');
const result = {
  connections: given.connections,
  ok: 0,
  broken: 0,
  stalls: 0,
  longest: 0,
  bytes: 0,
  byServer: /** @type {Record<string, number>} */ ({}),
  errors: /** @type {Record<string, number>} */ ({}),
};

/** Times the pauses of one connection. */
class Pace {
  last = performance.now();
  longest = 0;

  mark() {
    const now = performance.now();
    this.longest = Math.max(this.longest, now - this.last);
    this.last = now;
  }

  end() {
    this.mark();
    if (this.longest > STALL_MS) result.stalls++;
    result.longest = Math.max(result.longest, Math.round(this.longest));
  }
}

/** @param {import('node:http').IncomingMessage} response @param {Pace} pace @returns {Promise<string>} */
function read(response, pace) {
  const server = String(response.headers['x-server'] ?? '');
  const check = new ContentCheck();
  let body = '';
  return new Promise((resolve, reject) => {
    response.on('data', (data) => {
      pace.mark();
      result.bytes += data.length;
      if (given.bytes > 0) check.push(data);
      else body += data;
    });
    response.on('error', reject);
    response.on('end', () => {
      const whole =
        given.bytes > 0
          ? check.bytes === given.bytes && check.firstDifference < 0
          : body.trim() === server && server !== '';
      if (whole && response.complete) resolve(server);
      else reject(new Error(`garbled at ${check.firstDifference}`));
    });
  });
}

/** @param {number} index @param {Pace} pace @returns {Promise<string>} the server's name */
function fetchOnce(index, pace) {
  const localAddress = sources[index % sources.length];
  const url = given.bytes > 0 ? `${given.url}/bytes?n=${given.bytes}` : `${given.url}/`;
  return new Promise((resolve, reject) => {
    const localPort = given.firstPort === 0 ? undefined : given.firstPort + index;
    const sent = request(url, {
      agent: false,
      ...(localAddress && { localAddress }),
      ...(localPort && { localPort }),
    });
    sent.setTimeout(given.timeout, () => sent.destroy(new Error('timeout')));
    sent.on('socket', (socket) => socket.on('connect', () => pace.mark()));
    sent.on('response', (response) => {
      pace.mark();
      read(response, pace).then(resolve, reject);
    });
    sent.on('error', reject);
    sent.on('close', () => setImmediate(reject, new Error('closed')));
    sent.end();
  });
}

let shown = 0;
function showLive() {
  if (!given.live || performance.now() - shown < 100) return;
  shown = performance.now();
  process.stderr.write(`${JSON.stringify({ done: result.ok, broken: result.broken })}\n`);
}

await inParallel(given.connections, given.concurrency, async (index) => {
  const pace = new Pace();
  try {
    const server = await fetchOnce(index, pace);
    result.ok++;
    count(result.byServer, server);
  } catch (error) {
    result.broken++;
    const { code, message } = /** @type {NodeJS.ErrnoException} */ (error);
    count(result.errors, code ?? message);
  }
  pace.end();
  showLive();
  if (given.pause > 0) await new Promise((resolve) => setTimeout(resolve, given.pause));
});
process.stdout.write(`${JSON.stringify(result)}\n`);
process.exitCode = result.broken === 0 ? 0 : 1;
