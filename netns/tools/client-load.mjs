/**
 * Clients that open several connections at the same time, each client from an address of its own: what `affinity: client`
 * is about. The servers are talk-server.mjs. The last line is JSON: { clients, connections, ok, broken, mixed, byServer,
 * errors }; `mixed` are clients whose connections met more than one server.
 */
import { connect } from 'node:net';
import { count, inParallel, options } from './options.mjs';

const given = options('Clients with several connections at once', {
  host: '192.0.2.10',
  port: 7000,
  clients: 500,
  connections: 6, // of each
  concurrency: 20, // clients at a time
  base: '198.19', // client N is of address BASE.(N div 250).(1 + N mod 250)
  first: 0, // number of the first client
  timeout: 120_000,
});
const result = {
  clients: given.clients,
  connections: given.clients * given.connections,
  ok: 0,
  broken: 0,
  mixed: 0,
  byServer: /** @type {Record<string, number>} */ ({}),
  errors: /** @type {Record<string, number>} */ ({}),
};

/** @param {string} localAddress @returns {Promise<string>} the server's name */
function ask(localAddress) {
  return new Promise((resolve, reject) => {
    const socket = connect({ host: given.host, port: given.port, localAddress }, () =>
      socket.write('name\n'),
    );
    const timer = setTimeout(() => socket.destroy(new Error('timeout')), given.timeout);
    socket.on('data', (data) => {
      resolve(data.toString('latin1').split(' ')[0] ?? '');
      socket.end();
    });
    socket.on('error', reject);
    socket.on('close', () => {
      clearTimeout(timer);
      reject(new Error('closed'));
    });
  });
}

/** @param {number} client */
async function runClient(client) {
  const address = `${given.base}.${Math.floor(client / 250)}.${1 + (client % 250)}`;
  const outcomes = await Promise.allSettled(Array.from({ length: given.connections }, () => ask(address)));
  /** @type {Set<string>} */
  const servers = new Set();
  for (const outcome of outcomes) {
    if (outcome.status === 'fulfilled') {
      result.ok++;
      servers.add(outcome.value);
    } else {
      result.broken++;
      count(result.errors, outcome.reason.code ?? outcome.reason.message);
    }
  }
  for (const server of servers) count(result.byServer, server);
  if (servers.size > 1) result.mixed++;
}

await inParallel(given.clients, given.concurrency, (index) => runClient(given.first + index));
process.stdout.write(`${JSON.stringify(result)}\n`);
process.exitCode = result.broken + result.mixed === 0 ? 0 : 1;
