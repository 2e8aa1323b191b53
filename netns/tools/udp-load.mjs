/**
 * UDP sessions, each from a port of its own, each of some datagrams that are answered one by one. The last line is
 * JSON: { sessions, answered, lost, mixed, wrongSource, wrongSize, byServer, byClient, errors }.
 *
 * Unconnected sockets (the default) take an answer from anybody, so that a source other than the VIP is seen
 * (`wrongSource`); connected ones are told of ICMP errors (`errors`). `mixed`: sessions that more than one server
 * answered.
 */
import { createSocket } from 'node:dgram';
import { isIPv6 } from 'node:net';
import { count, inParallel, options } from './options.mjs';

const given = options('UDP echo client', {
  host: '192.0.2.10',
  port: 53,
  sessions: 100,
  datagrams: 3,
  size: 64, // bytes of each datagram sent
  'reply-size': 64,
  connected: false,
  ttl: 64,
  concurrency: 20,
  timeout: 30_000, // for one answer; where none is to come, say how long to wait for it
  from: '',
  'by-client': false,
});
const sources = given.from === '' ? [] : given.from.split(',');
const result = {
  sessions: given.sessions,
  answered: 0,
  lost: 0,
  mixed: 0,
  wrongSource: 0,
  wrongSize: 0,
  byServer: /** @type {Record<string, number>} */ ({}),
  byClient: /** @type {Record<string, Record<string, number>>} */ ({}),
  errors: /** @type {Record<string, number>} */ ({}),
};

/** @param {string} address */
const plain = (address) => new URL(`http://[${address}]`).hostname;
const expectedSource = isIPv6(given.host) ? plain(given.host) : given.host;

/** @param {import('node:dgram').Socket} socket @param {string} text */
function transmit(socket, text) {
  const payload = text.padEnd(given.size, '.');
  if (given.connected) socket.send(payload);
  else socket.send(payload, given.port, given.host);
}

/**
 * Waits for one answer.
 * @param {import('node:dgram').Socket} socket
 * @param {string} expected the words `SESSION NUMBER` that it must repeat
 * @returns {Promise<string>} the server's name, '' when none came
 */
function answer(socket, expected) {
  return new Promise((resolve) => {
    /** @param {string} server */
    const finish = (server) => {
      clearTimeout(timer);
      socket.removeAllListeners('message');
      socket.removeAllListeners('error');
      socket.on('error', () => {}); // late ones belong to nobody
      resolve(server);
    };
    const timer = setTimeout(finish, given.timeout, '');
    socket.on('message', (message, sender) => {
      const source = isIPv6(sender.address) ? plain(sender.address) : sender.address;
      if (source !== expectedSource || sender.port !== given.port) result.wrongSource++;
      if (message.length !== given['reply-size']) result.wrongSize++;
      const [server = '', session, number] = message.toString('latin1', 0, 100).split(' ');
      if (`${session} ${number}` === expected) finish(server);
    });
    socket.on('error', (error) => {
      count(result.errors, /** @type {NodeJS.ErrnoException} */ (error).code ?? error.message);
      finish('');
    });
  });
}

/** @param {import('node:dgram').Socket} socket @param {string | undefined} address */
async function prepare(socket, address) {
  await new Promise((resolve) => socket.bind(0, address, () => resolve(undefined)));
  if (given.connected) {
    await new Promise((resolve) => socket.connect(given.port, given.host, () => resolve(undefined)));
  }
  socket.setTTL(given.ttl);
}

/** @param {number} session */
async function runSession(session) {
  const address = sources[session % sources.length];
  const socket = createSocket({ type: isIPv6(given.host) ? 'udp6' : 'udp4', recvBufferSize: 1 << 20 });
  const servers = new Set();
  await prepare(socket, address);
  for (let number = 0; number < given.datagrams; number++) {
    const expected = answer(socket, `${session} ${number}`);
    transmit(socket, `${session} ${number} ${given['reply-size']} `);
    const server = await expected;
    if (server === '') result.lost++;
    else {
      result.answered++;
      servers.add(server);
    }
  }
  for (const server of servers) {
    count(result.byServer, server);
    if (address && given['by-client']) {
      result.byClient[address] ??= {};
      count(result.byClient[address], server);
    }
  }
  if (servers.size > 1) result.mixed++;
  socket.close();
}

await inParallel(given.sessions, given.concurrency, runSession);
process.stdout.write(`${JSON.stringify(result)}\n`);
process.exitCode = result.lost === 0 ? 0 : 1;
