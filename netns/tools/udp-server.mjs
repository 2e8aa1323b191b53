/**
 * A UDP echo server: each datagram `SESSION NUMBER SIZE ...` is answered with `NAME SESSION NUMBER` padded to SIZE
 * bytes. `--bind` names local addresses (a server that holds a VIP must answer from it); without it, all of both
 * families. `report` on standard input is answered with { server, received }.
 */
import { createSocket } from 'node:dgram';
import { isIPv6 } from 'node:net';
import { answerQuestions, options } from './options.mjs';

const given = options('UDP echo server; several ports with commas', {
  name: 's1',
  port: '5300',
  bind: '0.0.0.0,::',
});
let received = 0;

/** @param {string} address @param {number} port @returns {Promise<void>} */
function serve(address, port) {
  const socket = createSocket({
    type: isIPv6(address) ? 'udp6' : 'udp4',
    ipv6Only: isIPv6(address),
    recvBufferSize: 4 << 20,
  });
  socket.on('message', (message, sender) => {
    received++;
    const [session = '', number = '', size = '0'] = message.toString('latin1').split(' ');
    const head = `${given.name} ${session} ${number} `;
    socket.send(head.padEnd(Number(size), '.'), sender.port, sender.address);
  });
  return new Promise((resolve, reject) => {
    socket.once('error', reject);
    socket.bind(port, address, resolve);
  });
}

const ports = given.port.split(',').map(Number);
await Promise.all(given.bind.split(',').flatMap((address) => ports.map((port) => serve(address, port))));
process.stdout.write(`listening on ${given.port}\n`);
answerQuestions(() => ({ server: given.name, received }));
