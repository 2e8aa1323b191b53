/**
 * A TCP server for connections that live long: it answers each line with its name and that line, and, when told so,
 * sends lines of its own accord on every connection (`push MILLISECONDS` on standard input, 0 ends it).
 *
 * Any command is answered with { server, connections, accepted, closed, resets, errors }: `resets` are connections
 * that ended by a RST from the network.
 */
import { createServer } from 'node:net';
import { answerQuestions, count, options } from './options.mjs';

const given = options('TCP server for long-lived connections; several ports with commas', {
  name: 's1',
  port: '7000',
  host: '::',
});
/** @type {Set<import('node:net').Socket>} */
const sockets = new Set();
const report = {
  server: given.name,
  connections: 0,
  accepted: 0,
  closed: 0,
  resets: 0,
  errors: /** @type {Record<string, number>} */ ({}),
};
/** @type {NodeJS.Timeout | undefined} */
let pushing;

/** @param {import('node:net').Socket} socket */
function serve(socket) {
  let rest = '';
  report.accepted++;
  sockets.add(socket);
  socket.setNoDelay(true);
  socket.on('data', (data) => {
    const lines = (rest + data).split('\n');
    rest = lines.pop() ?? '';
    for (const line of lines) socket.write(`${given.name} ${line}\n`);
  });
  socket.on('error', (error) => {
    const code = /** @type {NodeJS.ErrnoException} */ (error).code ?? error.message;
    count(report.errors, code);
    if (code === 'ECONNRESET' || code === 'EPIPE') report.resets++;
  });
  socket.on('close', () => {
    sockets.delete(socket);
    report.closed++;
  });
}

/** @param {string} port @returns {Promise<void>} */
const listen = (port) =>
  new Promise((resolve) => {
    createServer(serve).listen({ port: Number(port), host: given.host, backlog: 4096 }, resolve);
  });

await Promise.all(given.port.split(',').map(listen));
process.stdout.write(`listening on ${given.port}\n`);
answerQuestions(() => ({ ...report, connections: sockets.size }), {
  push(milliseconds) {
    clearInterval(pushing);
    const every = Number(milliseconds);
    if (every > 0) {
      pushing = setInterval(() => {
        for (const socket of sockets) socket.write(`${given.name} push\n`);
      }, every);
    }
  },
});
