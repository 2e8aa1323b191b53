/**
 * `netns/scenarios/wire-cost`: what one new session costs between dispatchers, in datagrams and bytes to each peer, with 2 and with 4 dispatchers.
 *
 *   flows, announce   as many UDP flows as the dispatchers take, each packet to the next dispatcher: lock and entry in one datagram with those of others
 *   flows, confirm    the same with locks that all must grant
 *   connections       short TCP connections, their end included
 *
 * From the dispatchers' counters, less what heartbeats and digests take in quiet; and again from a counter in the hub, which sees IP and UDP
 * headers too (28 bytes). `one at a time` is the price without company: one record in a datagram.
 */
import { pathToFileURL } from 'node:url';
import { askSocket } from '../control-socket.mjs';
import { waitFor } from '../host.mjs';
import { SERVER_PORTS } from '../services.mjs';
import { CLIENT } from '../single.mjs';
import { options } from '../tools/options.mjs';
import { ClusterLab, PATIENT } from './cluster-lab.mjs';
import { Verdict } from './verdict.mjs';

/** @typedef {import('../cluster-services.mjs').Combination} Combination */

/** @type {Combination} */
const ANNOUNCE = { mode: 'nat', scheduler: 'maglev', lock: 'announce', family: 4 };
/** @type {Combination} */
const CONFIRM = { mode: 'nat', scheduler: 'maglev', lock: 'confirm', family: 4 };
const FORGED = '100.64.0.0/10';
const IP_UDP_SIZE = 28;
const QUIET_MS = 4_000;
const AIM = 64;
const ROUNDS = 4;
/** Datagrams that pass between two looks at the counters. */
const MAY_DIFFER = 50;

const SENT = 'cluster-datagrams-sent';
const BYTES = 'cluster-bytes-sent';

/** @typedef {{ at: number, datagrams: number, bytes: number, opened: number, refreshes: number, hubDatagrams: number, hubBytes: number }} Look */

class WireCost {
  /** @param {number} dispatchers @param {Verdict} verdict */
  constructor(dispatchers, verdict) {
    this.dispatchers = dispatchers;
    this.verdict = verdict;
    this.bed = new ClusterLab({
      dispatchers,
      combinations: [ANNOUNCE, CONFIRM],
      settings: PATIENT,
      kinds: ['web'],
      more: { flood: { 'new-sessions-per-second': 10_000_000 }, timeouts: { udp: '10m' } },
    });
    /** A second, in quiet. */
    this.quiet = { datagrams: 0, bytes: 0 };
    this.networks = 0;
  }

  async start() {
    const { bed } = this;
    const { lab } = bed;
    lab.must('router', 'ip', 'route', 'add', FORGED, 'via', CLIENT[4]);
    lab.nftables(
      'hub',
      `table inet lab_cost {
  counter cost { }
  chain counting {
    type filter hook forward priority filter
    udp dport 7373 counter name cost
  }
}
`,
    );
    await bed.start();
    await Promise.all(
      lab.servers.map((name, index) =>
        lab.startTool(name, 'flow-generator-server', ['--number', index + 1, '--port', SERVER_PORTS.udp]),
      ),
    );
  }

  /** @returns {Promise<Look>} */
  async look() {
    const all = await Promise.all(
      [...this.bed.dispatchers.running.values()].map(({ socket }) => askSocket(socket, '/counters')),
    );
    const sum = (/** @type {string} */ name) =>
      all.reduce((total, counters) => total + (counters[name] ?? 0), 0);
    const { nftables } = JSON.parse(this.bed.lab.must('hub', 'nft', '-j', 'list', 'counters'));
    const { counter } = nftables.find((/** @type {any} */ one) => one.counter?.name === 'cost');
    return {
      at: performance.now(),
      datagrams: sum(SENT),
      bytes: sum(BYTES),
      opened: sum('flow-opened'),
      refreshes: sum('refresh-sent'),
      hubDatagrams: counter.packets,
      hubBytes: counter.bytes,
    };
  }

  async calm() {
    const before = await this.look();
    await new Promise((resolve) => setTimeout(resolve, QUIET_MS));
    const after = await this.look();
    const seconds = (after.at - before.at) / 1000;
    this.quiet = {
      datagrams: (after.datagrams - before.datagrams) / seconds,
      bytes: (after.bytes - before.bytes) / seconds,
    };
    this.verdict.say(
      `  quiet   ${this.dispatchers} dispatchers: ${this.quiet.datagrams.toFixed(1)} datagrams and ${Math.round(this.quiet.bytes)} bytes a second, all together`,
    );
  }

