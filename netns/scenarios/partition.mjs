/**
 * `netns/scenarios/partition`: the network between the dispatchers is cut for a while, d1 on one side and the others on the
 * other one, under load: any packet to any dispatcher, so that sessions which begin then are begun on both sides.
 *
 *   two-way        neither side hears the other
 *   one-way        the others do not hear d1; d1 hears them
 *   before         proofs: packets were cut, and the tables differ, which also is the control: nothing but healing ends it
 *   after          `latchway diff` finds no difference, conflicts were counted, sessions that had two servers have one,
 *                  connections that lived before go on: 0 broken, no wrong server
 *   control        a build that neither repairs streams nor compares digests: tables still differ when three periods of
 *                  digests have passed (by hand)
 */
import { pathToFileURL } from 'node:url';
import { waitFor } from '../host.mjs';
import { buildMutant } from '../mutant.mjs';
import { options } from '../tools/options.mjs';
import { ClusterLab, PATIENT } from './cluster-lab.mjs';
import { dropsOf, protocolOf } from './figures.mjs';
import { Verdict } from './verdict.mjs';

/** @typedef {import('../cluster-services.mjs').Combination} Combination */
/** @typedef {'two-way' | 'one-way'} Kind */

/** By chance: two sides that take servers in turn may well choose alike. @type {Combination} */
const ONE = { mode: 'nat', scheduler: 'random', lock: 'confirm', family: 4 };
const ALONE = 'd1';
const CLIENTS = Array.from({ length: 50 }, (_, index) => `198.18.1.${index + 1}`);
const FIRST_PORT = 20_000;
/** Of each session. */
const DATAGRAMS = 5;
const ROUNDS = 2;
/** When an answer counts as none: while the network is cut many are, afterwards none may be. */
const LOST_MS = { cut: 500, healed: 60_000 };
const DEADLINE_MS = 120_000;
const THREE_DIGESTS_MS = 15_000;
const FORGETFUL = [
  { file: 'cluster/repairs.js', from: 'const gone = [];', to: 'const gone = []; sequences = [];' },
  { file: 'cluster/digests.js', from: 'const mine = this.ranges;', to: 'const mine = undefined;' },
];

/** @typedef {{ connections: number, sessions: number, web: number, seconds: number }} Load `web`: connections tried in each turn of the load */

class Partition {
  /** @param {ClusterLab} bed @param {Load} load @param {(line: string) => void} [say] */
  constructor(bed, load, say) {
    this.bed = bed;
    this.load = load;
    this.verdict = new Verdict(say);
    this.nextPort = FIRST_PORT;
  }

  async begin() {
    const { host, port } = this.bed.services.talk(ONE);
    this.talk = await this.bed.lab.startTool('client', 'long-lived', [
      ...['--host', host, '--port', port, '--connections', this.load.connections],
      ...['--interval', 500, '--from', CLIENTS.join(',')],
    ]);
  }

