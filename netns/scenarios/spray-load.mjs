/**
 * The load of the scenario of spraying, one service after another in one lab, and its judgement: short connections,
 * downloads, bursts of UDP, clients with several connections at once; what is broken, torn, stalled, and what the
 * dispatchers did.
 */
import { nameOf } from '../cluster-services.mjs';
import { isEvenlySprayed } from '../spraying.mjs';
import { dropsOf, protocolOf } from './figures.mjs';
import { isCounted, isNothingLost } from './loss-signs.mjs';
import { Verdict } from './verdict.mjs';

/** @typedef {import('./cluster-lab.mjs').ClusterLab} ClusterLab */
/** @typedef {import('./cluster-lab.mjs').Witnesses} Witnesses */
/** @typedef {import('../cluster-services.mjs').Combination} Combination */
/** @typedef {import('./figures.mjs').Counters} Counters */

/**
 * @typedef {object} Load
 * @property {number} connections short ones
 * @property {number} downloads
 * @property {number} bytes of each download
 * @property {number} udpSessions of 20 datagrams
 * @property {number} clients with six connections each
 */

/** @type {Load} */
export const FULL_LOAD = { connections: 1000, downloads: 200, bytes: 1e6, udpSessions: 1000, clients: 500 };
/** @type {Load} */
export const SMALL_LOAD = { connections: 60, downloads: 4, bytes: 2e5, udpSessions: 30, clients: 10 };
const DOWNLOADS_AT_ONCE = 64;
const BURST = 20;
/** When what is not answered is lost: where nothing is, however late, nobody waits for it. */
const LOST_MS = { badWire: 1_000, else: 60_000 };
/** Below the ports that the kernel chooses by itself. */
const FIRST_PORT = 2000;
const LAST_PORT = 32_000;

/** Judges one service after another in one lab. */
export class Spray {
  /**
   * @param {ClusterLab} bed
   * @param {(line: string) => void} [say]
   * @param {{ badWire?: boolean, timed?: boolean }} [how] `badWire`: the network between the dispatchers loses, repeats and reorders. What
   *   is lost of a tunnel is lost, and a session may have two servers where a grant was given up by time-out, which is counted. `timed`: a
   *   stall that no counter explains is a fault; not where other work may take the processors away for a second
   */
  constructor(bed, say, { badWire = false, timed = true } = {}) {
    this.bed = bed;
    this.badWire = badWire;
    this.timed = timed;
    this.verdict = new Verdict(say);
    this.nextPort = FIRST_PORT;
  }

