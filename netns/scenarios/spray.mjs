/**
 * `netns/scenarios/spray`: any packet to any dispatcher. Each packet of clients, and each answer of servers in `nat`, goes
 * to the next of 2 to 4 dispatchers; short connections, downloads compared byte for byte, bursts of UDP and clients
 * with several connections at once all keep one server each.
 *
 *   proof first    the router's counters: each dispatcher got its share, one packet apart
 *   broken         connections and downloads that did not come through whole: 0
 *   wrong server   connections of which two servers have seen packets (a set in each server's kernel): 0
 *   stalls         pauses over a second; each must be explained by a drop counter
 *   control        the same with the network between the dispatchers cut: connections break
 */
import { pathToFileURL } from 'node:url';
import { everyCombination, nameOf, pairwise } from '../cluster-services.mjs';
import { isEvenlySprayed } from '../spraying.mjs';
import { options } from '../tools/options.mjs';
import { ClusterLab } from './cluster-lab.mjs';
import { dropsOf, protocolOf } from './figures.mjs';
import { Verdict } from './verdict.mjs';

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
export const PATIENT = { 'confirm-timeout': '250ms', lease: '1s' };
const DOWNLOADS_AT_ONCE = 64;
const BURST = 20;
const FIRST_PORT = 10_000;

/** Judges one service after another in one lab. */
export class Spray {
  /** @param {ClusterLab} bed @param {(line: string) => void} [say] */
  constructor(bed, say) {
    this.bed = bed;
    this.verdict = new Verdict(say);
  }

  /** @param {string} tool @param {Record<string, string | number>} parameters */
  #tool(tool, parameters) {
    const words = Object.entries(parameters).flatMap(([name, value]) => [`--${name}`, value]);
    return this.bed.lab.tool('client', tool, words, { deadlineMs: 300_000 });
  }

  /**
   * Short connections, then downloads.
   * @param {Combination} of @param {Load} load
   */
  async web(of, load) {
    const { url } = this.bed.services.web(of);
    // Each connection has a port of its own: one that is used again would look torn to the servers' witness.
    const short = await this.#tool('web-load', {
      url,
      connections: load.connections,
      concurrency: 32,
      firstPort: FIRST_PORT,
    });
    const long = await this.#tool('web-load', {
      url,
      connections: load.downloads,
      concurrency: DOWNLOADS_AT_ONCE,
      bytes: load.bytes,
      firstPort: FIRST_PORT + load.connections,
    });
    return { short, long };
  }

  /** @param {string} name @param {{ short: any, long: any }} results @param {ReturnType<import('./cluster-lab.mjs').Witnesses['since']>} seen @param {{ assured?: boolean }} how */
  #judgeWeb(name, { short, long }, seen, { assured = true }) {
    const drops = dropsOf(seen.counters);
    const stalls = short.stalls + long.stalls;
    const figures = {
      connections: short.connections + long.connections,
      broken: short.broken + long.broken,
      wrongServer: seen.torn,
      stalls,
      longest: Math.max(short.longest, long.longest),
      ...(Object.keys(drops).length > 0 && { drops }),
      ...(seen.deviceDrops > 0 && { deviceDrops: seen.deviceDrops }),
      ...protocolOf(seen.counters),
    };
    const { broken } = figures;
    const explained = stalls === 0 || Object.keys(drops).length > 0 || seen.deviceDrops > 0;
    // A reset of a server is no sign: it answers what comes, late or twice, to a connection that its client has closed.
    const watched = seen.connections >= figures.connections - broken;
    const whole = broken === 0 && explained && watched && (seen.torn === 0 || !assured);
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
   * @param {{ assured?: boolean }} [how] `assured`: no server may see a packet that is not its own
   */
  async run(of, load, how = {}) {
    const name = `${this.bed.spraying.live.length} ${nameOf(of)}`;
    const before = this.bed.watch();
    const results = await this.web(of, load);
    const seen = before.since();
    if (this.bed.spraying.mode === 'spray') this.#judgeSpray(name, of, seen.shares);
    this.#judgeWeb(name, results, seen, how);
    if (of.lock !== 'announce') {
      const burst = await this.#udp(name, of, load);
      if (of.lock === 'confirm') this.#judgeLocks(name, seen.counters, burst);
      await this.#clients(name, of, load);
    }
    return { results, seen };
  }

  /** @param {string} name @param {Combination} of @param {Load} load */
  async #udp(name, of, load) {
    const { host, port } = this.bed.services.udp(of);
    const before = this.bed.watch();
    const burst = await this.#tool('udp-burst', {
      host,
      port,
      sessions: load.udpSessions,
      datagrams: BURST,
      ...(of.family === 4 && { base: '198.18' }),
    });
    const { counters, deviceDrops } = before.since();
    const drops = dropsOf(counters);
    const { mixed, lost, silent } = burst;
    const explained = lost === 0 || Object.keys(drops).length > 0 || deviceDrops > 0;
    this.verdict.claim(`${name}: UDP, one server each`, mixed === 0 && explained, {
      sessions: burst.sessions,
      mixed,
      lost,
      silent,
      ...(lost > 0 && { drops, deviceDrops }),
      ...protocolOf(counters),
    });
    return counters;
  }

  /** Over connections and bursts: of few connections none may send a second packet while its lock stands.
   * @param {string} name @param {...Counters} counters */
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

  /** @param {string} name @param {Combination} of @param {Load} load */
  async #clients(name, of, load) {
    if (of.family !== 4) return;
    const { host, port } = this.bed.services.talk(of);
    const before = this.bed.watch();
    const six = await this.#tool('client-load', { host, port, clients: load.clients, connections: 6 });
    const { counters } = before.since();
    this.verdict.claim(`${name}: affinity by client, one server each`, six.mixed + six.broken === 0, {
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
    this.bed.hub.cutAll();
    const { url } = this.bed.services.web(of);
    const cut = await this.#tool('web-load', { url, connections, concurrency: 32, timeout: 3000 });
    const dropped = this.bed.hub.dropped;
    this.bed.hub.heal();
    this.verdict.claim(
      'control: with the cluster network cut, connections break',
      cut.broken > 0 && dropped > 0,
      {
        connections,
        broken: cut.broken,
        datagramsCut: dropped,
      },
    );
  }
}

