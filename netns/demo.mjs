/**
 * The demo: a client, a router that hands every packet to another one of three dispatchers, four real servers, in
 * namespaces of this host. A thousand connections, and in the middle of them `kill -9` of one dispatcher and the removal
 * of one server. Exit 0 only if every connection was answered, by all four servers, and nothing is left behind.
 */
import { Document, isMap, visit } from 'yaml';
import { DemoView } from './demo-view.mjs';
import { Dispatchers, riseOf } from './dispatchers.mjs';
import { namespaces, waitFor } from './host.mjs';
import { createLab } from './laboratory.mjs';
import { protocolOf } from './scenarios/figures.mjs';
import { natService, SERVER_PORTS } from './services.mjs';
import { SprayedCapture } from './sprayed-capture.mjs';
import { Spraying, sharesSince } from './spraying.mjs';

const VIP = '192.0.2.10';
/** Requests with a connection each, and connections that live through everything. */
const REQUESTS = 800;
const LONG = 200;
const CONNECTIONS = REQUESTS + LONG;
/** Requests at a time, and a moment between them, so that a life ends in the middle of some. */
const LOAD = { connections: REQUESTS, concurrency: 32, pause: 120, timeout: 30_000 };
const LONG_INTERVAL_MS = 300;
const DIES = 'd2';
const LEAVES = 's4';
/** Shares of the requests after which something happens. */
const DEATH_AT = 0.3;
const REMOVAL_AT = 0.6;
const BAR_WIDTH = 40;

/** @param {string} text */
const title = (text) => void process.stdout.write(`\n== ${text}\n`);
/** @param {string} text */
const say = (text) => void process.stdout.write(`${text}\n`);
/** @param {string} text */
const indent = (text) => text.trimEnd().replaceAll(/^/gm, '    ');

/** A configuration as one would write it: what is small, on one line. @param {object} config */
function readable(config) {
  const document = new Document(config);
  visit(document, {
    Map: (_key, node) => {
      if (!node.items.some(({ value }) => isMap(value))) node.flow = node.items.length < 4;
    },
    Seq: (_key, node) => {
      node.flow = true;
    },
  });
  return document.toString({ lineWidth: 0 });
}

/** @param {string[]} servers names */
function services(servers) {
  const settings = { count: servers.length, scheduler: 'rr', lock: 'auto' };
  return {
    web: natService(VIP, 'tcp', 80, SERVER_PORTS.http, settings),
    talk: natService(VIP, 'tcp', 7000, SERVER_PORTS.talk, settings),
  };
}

/** @param {Record<string, number>} byServer */
function spreadTable(byServer) {
  const most = Math.max(1, ...Object.values(byServer));
  return Object.entries(byServer)
    .sort()
    .map(
      ([name, number]) =>
        `    ${name}  ${String(number).padStart(5)}  ${'#'.repeat((BAR_WIDTH * number) / most)}`,
    )
    .join('\n');
}

/** @param {readonly (readonly [string, string | number])[]} rows */
const table = (rows) =>
  rows.map(([name, value]) => `    ${name.padEnd(44)} ${String(value).padStart(8)}`).join('\n');

class Demo {
  /** @param {import('./laboratory.mjs').Lab} lab */
  constructor(lab) {
    this.lab = lab;
    this.spraying = new Spraying(lab);
    this.dispatchers = new Dispatchers(lab, services(lab.servers), {
      'confirm-timeout': '250ms',
      lease: '1s',
    });
  }

  async start() {
    const tools = /** @type {const} */ ([
      ['http-server', SERVER_PORTS.http],
      ['talk-server', SERVER_PORTS.talk],
    ]);
    await Promise.all(
      this.lab.servers.flatMap((name) =>
        tools.map(([tool, port]) => this.lab.startTool(name, tool, ['--name', name, '--port', port])),
      ),
    );
    title('The dispatchers: one configuration, one key, three names');
    say(indent(readable(this.dispatchers.config)));
    await this.dispatchers.start();
    await this.dispatchers.waitForPeers();
    say(indent(this.dispatchers.get('d1').cli('peers').stdout));
  }

