/**
 * Round trips on a few TCP connections to a talk-server.mjs: each sends its next line as soon as the last one was answered,
 * at most one every `every` ms.
 *
 * `look` on standard input is answered with { connections, broken, count, p50, p99, longest } of the round trips since the
 * last look (milliseconds; one that is not back yet counts with the time that it has taken so far).
 */
import { connect } from 'node:net';
import { answerQuestions, options } from './options.mjs';

const given = options('Round trips on long-lived TCP connections', {
  host: '192.0.2.10',
  port: 7000,
  connections: 4,
  every: 5,
});

/** @typedef {{ sentAt: number, waiting: boolean }} Probe */

/** @type {Set<Probe>} */
const probes = new Set();
let broken = 0;
/** @type {number[]} */
let taken = [];

/** @returns {Promise<void>} */
function open() {
  return new Promise((resolve) => {
    const socket = connect({ host: given.host, port: given.port });
    /** @type {Probe} */
    const probe = { sentAt: 0, waiting: false };
    const say = () => {
      probe.sentAt = performance.now();
      probe.waiting = true;
      socket.write('x\n');
    };
    socket.setNoDelay(true);
    socket.on('connect', () => {
      probes.add(probe);
      say();
      resolve();
    });
    socket.on('data', (data) => {
      if (!data.includes(10)) return;
      const spent = performance.now() - probe.sentAt;
      probe.waiting = false;
      taken.push(spent);
      setTimeout(say, Math.max(0, given.every - spent));
    });
    socket.on('error', () => {});
    socket.on('close', () => {
      broken++;
      probes.delete(probe);
      resolve();
    });
  });
}

function look() {
  const now = performance.now();
  const open = [...probes].filter(({ waiting }) => waiting).map(({ sentAt }) => now - sentAt);
  const all = [...taken, ...open].sort((a, b) => a - b);
  taken = [];
  const at = (/** @type {number} */ part) =>
    Number((all[Math.floor(part * (all.length - 1))] ?? 0).toFixed(2));
  return { connections: probes.size, broken, count: all.length, p50: at(0.5), p99: at(0.99), longest: at(1) };
}

await Promise.all(Array.from({ length: given.connections }, open));
process.stdout.write('ready\n');
answerQuestions(look);