  async #lived() {
    const { talk } = this;
    if (talk === undefined) throw new Error('nothing lives');
    const { round } = await talk.ask('report');
    /** @type {any} */
    let now;
    await waitFor(
      async () => {
        now = await talk.ask('report');
        return now.round >= round + ROUNDS || now.broken > 0;
      },
      { what: 'the connections to go on', everyMs: 200, deadlineMs: DEADLINE_MS },
    );
    return { open: now.open, broken: now.broken, wrongServer: now.wrongServer };
  }

  /** Sessions from these ports on. @param {number} firstPort @param {number} sessions @param {number} timeout ms @returns {Promise<any>} */
  async #burst(firstPort, sessions, timeout) {
    const { host, port } = this.bed.services.udp(ONE);
    const words = { host, port, firstPort, sessions, datagrams: DATAGRAMS, timeout };
    const flags = Object.entries(words).flatMap(([name, value]) => [`--${name}`, value]);
    return this.bed.lab.tool('client', 'udp-burst', flags);
  }

  /** Load for as long as the cut shall last. */
  async #loadMeanwhile() {
    const { seconds, sessions, web } = this.load;
    const first = this.nextPort;
    const until = performance.now() + seconds * 1000;
    const met = { sessions: 0, onTwoServers: 0, silent: 0, connections: 0, connectionsBroken: 0 };
    do {
      const { url } = this.bed.services.web(ONE);
      const flags = ['--url', url, '--connections', web, '--timeout', 1000];
      const [burst, short] = await Promise.all([
        this.#burst(this.nextPort, sessions, LOST_MS.cut),
        this.bed.lab.tool('client', 'web-load', flags),
      ]);
      this.nextPort += sessions;
      met.sessions += sessions;
      met.onTwoServers += burst.mixed;
      met.silent += burst.silent;
      met.connections += web;
      met.connectionsBroken += short.broken;
    } while (performance.now() < until);
    return { first, met };
  }

  /** What each dispatcher alone knows, or knows otherwise than the first one. */
  async differences() {
    const tables = await Promise.all(
      [...this.bed.dispatchers.running.values()].map(async (dispatcher) => {
        const flows = (await dispatcher.look('/flows')) ?? [];
        /** @type {Map<string, string>} */
        const table = new Map();
        for (const { client, server, service, state } of flows) {
          if (!/closing/.test(state)) table.set(`${service} ${client}`, server);
        }
        return table;
      }),
    );
    const keys = new Set(tables.flatMap((table) => [...table.keys()]));
    return [...keys].filter((key) => new Set(tables.map((table) => table.get(key))).size > 1).length;
  }

  /** Waits until nobody believes the other side to be there and well. */
  async #cutSeen() {
    const { dispatchers } = this.bed;
    await waitFor(
      async () => {
        for (const [name, dispatcher] of dispatchers.running) {
          for (const peer of (await dispatcher.look('/peers')) ?? []) {
            const across = (name === ALONE) !== (peer.name === ALONE);
            if (across && peer.state === 'up') return false;
          }
        }
        return true;
      },
      { what: 'both sides to miss one another' },
    );
  }

  /** Cut, loaded, looked at; still cut. @param {Kind} kind */
  async #cut(kind) {
    const { hub } = this.bed;
    hub.partition([ALONE], { oneWay: kind === 'one-way' });
    await this.#cutSeen();
    const { first, met } = await this.#loadMeanwhile();
    const differences = await this.differences();
    const { dropped } = hub;
    this.verdict.claim(
      `${kind}: cut, and the tables differ while it lasts`,
      dropped > 0 && differences > 0 && met.onTwoServers > 0,
      { seconds: this.load.seconds, datagramsCut: dropped, differences, ...met },
    );
    return { first, sessions: met.sessions };
  }

  /** @param {Kind} kind */
  async run(kind) {
    const { dispatchers, hub } = this.bed;
    const before = await this.bed.watch();
    const { first, sessions } = await this.#cut(kind);
    hub.heal();
    await dispatchers.waitForPeers();
    const left = await this.bed.converge(DEADLINE_MS);
    const { counters } = await before.since();
    const { conflicts, repaired, byTimeout } = protocolOf(counters);
    const view = dispatchers.get(ALONE).json('diff');
    this.verdict.claim(
      `${kind}: healed, all tables are equal, conflicts are counted`,
      left === '' && conflicts > 0,
      {
        ...(left !== '' && { left: left.slice(0, 500) }),
        entries: view.entries,
        conflicts,
        datagramsRepaired: repaired,
        byTimeout,
        drops: dropsOf(counters),
      },
    );
    const again = await this.#burst(first, sessions, LOST_MS.healed);
    const lived = await this.#lived();
    this.verdict.claim(
      `${kind}: healed, each session has one server, connections of before go on`,
      again.mixed === 0 && again.silent === 0 && lived.broken === 0 && lived.wrongServer === 0,
      { sessions, mixed: again.mixed, silent: again.silent, lost: again.lost, ...lived },
    );
  }

  /** Repair taken out of the build. */
  async control() {
    const { dispatchers, hub, lab } = this.bed;
    await this.talk?.stop('SIGKILL');
    await dispatchers.stopAll();
    await dispatchers.start(undefined, { program: buildMutant(lab, ...FORGETFUL) });
    await dispatchers.waitForPeers();
    hub.partition([ALONE]);
    await this.#cutSeen();
    await this.#burst(this.nextPort, this.load.sessions, LOST_MS.cut);
    hub.heal();
    await dispatchers.waitForPeers();
    await new Promise((resolve) => setTimeout(resolve, THREE_DIGESTS_MS));
    const { equal } = dispatchers.diff();
    const differences = await this.differences();
    this.verdict.claim(
      'control: without repairs and digests, tables stay different',
      !equal && differences > 0,
      {
        differences,
        afterMs: THREE_DIGESTS_MS,
      },
    );
  }
}

/** @type {Load} */
export const FULL_PARTITION = { connections: 200, sessions: 100, web: 40, seconds: 10 };
/** @type {Load} */
export const SMALL_PARTITION = { connections: 40, sessions: 30, web: 5, seconds: 1 };

/**
 * @param {Load & { control?: boolean, say?: (line: string) => void }} given `control`: with the build that repairs nothing
 * @returns {Promise<Verdict>}
 */
export async function partition({ control = false, say, ...load }) {
  const bed = new ClusterLab({ dispatchers: 3, combinations: [ONE], settings: PATIENT });
  try {
    await bed.start();
    const scenario = new Partition(bed, load, say);
    await scenario.begin();
    await scenario.run('two-way');
    await scenario.run('one-way');
    if (control) await scenario.control();
    return scenario.verdict;
  } finally {
    bed.close();
  }
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) {
  const given = options(
    'The network between the dispatchers is cut for a while, in both directions or in one',
    FULL_PARTITION,
  );
  const say = (/** @type {string} */ line) => void process.stdout.write(`${line}\n`);
  const { broken, claims } = await partition({ ...given, control: true, say });
  say(broken.length === 0 ? `\n${claims.length} claims hold` : `\nBROKEN: ${broken.join('\n  ')}`);
  process.exitCode = broken.length === 0 ? 0 : 1;
}