/**
 * @param {object} given
 * @param {number} given.dispatchers
 * @param {readonly Combination[]} given.combinations
 * @param {Load} given.load
 * @param {import('../laboratory.mjs').Offloads} [given.offloads]
 * @param {import('../spraying.mjs').SprayMode} [given.mode]
 * @param {object} [given.settings] keys of the section `cluster`
 * @param {boolean} [given.control]
 * @param {(line: string) => void} [given.say]
 * @returns {Promise<Verdict>}
 */
export async function spray({
  dispatchers,
  combinations,
  load,
  offloads,
  mode,
  settings,
  control = true,
  say,
}) {
  const bed = new ClusterLab({
    dispatchers,
    combinations,
    ...(offloads && { offloads }),
    ...(mode && { mode }),
    settings: settings ?? PATIENT,
  });
  try {
    await bed.start();
    const scenario = new Spray(bed, say);
    for (const of of combinations) await scenario.run(of, load);
    const unlike = combinations.find(
      ({ scheduler, mode: forwarding }) => scheduler === 'rr' && forwarding === 'nat',
    );
    if (control && unlike) await scenario.control(unlike, 40);
    return scenario.verdict;
  } finally {
    bed.close();
  }
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) {
  const given = options('Any packet to any dispatcher; --matrix runs everything, a quarter of an hour', {
    dispatchers: 3,
    mode: 'nat',
    scheduler: 'rr',
    lock: 'confirm',
    family: 4,
    ...FULL_LOAD,
    offloads: 'off',
    routing: 'spray',
    // All of a lab share the cores of one machine, where 20 ms without a turn are nothing unusual.
    confirmTimeout: PATIENT['confirm-timeout'],
    lease: PATIENT.lease,
    pairwise: false,
    matrix: false,
  });
  /** @type {4 | 6} */
  const family = given.family === 6 ? 6 : 4;
  const mode = given.mode === 'ipip' ? 'ipip' : 'nat';
  /** @type {Combination} */
  const one = { mode, scheduler: given.scheduler, lock: given.lock, family };
  const say = (/** @type {string} */ line) => void process.stdout.write(`${line}\n`);
  /** @type {Verdict[]} */
  const verdicts = [];
  for (const dispatchers of given.matrix ? [2, 3, 4] : [given.dispatchers]) {
    for (const offloads of given.matrix ? /** @type {const} */ (['off', 'on']) : [given.offloads]) {
      say(`${dispatchers} dispatchers, offloads ${offloads}`);
      verdicts.push(
        await spray({
          dispatchers,
          combinations: given.matrix ? everyCombination(family) : given.pairwise ? pairwise(family) : [one],
          load: given,
          offloads: /** @type {import('../laboratory.mjs').Offloads} */ (offloads),
          mode: /** @type {import('../spraying.mjs').SprayMode} */ (given.routing),
          settings: { 'confirm-timeout': given.confirmTimeout, lease: given.lease },
          say,
        }),
      );
    }
  }
  const broken = verdicts.flatMap((verdict) => verdict.broken);
  const claims = verdicts.reduce((sum, verdict) => sum + verdict.claims.length, 0);
  say(broken.length === 0 ? `\n${claims} claims hold` : `\nBROKEN: ${broken.join('\n  ')}`);
  process.exitCode = broken.length === 0 ? 0 : 1;
}
