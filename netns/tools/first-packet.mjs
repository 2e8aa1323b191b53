/**
 * One session, begun by one packet, at a moment that somebody else chooses: `http` opens a connection and asks for `/`,
 * `udp` sends a datagram.
 *
 * Prints `ready`. Commands on standard input: `go` begins (a UDP session sends its next datagram), `report`; each is
 * answered with { sent, answered, server, error, firstMs }: datagrams or connections begun, answers, who answered,
 * ms from the first `go` to the first answer.
 */
import { createSocket } from 'node:dgram';
import { request } from 'node:http';
import { answerQuestions, options } from './options.mjs';

const given = options('One session whose first packet is watched', {
  protocol: 'http',
  host: '192.0.2.10',
  port: 80,
  localPort: 20_000,
  timeout: 60_000, // ms until a connection is given up
});
const report = { sent: 0, answered: 0, server: '', error: '', firstMs: 0 };
let began = 0;

/** @param {string} server */
function heard(server) {
  if (report.answered++ === 0) report.firstMs = Math.round(performance.now() - began);
  report.server = server;
}

function openConnection() {
  const { host, port, localPort } = given;
  const asked = request({ host, port, localPort, agent: false }, (response) => {
    heard(String(response.headers['x-server'] ?? ''));
    response.resume();
  });
  // Its own `timeout` begins when it is connected.
  setTimeout(() => report.answered === 0 && asked.destroy(new Error('timeout')), given.timeout).unref();
  asked.on('error', (/** @type {NodeJS.ErrnoException} */ error) => {
    report.error = error.code ?? error.message;
  });
  asked.end();
}

async function prepareDatagrams() {
  const socket = createSocket('udp4');
  socket.on('message', (message) => heard(message.toString('latin1').split(' ')[0] ?? ''));
  await new Promise((resolve) => socket.bind(given.localPort, () => resolve(undefined)));
  return () => socket.send(`1 ${report.sent} 64 `, given.port, given.host);
}

const begin = given.protocol === 'udp' ? await prepareDatagrams() : openConnection;
process.stdout.write('ready\n');
answerQuestions(() => report, {
  go() {
    if (report.sent++ === 0) began = performance.now();
    begin();
  },
});
