/**
 * TCP connections on which nothing is ever said, as a forgotten client makes them, or a hostile one.
 *
 * One that is turned away, or closed, comes back. Prints `ready` when all are on their way; `report` on standard input is
 * answered with { open, ended }: how many stand now, and how often one was ended by the other side.
 */
import { connect } from 'node:net';
import { answerQuestions, options } from './options.mjs';

const given = options('Holds idle TCP connections', {
  host: '10.0.1.1',
  port: 9373,
  connections: 100,
  again: 100, // ms after which one that ended comes back
});
const totals = { open: 0, ended: 0 };

function hold() {
  const socket = connect({ host: given.host, port: given.port });
  let isOpen = false;
  socket.on('connect', () => {
    isOpen = true;
    totals.open++;
  });
  socket.on('error', () => {}); // `close` follows
  socket.on('close', () => {
    if (isOpen) totals.open--;
    totals.ended++;
    setTimeout(hold, given.again);
  });
  socket.resume();
}

for (let index = 0; index < given.connections; index++) hold();
process.stdout.write('ready\n');
answerQuestions(() => totals);
