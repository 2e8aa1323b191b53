/**
 * Many TCP connections that live as long as they are told to, each of which must go on with one server.
 *
 * Opens them, then prints `ready`; each sends a numbered line every `interval` ms and waits for its answer. Commands on
 * standard input: `report`, `pause`, `resume`, `say`, `close N`, `open N`, `quit`; each is answered with
 * { open, answered, round, broken, wrongServer, resets, stalled, byServer, lost, errors }. `round` counts the rounds in which every open
 * connection was answered, so that "all of them still live" is a condition to wait for; `lost` are the broken ones by server.
 * Each broken one has its line on standard error.
 *
 * `insist` is for servers that answer a flood with SYN cookies: if a client's ACK and first line are lost and an ACK that it sends later
 * arrives, the server begins after that line, which it acknowledges and never reads.
 */
import { connect } from 'node:net';
import { answerQuestions, count, inParallel, options } from './options.mjs';

const given = options('Keeps many TCP connections alive', {
  host: '192.0.2.10',
  port: 80,
  connections: 100,
  concurrency: 50,
  interval: 250,
  insist: 0, // ms after which a connection that had no answer yet says another line; 0: never
  from: '',
});

/** @typedef {{ socket: import('node:net').Socket, server: string, sent: number, answered: number, rest: string, ending: boolean }} Talk */

/** @type {Set<Talk>} */
const talks = new Set();
const totals = { broken: 0, wrongServer: 0, resets: 0, answered: 0, pushed: 0 };
/** @type {Record<string, number>} */
const errors = {};
/** @type {Record<string, number>} */
const lost = {};
let paused = false;
const sources = given.from === '' ? [] : given.from.split(',');

/** @param {Talk} talk @param {string} line */
function heard(talk, line) {
  const [server = '', what = ''] = line.split(' ');
  if (talk.server === '') talk.server = server;
  else if (talk.server !== server) totals.wrongServer++;
  if (what === 'push') totals.pushed++;
  else {
    talk.answered = Number(what);
    totals.answered++;
  }
}

/** @param {number} index */
function openOne(index) {
  return /** @type {Promise<void>} */ (
    new Promise((resolve) => {
      const localAddress = sources[index % sources.length];
      const socket = connect({ host: given.host, port: given.port, ...(localAddress && { localAddress }) });
      // One that comes later joins the round of the others.
      const { round } = report();
      /** @type {Talk} */
      const talk = { socket, server: '', sent: round, answered: round, rest: '', ending: false };
      socket.setNoDelay(true);
      let port = 0;
      /** @type {NodeJS.Timeout | undefined} */
      let insisting;
      socket.on('connect', () => {
        port = socket.localPort ?? 0;
        talks.add(talk);
        say(talk);
        if (given.insist > 0) insisting = setInterval(say, given.insist, talk);
      });
      socket.on('data', (data) => {
        clearInterval(insisting);
        const lines = (talk.rest + data).split('\n');
        talk.rest = lines.pop() ?? '';
        for (const line of lines) heard(talk, line);
        resolve();
      });
      socket.on('error', (error) => {
        const code = /** @type {NodeJS.ErrnoException} */ (error).code ?? error.message;
        count(errors, code);
        if (code === 'ECONNRESET') totals.resets++;
      });
      socket.on('close', () => {
        clearInterval(insisting);
        // A reset met while writing can look like an end in good order: only what was asked for is one.
        if (!talk.ending) {
          totals.broken++;
          count(lost, talk.server);
          process.stderr.write(`broken: port ${port} to ${talk.server} after ${talk.answered} lines\n`);
        }
        talks.delete(talk);
        resolve();
      });
    })
  );
}

/** @param {Talk} talk */
function say(talk) {
  talk.sent++;
  talk.socket.write(`${talk.sent}\n`);
}

/** On all connections that wait for nothing; one line in flight for each: a stalled one waits, it does not pile up. */
function sayOnAll() {
  for (const talk of talks) if (talk.answered === talk.sent) say(talk);
}

function report() {
  /** @type {Record<string, number>} */
  const byServer = {};
  let round = Number.POSITIVE_INFINITY;
  let stalled = 0;
  for (const talk of talks) {
    count(byServer, talk.server);
    round = Math.min(round, talk.answered);
    if (talk.answered < talk.sent) stalled++;
  }
  return {
    open: talks.size,
    round: talks.size === 0 ? 0 : round,
    stalled,
    ...totals,
    byServer,
    lost,
    errors,
  };
}

/** Ends some connections in good order. @param {number} number */
function closeSome(number) {
  for (const talk of [...talks].slice(0, number)) {
    talk.ending = true;
    talk.socket.end();
  }
}

await inParallel(given.connections, given.concurrency, openOne);
process.stdout.write('ready\n');
setInterval(() => {
  if (!paused) sayOnAll();
}, given.interval);
answerQuestions(report, {
  pause: () => {
    paused = true;
  },
  resume: () => {
    paused = false;
  },
  say: sayOnAll,
  close: (number) => closeSome(Number(number)),
  open: (number) => {
    inParallel(Number(number), given.concurrency, openOne);
  },
});
