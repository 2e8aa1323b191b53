/**
 * The demo: client, router, dispatcher and four real HTTP servers in namespaces of this host; a thousand real
 * requests, how they spread, the same connection before and after the dispatcher, its counters. Exit 0 only if every
 * request was answered, by all four servers, and nothing is left behind.
 */
import { stringify } from 'yaml';
import { startCapture } from './capture.mjs';
import { startDispatcher } from './dispatcher.mjs';
import { namespaces, waitFor } from './host.mjs';
import { createLab } from './laboratory.mjs';
import { natService, SERVER_PORTS } from './services.mjs';

const REQUESTS = 1000;
const BAR_WIDTH = 40;

/** @param {string} text */
function title(text) {
  process.stdout.write(`\n== ${text}\n`);
}

/** @param {string} text */
function say(text) {
  process.stdout.write(`${text}\n`);
}

/** @param {string} text */
const indent = (text) => text.trimEnd().replaceAll(/^/gm, '    ');

/**
 * One request while tcpdump watches both sides of the dispatcher.
 * @param {import('./laboratory.mjs').Lab} lab
 */
async function showOneConnection(lab) {
  const opening = 'tcp[tcpflags] & tcp-syn != 0';
  const outside = await startCapture(lab, 'd1', 'to-router', `${opening} and host 192.0.2.10`);
  const inside = await startCapture(lab, 'd1', 'to-lan', `${opening} and host 198.51.100.2`);
  await lab.exec('client', ['curl', '-s', 'http://192.0.2.10/']);
  await waitFor(() => outside.lines.length >= 2 && inside.lines.length >= 2, {
    what: 'two packets on both sides',
  });
  for (const [side, capture] of /** @type {const} */ ([
    ['towards the client: the virtual address', outside],
    ['towards the servers: one of them', inside],
  ])) {
    say(`  ${side}`);
    for (const line of await capture.stop()) say(`    ${line.replace(/^\S+ /, '').replace(/, seq.*/, '')}`);
  }
}

/** @param {import('./laboratory.mjs').Lab} lab */
async function sendRequests(lab) {
  const options = ['--requests', REQUESTS, '--concurrency', 20, '--progress'];
  const load = await lab.spawn('client', lab.toolCommand('http-load', options));
  load.child.stderr?.pipe(process.stderr);
  await load.exited;
  return JSON.parse(load.lines.at(-1) ?? '{}');
}

/** @param {Record<string, number>} byServer */
function spreadTable(byServer) {
  const most = Math.max(1, ...Object.values(byServer));
  return Object.entries(byServer)
    .sort()
    .map(([name, number]) => {
      const share = `${((100 * number) / REQUESTS).toFixed(1)} %`;
      return `    ${name}  ${String(number).padStart(5)}  ${share.padStart(6)}  ${'#'.repeat((BAR_WIDTH * number) / most)}`;
    })
    .join('\n');
}

/** @param {import('./laboratory.mjs').Lab} lab @returns {Promise<boolean>} */
async function demonstrate(lab) {
  say('  client --- router --- d1 (Latchway) --- switch --- s1 s2 s3 s4');
  await Promise.all(
    lab.servers.map((name) =>
      lab.startTool(name, 'http-server', ['--name', name, '--port', SERVER_PORTS.http]),
    ),
  );
  say('  four HTTP servers listen on port 8080');

  title('The dispatcher');
  const config = {
    services: { web: natService('192.0.2.10', 'tcp', 80, SERVER_PORTS.http, { scheduler: 'maglev' }) },
  };
  say(indent(stringify(config)));
  const dispatcher = await startDispatcher(lab, config);
  say('  ready');

  title('One connection, seen by tcpdump on both sides of the dispatcher');
  await showOneConnection(lab);

  title(`${REQUESTS} HTTP requests to http://192.0.2.10/, a connection each`);
  const { ok = 0, errors, byServer = {} } = await sendRequests(lab);
  say(`\n  ${ok} of ${REQUESTS} answered`);
  say(spreadTable(byServer));
  if (ok < REQUESTS) say(`  errors: ${JSON.stringify(errors)}`);

  title('What the dispatcher counted (latchway counters)');
  const counters = dispatcher.cli('counters');
  say(indent(counters.code === 0 ? counters.stdout : counters.stderr));
  await dispatcher.stop();
  return counters.code === 0 && ok === REQUESTS && Object.keys(byServer).length === lab.servers.length;
}

title('Namespaces of this host, joined by virtual cables');
const lab = createLab();
let good = false;
try {
  good = await demonstrate(lab);
} finally {
  lab.close();
}
const left = namespaces().filter((name) => name.startsWith(`${lab.name}-`));
title('Cleaned up');
say(left.length === 0 ? '  nothing is left on this host' : `  left behind: ${left.join(' ')}`);
say('  the same by hand: netns/lab up');
process.exitCode = good && left.length === 0 ? 0 : 1;
say(
  process.exitCode === 0
    ? `\n${REQUESTS} of ${REQUESTS} requests answered by four servers`
    : '\nthe demo failed',
);
