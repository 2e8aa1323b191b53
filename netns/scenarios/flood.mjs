/**
 * `netns/scenarios/flood`: SYNs of forged sources from one core, sprayed over the dispatchers, while connections live on.
 *
 *   before     connections that live long; nobody is in flood
 *   meanwhile  each dispatcher says `flood` of itself and of its peers; tables and locks stay small; the connections go on, and so do new
 *              ones, of the same service, that open in the middle of it
 *   after      the flag is gone by itself, and all connections go on
 *   control    with the threshold out of the way the same flood fills the table, and nobody says `flood`
 */
import { pathToFileURL } from 'node:url';
import { askSocket } from '../control-socket.mjs';
import { riseOf } from '../dispatchers.mjs';
import { waitFor } from '../host.mjs';
import { CLIENT } from '../single.mjs';
import { options } from '../tools/options.mjs';
import { ClusterLab, PATIENT } from './cluster-lab.mjs';
import { FloodPeak } from './flood-peak.mjs';
import { PacketLoad } from './packet-load.mjs';
import { Verdict } from './verdict.mjs';

/** @typedef {import('../cluster-services.mjs').Combination} Combination */

/** @type {Combination} */
const ONE = { mode: 'nat', scheduler: 'maglev', lock: 'auto', family: 4 };
/** Client addresses, so that sessions by client spread over the servers. */
const CLIENTS = Array.from({ length: 100 }, (_, index) => `198.18.1.${index + 1}`);
const LATE_CLIENTS = Array.from({ length: 20 }, (_, index) => `198.18.2.${index + 1}`);
const FORGED = '100.64.0.0/10';
const OUT_OF_THE_WAY = 10_000_000;
/** More than locks of real clients ever are, and far fewer than the SYNs of a flood. */
const MANY_LOCKS = 2_000;
/** A table so much larger holds all that the threshold lets in, however long the flood has to last. */
const ROOM = 16;
/** Of a flood that does not come to what it is for; each is as long as asked. */
const MOST_ROUNDS = 15;
/**
 * As fast as a core makes them, SYNs fill the devices' queues: the kernel drops a third of all that comes, and TCP's own repeats, twice as
 * far apart each time, may need longer than this for a client's first answer.
 */
const FULL_ROUNDS = 4;
/** A first line that a server's SYN cookie has swallowed is said again (netns/tools/long-lived.mjs). */
const INSIST_MS = 5000;
/** src/cluster/flood.ts: a rate is a token bucket of so many seconds. */
const BURST_SECONDS = 0.2;

class Flood {
  /** @param {Required<Pick<FloodOptions, 'connections' | 'seconds' | 'rate' | 'threshold' | 'capacity'>>} given @param {boolean} control @param {Verdict} verdict */
  constructor(given, control, verdict) {
    this.given = given;
    this.verdict = verdict;
    const threshold = control ? OUT_OF_THE_WAY : given.threshold;
    const capacity = control ? given.capacity : ROOM * given.capacity;
    this.bed = new ClusterLab({
      dispatchers: 2,
      combinations: [ONE],
      settings: PATIENT,
      kinds: ['talk'],
      more: { table: { capacity }, flood: { 'new-sessions-per-second': threshold } },
    });
    this.load = new PacketLoad(this.bed.lab);
    this.peak = new FloodPeak(this.bed);
  }

  get names() {
    return [...this.bed.dispatchers.running.keys()];
  }

  /** @param {readonly string[]} from @param {number} connections */
  talk(from, connections) {
    const { host, port } = this.bed.services.talk(ONE);
    return this.bed.lab.startTool('client', 'long-lived', [
      ...['--host', host, '--port', port, '--connections', connections, '--interval', 500],
      ...['--from', from.join(','), '--insist', INSIST_MS],
    ]);
  }