  /**
   * Local ports that no connection has had: one that comes again would look torn to the servers' witness, and a server
   * that still waits in TIME_WAIT may refuse it (ports of one client towards two VIPs are one to the server).
   * @param {number} count
   */
  #ports(count) {
    if (this.nextPort + count > LAST_PORT) this.nextPort = FIRST_PORT;
    const first = this.nextPort;
    this.nextPort += count;
    return first;
  }

  /** @param {string} tool @param {Record<string, string | number>} parameters */
  #tool(tool, parameters) {
    const words = Object.entries(parameters).flatMap(([name, value]) => [`--${name}`, value]);
    return this.bed.lab.tool('client', tool, words);
  }

  /**
   * Short connections, then downloads.
   * @param {Combination} of @param {Load} load
   */
  async web(of, load) {
    const { url } = this.bed.services.web(of);
    const short = await this.#tool('web-load', {
      url,
      connections: load.connections,
      concurrency: 32,
      firstPort: this.#ports(load.connections),
    });
    const long = await this.#tool('web-load', {
      url,
      connections: load.downloads,
      concurrency: DOWNLOADS_AT_ONCE,
      bytes: load.bytes,
      firstPort: this.#ports(load.downloads),
    });
    return { short, long };
  }

  /** Whether sessions with two servers are as many as may be. @param {number} torn @param {Counters} counters */
  #isExcused(torn, counters) {
    return torn <= (this.badWire ? protocolOf(counters).byTimeout : 0);
  }

  /** @param {string} name @param {{ short: any, long: any }} results @param {Awaited<ReturnType<import('./cluster-lab.mjs').Witnesses['since']>>} seen */
  #judgeWeb(name, { short, long }, seen) {
    const drops = dropsOf(seen.counters);
    const stalls = short.stalls + long.stalls;
    const figures = {
      connections: short.connections + long.connections,
      broken: short.broken + long.broken,
      wrongServer: seen.torn,
      stalls,
      longest: Math.max(short.longest, long.longest),
      ...(Object.keys(drops).length > 0 && { drops }),
      ...((stalls > 0 || isCounted(seen.signs)) && { signs: seen.signs }),
      ...protocolOf(seen.counters),
    };
    const { broken } = figures;
    const dropped = Object.keys(drops).length > 0 || isCounted(seen.signs);
    const explained = stalls === 0 || dropped || isNothingLost(seen.signs) || this.badWire || !this.timed;
    // A reset of a server is no sign: it answers what comes, late or twice, to a connection that its client has closed.
    const watched = seen.connections >= figures.connections - broken;
    const whole = broken === 0 && explained && watched && this.#isExcused(seen.torn, seen.counters);
    this.verdict.claim(`${name}: none broken`, whole, {
      ...figures,
      ...(broken > 0 && { errors: { ...short.errors, ...long.errors } }),
      seenByServers: seen.connections,
      serverRsts: seen.servers['Tcp.OutRsts'] ?? 0,
    });
  }

  /** @param {string} name @param {Combination} of @param {import('../spraying.mjs').Shares} shares */
  #judgeSpray(name, of, shares) {
    const { live } = this.bed.spraying;
    const requests = isEvenlySprayed(shares, 'requests', live);
    const replies =
      of.mode === 'nat'
        ? isEvenlySprayed(shares, 'replies', live)
        : live.every((dispatcher) => shares[dispatcher]?.replies === 0);
    this.verdict.claim(`${name}: sprayed`, requests && replies, shares);
  }

  /**
   * One service under load.
   * @param {Combination} of @param {Load} load
   */
  async run(of, load) {
    const name = `${this.bed.spraying.live.length} ${nameOf(of)}`;
    const before = await this.bed.watch();
    const results = await this.web(of, load);
    const seen = await before.since();
    if (this.bed.spraying.mode === 'spray') this.#judgeSpray(name, of, seen.shares);
    this.#judgeWeb(name, results, seen);
    if (of.lock !== 'announce') {
      const burst = await this.#udp(name, of, load, seen.now);
      if (of.lock === 'confirm') this.#judgeLocks(name, seen.counters, burst.counters);
      await this.#clients(name, of, load, burst.now);
    }
    return { results, seen };
  }

  /** @param {string} name @param {Combination} of @param {Load} load @param {Witnesses} before */
  async #udp(name, of, load, before) {
    const { host, port } = this.bed.services.udp(of);
    const burst = await this.#tool('udp-burst', {
      host,
      port,
      sessions: load.udpSessions,
      datagrams: BURST,
      timeout: this.badWire ? LOST_MS.badWire : LOST_MS.else,
      ...(of.family === 4 && { base: '198.18' }),
    });
    const { counters, signs, now } = await before.since();
    const drops = dropsOf(counters);
    const { mixed, lost, silent } = burst;
    const explained = lost === 0 || Object.keys(drops).length > 0 || isCounted(signs) || this.badWire;
    const whole = this.#isExcused(mixed, counters) && explained;
    this.verdict.claim(`${name}: UDP, one server each`, whole, {
      sessions: burst.sessions,
      mixed,
      lost,
      silent,
      ...(lost > 0 && { drops, signs }),
      ...protocolOf(counters),
    });
    return { counters, now };
  }

  /**
   * Over connections and bursts: of few connections none may send a second packet while its lock stands.
   * @param {string} name @param {...Counters} counters
   */
  #judgeLocks(name, ...counters) {
    if (this.bed.spraying.mode !== 'spray') return;
    const parts = counters.map(protocolOf);
    const sum = (/** @type {'placed' | 'learnt' | 'tunnelled'} */ key) =>
      parts.reduce((total, part) => total + part[key], 0);
    const [placed, learnt, tunnelled] = [sum('placed'), sum('learnt'), sum('tunnelled')];
    this.verdict.claim(
      `${name}: locks were placed, learnt, tunnelled under`,
      placed > 0 && learnt > 0 && tunnelled > 0,
      { placed, learnt, tunnelled },
    );
  }

  /** @param {string} name @param {Combination} of @param {Load} load @param {Witnesses} before */
  async #clients(name, of, load, before) {
    if (of.family !== 4) return;
    const { host, port } = this.bed.services.talk(of);
    const six = await this.#tool('client-load', { host, port, clients: load.clients, connections: 6 });
    const { counters } = await before.since();
    const whole = six.broken === 0 && this.#isExcused(six.mixed, counters);
    this.verdict.claim(`${name}: affinity by client, one server each`, whole, {
      clients: six.clients,
      mixed: six.mixed,
      broken: six.broken,
      ...(six.broken > 0 && { errors: six.errors }),
      ...protocolOf(counters),
    });
  }

  /**
   * The cause taken away: the dispatchers do not hear each other, and in-turn scheduling makes them choose apart.
   * @param {Combination} of one whose scheduler is `rr` @param {number} connections
   */
  async control(of, connections) {
    const { hub, services } = this.bed;
    if (this.badWire) await hub.putWire({ loss: 100 });
    else hub.cutAll();
    const { url } = services.web(of);
    const cut = await this.#tool('web-load', { url, connections, concurrency: 32, timeout: 3000 });
    const dropped = this.badWire ? (await hub.removeWire()).lost : hub.dropped;
    if (!this.badWire) hub.heal();
    this.verdict.claim(
      `control: with ${this.badWire ? 'a wire that loses everything' : 'the cluster network cut'}, connections break`,
      cut.broken > 0 && dropped > 0,
      {
        connections,
        broken: cut.broken,
        datagramsCut: dropped,
      },
    );
  }

  /**
   * That the wire was as bad as it was meant to be, and what the dispatchers did about it. Takes it out.
   * @param {import('../hub.mjs').WireOptions} asked
   */
  async judgeWire(asked) {
    const report = await this.bed.hub.removeWire();
    const { packets, lost, duplicated, reordered } = report;
    const counters = await this.bed.dispatchers.total();
    const repaired = counters['cluster-datagrams-repaired'] ?? 0;
    const replayed = counters['cluster-refused-replay'] ?? 0;
    const percent = (/** @type {number} */ part, /** @type {number} */ whole) =>
      Number(((100 * part) / Math.max(1, whole)).toFixed(1));
    const left = packets - lost;
    this.verdict.claim(
      'the wire was bad, and what it lost was repaired',
      Object.entries({ loss: lost, duplicate: duplicated, reorder: reordered }).every(
        ([name, count]) => count > 0 || !asked[/** @type {keyof typeof asked} */ (name)],
      ) && repaired > 0,
      {
        packets,
        lostPercent: percent(lost, packets),
        duplicatedPercent: percent(duplicated, left),
        reorderedPercent: percent(reordered, left + duplicated),
        datagramsRepaired: repaired,
        repeatsRefused: replayed,
        byTimeout: counters['lock-granted-by-timeout'] ?? 0,
      },
    );
  }
}
