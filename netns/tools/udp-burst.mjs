/**
 * UDP sessions that begin with a burst: each client sends all its datagrams at once, before any is answered. The last
 * line is JSON: { sessions, datagrams, answered, lost, mixed, silent, wrongSource, byServer }; `mixed` are sessions that
 * more than one server answered, `silent` those that nobody did.
 *
 * Clients have addresses of their own (`--clients`, from `--base` on) or, by default, ports of their own.
 */
import { createSocket } from 'node:dgram';
import { isIPv6 } from 'node:net';
import { count, inParallel, options } from './options.mjs';

const given = options('UDP sessions that begin with a burst', {
  host: '192.0.2.10',
  port: 53,
  sessions: 1000,
  datagrams: 20,
  concurrency: 20,
  timeout: 1000, // ms after the last answer until the rest counts as lost
  firstPort: 0, // local port of the first session, the next of the next: the same sessions again; 0: the kernel's choice
  base: '', // first two bytes of local addresses, such as 198.18: session N is of address BASE.(N div 250).(1 + N mod 250)
});
const result = {
  sessions: given.sessions,
  datagrams: given.sessions * given.datagrams,
  answered: 0,
  lost: 0,
  mixed: 0,
  silent: 0,
  wrongSource: 0,
  byServer: /** @type {Record<string, number>} */ ({}),
};

/** @param {number} session */
function runSession(session) {
  const socket = createSocket({ type: isIPv6(given.host) ? 'udp6' : 'udp4', recvBufferSize: 1 << 18 });
  const address =
    given.base === '' ? undefined : `${given.base}.${Math.floor(session / 250)}.${1 + (session % 250)}`;
  /** @type {Set<string>} */
  const servers = new Set();
  let answered = 0;
  return /** @type {Promise<void>} */ (
    new Promise((resolve) => {
      const end = () => {
        socket.close();
        result.answered += answered;
        result.lost += given.datagrams - answered;
        if (servers.size > 1) result.mixed++;
        if (servers.size === 0) result.silent++;
        for (const server of servers) count(result.byServer, server);
        resolve();
      };
      let timer = setTimeout(end, given.timeout);
      socket.on('error', () => {});
      socket.on('message', (message, sender) => {
        if (sender.port !== given.port) result.wrongSource++;
        servers.add(message.toString('latin1').split(' ')[0] ?? '');
        clearTimeout(timer);
        if (++answered === given.datagrams) end();
        else timer = setTimeout(end, given.timeout);
      });
      const port = given.firstPort === 0 ? 0 : given.firstPort + session;
      socket.bind(port, address, () => {
        for (let number = 0; number < given.datagrams; number++) {
          socket.send(`${session} ${number} 64 `, given.port, given.host);
        }
      });
    })
  );
}

await inParallel(given.sessions, given.concurrency, runSession);
process.stdout.write(`${JSON.stringify(result)}\n`);
process.exitCode = result.mixed === 0 ? 0 : 1;
