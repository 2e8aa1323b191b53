/**
 * TCP connections from given addresses and given ports, so that the same 4-tuple can come again: each asks the server
 * (talk-server.mjs) for its name and is then reset, which leaves no TIME_WAIT behind.
 *
 * Connection C of each round is of address C mod (number of addresses) and of port `first-port` + C div (that number). The last
 * line is JSON: { connections, rounds, ok, broken, moved, byServer, byClient, errors, servers }; `byServer` says which
 * server each tuple met first, `moved` counts those that met another one in a later round, `byClient` is of all rounds, `servers` is the server of
 * each tuple in turn.
 */
import { connect } from 'node:net';
import { count, inParallel, options } from './options.mjs';

const given = options('TCP connections of chosen 4-tuples', {
  host: '192.0.2.10',
  port: 7000,
  connections: 1000,
  rounds: 1,
  concurrency: 20,
  from: '198.18.0.1', // comma-separated local addresses, used in turn
  'first-port': 20_000,
  timeout: 120_000,
});
const sources = given.from.split(',');
const result = {
  connections: given.connections,
  rounds: given.rounds,
  ok: 0,
  broken: 0,
  moved: 0,
  byServer: /** @type {Record<string, number>} */ ({}),
  byClient: /** @type {Record<string, Record<string, number>>} */ ({}),
  errors: /** @type {Record<string, number>} */ ({}),
  servers: /** @type {string[]} */ ([]),
};
const { servers } = result;

/** @param {string} localAddress @param {number} localPort @returns {Promise<string>} the server's name */
function askOnce(localAddress, localPort) {
  return new Promise((resolve, reject) => {
    const { host, port } = given;
    const socket = connect({ host, port, localAddress, localPort }, () => socket.write('name\n'));
    const timer = setTimeout(() => socket.destroy(new Error('timeout')), given.timeout);
    socket.on('data', (data) => {
      resolve(data.toString('latin1').split(' ')[0] ?? '');
      socket.resetAndDestroy();
    });
    socket.on('error', reject);
    socket.on('close', () => {
      clearTimeout(timer);
      reject(new Error('closed'));
    });
  });
}

/** @param {number} index */
async function ask(index) {
  const address = /** @type {string} */ (sources[index % sources.length]);
  try {
    const server = await askOnce(address, given['first-port'] + Math.floor(index / sources.length));
    result.ok++;
    if (servers[index] === undefined) {
      servers[index] = server;
      count(result.byServer, server);
    } else if (servers[index] !== server) result.moved++;
    result.byClient[address] ??= {};
    count(result.byClient[address], server);
  } catch (error) {
    result.broken++;
    const { code, message } = /** @type {NodeJS.ErrnoException} */ (error);
    count(result.errors, code ?? message);
  }
}

for (let round = 0; round < given.rounds; round++) {
  await inParallel(given.connections, given.concurrency, ask);
}
process.stdout.write(`${JSON.stringify(result)}\n`);
process.exitCode = result.broken === 0 ? 0 : 1;