  /** One connection as tcpdump sees it at each dispatcher. */
  async showOne() {
    title('One connection: each packet comes to another dispatcher (tcpdump at each)');
    const capture = new SprayedCapture(this.lab, this.spraying.dispatchers, `tcp and host ${VIP}`);
    await capture.start();
    await this.lab.exec('client', ['curl', '-s', `http://${VIP}/`]);
    await waitFor(() => capture.count(/Flags \[F/) >= 2, { what: 'both ends of the connection to close' });
    for (const line of await capture.stop()) say(`    ${line}`);
  }

  /** @returns {Promise<boolean>} whether all went well */
  async run() {
    title(`${CONNECTIONS} connections: ${REQUESTS} HTTP requests, ${LONG} that live through it all`);
    const before = { shares: this.spraying.counts(), counters: await this.dispatchers.total() };
    const long = await this.lab.startTool('client', 'long-lived', [
      ...['--host', VIP, '--port', 7000, '--connections', LONG, '--interval', LONG_INTERVAL_MS],
    ]);
    const words = Object.entries(LOAD).flatMap(([name, value]) => [`--${name}`, value]);
    const load = await this.lab.spawn(
      'client',
      this.lab.toolCommand('web-load', ['--url', `http://${VIP}`, ...words, '--live']),
    );
    const view = new DemoView(this.dispatchers, this.spraying, load, REQUESTS);
    view.start();
    await this.#strike(view);
    await load.exited;
    const { ok = 0, broken = 0, byServer = {}, errors } = JSON.parse(load.lines.at(-1) ?? '{}');
    await this.#allAnsweredAgain(long);
    const talk = await long.ask('report');
    await view.stop();
    const shares = sharesSince(this.spraying.counts(), before.shares);
    const done = protocolOf(riseOf(await this.dispatchers.total(), before.counters));
    const alive = LONG - talk.broken - talk.wrongServer;
    title('What came of it');
    say(`  ${ok + alive} of ${CONNECTIONS} answered\n${spreadTable(byServer)}\n`);
    say(
      table([
        ['connections', CONNECTIONS],
        ['broken', broken + talk.broken],
        ['wrong server', talk.wrongServer],
        ['packets of clients / of servers', sumOf(shares)],
        ['locks placed', done.placed],
        ['locks learnt from others', done.learnt],
        ['updates sent', done.updates],
        ['packets tunnelled to the lock', done.tunnelled],
        ['packets that waited for an answer', done.waited],
      ]),
    );
    say(`  (what ${DIES} counted died with it)`);
    if (errors && Object.keys(errors).length > 0) say(`  errors: ${JSON.stringify(errors)}`);
    return ok === REQUESTS && alive === LONG && Object.keys(byServer).length === this.lab.servers.length;
  }

  /** What goes wrong in the middle. @param {DemoView} view */
  async #strike(view) {
    await view.reached(DEATH_AT);
    view.note(`kill -9 of ${DIES}; the router takes its route away`);
    await this.dispatchers.kill9(DIES);
    this.spraying.withdraw(DIES);
    await view.reached(REMOVAL_AT);
    view.note(`${LEAVES} is taken out of the configuration (SIGHUP); what it serves lives on`);
    this.dispatchers.reload(services(this.lab.servers.filter((name) => name !== LEAVES)));
  }

  /** @param {import('./processes.mjs').LabProcess} long */
  async #allAnsweredAgain(long) {
    const { round } = await long.ask('report');
    await waitFor(
      async () => {
        const now = await long.ask('report');
        return now.broken > 0 || now.round > round;
      },
      { what: 'every long connection to be answered once more', everyMs: 200, deadlineMs: 60_000 },
    );
  }
}

/** @param {import('./spraying.mjs').Shares} shares */
function sumOf(shares) {
  const all = Object.values(shares);
  const sum = (/** @type {'requests' | 'replies'} */ what) =>
    all.reduce((total, share) => total + share[what], 0);
  return `${sum('requests')} / ${sum('replies')}`;
}

title('Namespaces of this host, joined by virtual cables');
const lab = createLab({ topology: 'cluster', dispatchers: 3, servers: 4, offloads: 'off' });
let good = false;
try {
  say(`                      +-- d1 --+
  client --- router --+-- d2 --+-- the dispatchers' own network
                |     +-- d3 --+
                +-- s1 s2 s3 s4`);
  const demo = new Demo(lab);
  await demo.start();
  await demo.showOne();
  good = await demo.run();
  await demo.dispatchers.stopAll();
} finally {
  lab.close();
}
const left = namespaces().filter((name) => name.startsWith(`${lab.name}-`));
title('Cleaned up');
say(left.length === 0 ? '  nothing is left on this host' : `  left behind: ${left.join(' ')}`);
say('  the same by hand: netns/lab up cluster');
process.exitCode = good && left.length === 0 ? 0 : 1;
say(
  process.exitCode === 0
    ? `\n${CONNECTIONS} of ${CONNECTIONS} connections answered by four servers, 0 broken`
    : '\nthe demo failed',
);