  async start() {
    const { lab } = this.bed;
    lab.must('router', 'ip', 'route', 'add', FORGED, 'via', CLIENT[4]);
    // What servers answer to the forged ends here: a client that resets it would help the servers.
    lab.must('client', 'ip', 'route', 'add', 'blackhole', FORGED);
    await this.bed.start();
  }

  /**
   * The flood, looked at all the time: as long as asked, and again until what it is for has happened.
   * @param {() => Promise<boolean>} enough @param {() => Promise<void>} [meanwhile] goes on until this has ended, too
   */
  async flood(enough, meanwhile = async () => {}) {
    const { host, port } = this.bed.services.talk(ONE);
    const { seconds, rate } = this.given;
    let ended = false;
    const looking = (async () => {
      while (!ended) {
        await this.peak.look();
        await new Promise((resolve) => setTimeout(resolve, 100));
      }
    })();
    let done = false;
    const other = meanwhile().finally(() => {
      done = true;
    });
    const syns = { vip: host, port, milliseconds: seconds * 1000, rate };
    const flooding = async () => {
      const total = { sent: 0, ms: 0 };
      const over = async (/** @type {number} */ round) =>
        round > 0 && (done || (rate === 0 && round >= FULL_ROUNDS)) && (await enough());
      for (let round = 0; round < MOST_ROUNDS && !(await over(round)); round++) {
        const { sent, ms } = await this.load.syns('client', syns);
        total.sent += sent;
        total.ms += ms;
      }
      ended = true;
      return { ...total, allDone: done };
    };
    const [total] = await Promise.all([flooding(), looking, other]);
    return total;
  }

  /** Waits until nobody says `flood`. */
  async calm() {
    const isCalm = async () => {
      const all = await Promise.all(
        this.names.map((name) => askSocket(this.bed.dispatchers.get(name).socket, '/status')),
      );
      return all.every(({ cluster }) => !cluster.flood && cluster.floodElsewhere.length === 0);
    };
    await waitFor(isCalm, { what: 'the flag to go', everyMs: 100 });
  }

  /** @param {import('../processes.mjs').LabProcess} talk @param {string} what */
  async goesOn(talk, what) {
    const { round } = await talk.ask('report');
    /** @type {any} */
    let now;
    await waitFor(
      async () => {
        now = await talk.ask('report');
        return now.round >= round + 2 || now.broken > 0;
      },
      { what, everyMs: 200 },
    );
    const { open, broken, wrongServer, resets, errors } = now;
    return { open, broken, wrongServer, resets, errors };
  }