  /**
   * Judges the cost of what `load` opens.
   * @param {string} what @param {number} sessions at least so many @param {() => Promise<void>} load @param {boolean} [hasAim]
   */
  async measure(what, sessions, load, hasAim = false) {
    const before = await this.look();
    await load();
    const after = await this.look();
    const seconds = (after.at - before.at) / 1000;
    const opened = after.opened - before.opened;
    const share = opened * (this.dispatchers - 1);
    const datagrams = after.datagrams - before.datagrams - this.quiet.datagrams * seconds;
    const bytes = after.bytes - before.bytes - this.quiet.bytes * seconds;
    const hubDatagrams = after.hubDatagrams - before.hubDatagrams - this.quiet.datagrams * seconds;
    const hubBytes =
      after.hubBytes - before.hubBytes - (this.quiet.bytes + this.quiet.datagrams * IP_UDP_SIZE) * seconds;
    const each = (/** @type {number} */ value, digits = 1) => Number((value / share).toFixed(digits));
    const bytesEach = each(bytes);
    // The counters and the hub look one after the other: what passes in between is theirs to differ by.
    const agrees = Math.abs(hubDatagrams - datagrams) < Math.max(0.05 * datagrams, MAY_DIFFER);
    const inAim = !hasAim || bytesEach <= AIM;
    this.verdict.claim(
      `${this.dispatchers} dispatchers, ${what}`,
      opened >= sessions && agrees && bytesEach > 0 && inAim,
      {
        opened,
        aSecond: Math.round(opened / seconds),
        'datagrams a session and peer': each(datagrams, 3),
        'bytes a session and peer': bytesEach,
        'on the wire': each(hubBytes),
        'sessions a datagram': Number((share / datagrams).toFixed(1)),
        hubAgrees: agrees,
      },
    );
  }

  /** @param {Combination} of @param {number} flows @param {number} window in flight at once @param {number} first the flows' first address is 100.N.0.0 */
  async flows(of, flows, window, first) {
    const { lab, services } = this.bed;
    const { host, port } = services.udp(of);
    const generator = await lab.startTool('client', 'flow-generator', [
      ...['--vip', host, '--port', port, '--first', `100.${first}.0.0`, '--addresses', 1024],
      ...['--flows', flows, '--window', window, '--device', `gen${++this.networks}`],
    ]);
    // It gives up where nothing answers for seconds, as on a machine that is busy with others: those that are known cost nothing more.
    for (let round = 1, unanswered = flows; unanswered > 0 && round <= ROUNDS; round++) {
      await generator.ask(`round ${round}`);
      await waitFor(async () => !(await generator.ask('report')).running, {
        deadlineMs: 300_000,
        everyMs: 50,
        what: 'all flows to be asked',
      });
      ({ unanswered } = await generator.ask('report'));
    }
    await generator.stop();
  }

  /** Short connections. @param {number} connections @param {number} concurrency @param {number} firstPort */
  async web(connections, concurrency, firstPort) {
    const { url } = this.bed.services.web(ANNOUNCE);
    await this.bed.lab.tool('client', 'web-load', [
      ...['--url', url, '--connections', connections, '--concurrency', concurrency, '--firstPort', firstPort],
    ]);
  }

  /** @param {number} flows @param {number} connections */
  async run(flows, connections) {
    await this.start();
    await this.calm();
    await this.measure('flows, announce', flows * 0.95, () => this.flows(ANNOUNCE, flows, 2_048, 64), true);
    await this.measure('flows, confirm', flows * 0.45, () => this.flows(CONFIRM, flows / 2, 2_048, 72));
    await this.measure('connections', connections, () => this.web(connections, 64, 2_000));
    const few = Math.ceil(connections / 10);
    await this.measure('connections, one at a time', few, () => this.web(few, 1, 20_000));
  }
}

/**
 * @param {{ dispatchers?: readonly number[], flows?: number, connections?: number, say?: (line: string) => void }} [given]
 * @returns {Promise<Verdict>}
 */
export async function wireCost({ dispatchers = [2, 4], flows = 100_000, connections = 2_000, say } = {}) {
  const verdict = new Verdict(say);
  for (const count of dispatchers) {
    const scenario = new WireCost(count, verdict);
    try {
      await scenario.run(flows, connections);
    } finally {
      scenario.bed.close();
    }
  }
  return verdict;
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) {
  const given = options('What a new session costs between dispatchers', {
    flows: 100_000,
    connections: 2_000,
  });
  const say = (/** @type {string} */ line) => void process.stdout.write(`${line}\n`);
  const { broken, claims } = await wireCost({ ...given, say });
  say(broken.length === 0 ? `\n${claims.length} claims hold` : `\nBROKEN: ${broken.join('\n  ')}`);
  process.exitCode = broken.length === 0 ? 0 : 1;
}
