/**
 * Real HTTP requests, each on a connection of its own. The last line is JSON:
 * { requests, ok, broken, errors, byServer, byClient }; exit 0 only if every one was answered.
 */
import { request } from 'node:http';
import { count, inParallel, options } from './options.mjs';

const given = options('Sends HTTP requests, one connection each', {
  url: 'http://192.0.2.10/',
  requests: 100,
  concurrency: 10,
  timeout: 120_000,
  from: '', // comma-separated local addresses, used in turn
  firstPort: 0, // local port of the first connection, the next of the next; 0: the kernel's choice
  'by-client': false,
  progress: false,
});
const sources = given.from === '' ? [] : given.from.split(',');
const result = {
  requests: given.requests,
  ok: 0,
  broken: 0,
  errors: /** @type {Record<string, number>} */ ({}),
  byServer: /** @type {Record<string, number>} */ ({}),
  byClient: /** @type {Record<string, Record<string, number>>} */ ({}),
};

/** @param {number} index @returns {Promise<string>} the server's name */
function fetchOnce(index) {
  const localAddress = sources[index % sources.length];
  return new Promise((resolve, reject) => {
    const localPort = given.firstPort === 0 ? undefined : given.firstPort + index;
    const sent = request(given.url, {
      agent: false,
      ...(localAddress && { localAddress }),
      ...(localPort && { localPort }),
    });
    const timer = setTimeout(() => sent.destroy(new Error('timeout')), given.timeout);
    sent.on('response', (response) => {
      const server = String(response.headers['x-server'] ?? '');
      let body = '';
      response.on('data', (data) => {
        body += data;
      });
      response.on('error', reject);
      response.on('end', () => {
        if (body.trim() === server && response.complete) resolve(server);
        else reject(new Error('garbled'));
      });
    });
    sent.on('error', reject);
    sent.on('close', () => {
      clearTimeout(timer);
      reject(new Error('closed'));
    });
    sent.end();
  });
}

function showProgress() {
  const done = result.ok + result.broken;
  process.stderr.write(`\r  ${done} of ${given.requests} requests, ${result.broken} broken`);
}

let last = 0;
await inParallel(given.requests, given.concurrency, async (index) => {
  try {
    const server = await fetchOnce(index);
    result.ok++;
    count(result.byServer, server);
    const client = sources[index % sources.length];
    if (given['by-client'] && client) {
      result.byClient[client] ??= {};
      count(result.byClient[client], server);
    }
  } catch (error) {
    result.broken++;
    const { code, message } = /** @type {NodeJS.ErrnoException} */ (error);
    count(result.errors, code ?? message);
  }
  if (given.progress && performance.now() - last > 200) {
    last = performance.now();
    showProgress();
  }
});
if (given.progress) {
  showProgress();
  process.stderr.write('\n');
}
process.stdout.write(`${JSON.stringify(result)}\n`);
process.exitCode = result.broken === 0 ? 0 : 1;