  async run() {
    const { verdict, given } = this;
    await this.start();
    const known = await this.talk(CLIENTS, given.connections);
    await this.goesOn(known, 'all connections to be answered');
    await this.calm();
    const begun = performance.now();
    const before = await this.bed.dispatchers.total();
    const rises = async () => riseOf(await this.bed.dispatchers.total(), before);
    const manyCame = (/** @type {Record<string, number>} */ rise) =>
      (rise['stateless-forward'] ?? 0) > 4 * (rise['flow-opened'] ?? 0);
    const usedBefore = this.bed.dispatchers.get('d1').json('status').table.used;
    const { peak } = this;
    const seen = () => peak.floodHere > 0 && peak.floodElsewhere > 0 && peak.peersFlooding > 0;
    /** @type {import('../processes.mjs').LabProcess | undefined} */
    let late;
    const { sent, ms, allDone } = await this.flood(
      async () => seen() && manyCame(await rises()),
      async () => {
        // The clients come in the middle of it; below the full rate each has its first answer there.
        await waitFor(() => peak.floodHere > 0, { what: 'the flood to be seen' });
        late = await this.talk(LATE_CLIENTS, LATE_CLIENTS.length);
      },
    );
    const all = await rises();
    const rise = (/** @type {string} */ name) => all[name] ?? 0;
    const seconds = (performance.now() - begun) / 1000 + BURST_SECONDS;
    // And what shows life in the flood has its entry all the same.
    const mayOpen = Math.ceil(this.names.length * (given.threshold * seconds + LATE_CLIENTS.length));
    verdict.claim('SYNs of forged sources came, more than new sessions are taken', manyCame(all), {
      sent,
      aSecond: Math.round(sent / (ms / 1000)),
      stateless: rise('stateless-forward'),
      opened: rise('flow-opened'),
    });
    const whole = await this.goesOn(known, 'all connections to go on after the flood');
    verdict.claim(
      `${given.connections} known connections: none broken`,
      whole.open === given.connections && whole.broken + whole.wrongServer + whole.resets === 0,
      whole,
    );
    verdict.claim(
      'table and locks stay bounded',
      rise('flow-opened') <= mayOpen && peak.locks < MANY_LOCKS && rise('flow-evicted') === 0,
      {
        before: usedBefore,
        used: peak.used,
        opened: rise('flow-opened'),
        mayOpen,
        locks: peak.locks,
        waiting: peak.waiting,
      },
    );
    verdict.claim('the flag was seen: here, elsewhere, among peers', seen(), {
      looks: peak.looks,
      here: peak.floodHere,
      elsewhere: peak.floodElsewhere,
      peers: peak.peersFlooding,
    });
    await this.calm();
    verdict.claim('and is gone by itself', true, 'all dispatchers');
    const others =
      late === undefined ? undefined : await this.goesOn(late, 'late connections to go on after the flood');
    verdict.claim(
      `connections that came during the flood are answered${allDone ? ' in it' : ''}, and go on after it`,
      others !== undefined &&
        others.open === LATE_CLIENTS.length &&
        others.broken + others.wrongServer === 0 &&
        (allDone || given.rate === 0),
      { ...others, allAnsweredDuringIt: allDone },
    );
  }

  /** The threshold out of the way. */
  async runControl() {
    const { verdict, given } = this;
    await this.start();
    const { dispatchers } = this.bed;
    await this.flood(async () => ((await dispatchers.total())['flow-evicted'] ?? 0) > 0);
    const { used, floodHere } = this.peak;
    const total = await dispatchers.total();
    verdict.claim(
      'control: without the threshold the forged are remembered, and push out one another',
      (total['flow-evicted'] ?? 0) > 0 && (total['stateless-forward'] ?? 0) === 0 && floodHere === 0,
      {
        used,
        capacity: given.capacity,
        floodHere,
        evicted: total['flow-evicted'],
        opened: total['flow-opened'],
      },
    );
  }
}

/**
 * @typedef {object} FloodOptions
 * @property {number} [connections]
 * @property {number} [seconds] how long
 * @property {number} [rate] SYNs a second; 0: as many as one core makes
 * @property {number} [threshold] `flood.new-sessions-per-second`
 * @property {number} [capacity] of the table
 * @property {(line: string) => void} [say]
 */

/** @param {FloodOptions} [given] @returns {Promise<Verdict>} */
export async function flood({
  connections = 1000,
  seconds = 15,
  rate = 0,
  threshold = 1000,
  capacity = 16_384,
  say,
} = {}) {
  const verdict = new Verdict(say);
  for (const control of [false, true]) {
    const given = { connections, seconds, rate, threshold, capacity };
    const scenario = new Flood(given, control, verdict);
    try {
      await (control ? scenario.runControl() : scenario.run());
    } finally {
      scenario.bed.close();
    }
  }
  return verdict;
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) {
  const given = options('SYNs of forged sources, more than dispatchers remember', {
    connections: 1000,
    seconds: 15,
    rate: 0,
    threshold: 1000,
    capacity: 16_384,
  });
  const say = (/** @type {string} */ line) => void process.stdout.write(`${line}\n`);
  const { broken, claims } = await flood({ ...given, say });
  say(broken.length === 0 ? `\n${claims.length} claims hold` : `\nBROKEN: ${broken.join('\n  ')}`);
  process.exitCode = broken.length === 0 ? 0 : 1;
}
