// @ts-nocheck: plain JavaScript on purpose: it runs in a network namespace of its own and imports the build.
// A TUN device `lw0` that nobody reads, and a UDP datagram (5 bytes, to port 53) and a TCP SYN (to port 80) toward it
// over and over. Prints `up`; takes the device down when its standard input says so; ends when that closes.

import { execFileSync } from 'node:child_process';
import { createSocket } from 'node:dgram';
import { connect } from 'node:net';
import { createInterface } from 'node:readline';

const { openTun } = await import(new URL('../../dist/io/tun.js', import.meta.url).href);

const ip = (...args) => execFileSync('ip', args);
openTun({ name: 'lw0', multiQueue: false, exclusive: true });
ip('addr', 'add', '10.9.0.1/24', 'dev', 'lw0');
ip('link', 'set', 'lw0', 'up');

const socket = createSocket('udp4');
socket.on('error', () => undefined);
setInterval(() => {
  socket.send('hello', 53, '10.9.0.7', () => undefined);
  const attempt = connect(80, '10.9.0.9');
  attempt.on('error', () => undefined);
  setTimeout(() => attempt.destroy(), 10);
}, 20);

const input = createInterface({ input: process.stdin });
input.on('line', () => ip('link', 'set', 'lw0', 'down'));
input.on('close', () => process.exit(0));
process.stdout.write('up\n');
