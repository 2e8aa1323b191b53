/**
 * `netns/scenarios/million-flows`: as many flows in the table as it has rows, by real packets.
 *
 *   generator's TUN -- client -- router -- d1 (Latchway) -- s1 .. s4 (UDP echo)
 *
 *   1. round 1 opens the flows: every tuple is answered, from the VIP, and the table holds exactly so many;
 *   2. round 2 asks every tuple again in another order: each is answered by the same server as before, and no flow is opened
 *      (a look-up that failed would open one). Meanwhile `flows --json` lists the whole table, each flow once, and traffic
 *      goes on; memory an entry is read; `flows --client` finds what it should;
 *   3. a reload shortens the time-out: the table empties, and no server has a flow left;
 *   4. a reload lengthens it again: as many flows go in once more.
 *
 * `--capacity` below the flows and `--kill9` (a crash and a restart between the rounds) must end in a broken claim.
 */
import { pathToFileURL } from 'node:url';
import { waitFor } from '../host.mjs';
import { FIRST_PORT, ipv4Text } from '../tools/flow-generator-packet.mjs';
import { options } from '../tools/options.mjs';
import { ADDRESSES, FlowLab } from './flow-lab.mjs';
import { Verdict } from './verdict.mjs';

/**
 * @typedef {object} MillionOptions
 * @property {number} flows
 * @property {number} [capacity] rows of the table; default 1,048,576
 * @property {number} [queues] of the device; default 1
 * @property {boolean} [kill9] crash the dispatcher between the rounds
 * @property {(line: string) => void} [say]
 */

const CAPACITY = 1_048_576;
/** Bytes an entry may take at the very most, index and reverse look-up included. */
const ENTRY_SIZE_MAX = 96;
const LONG = '1h';
const SHORT = '5s';
const LOOK_EVERY_MS = 200;
const WATCHED_FLOWS_MIN = 50_000;

/** One run of it. */
class MillionFlows extends FlowLab {
  /** @param {MillionOptions} given */
  constructor(given) {
    super(given.flows, { capacity: given.capacity ?? CAPACITY, queues: given.queues ?? 1 }, LONG);
    this.kill9 = given.kill9 ?? false;
    this.verdict = new Verdict(given.say);
    this.say = this.verdict.say;
    this.opened = 0;
  }

  async askAndJudge() {
    this.judgeRound(await this.askAll());
  }

  /** @param {any} report */
  judgeRound(report) {
    const { asked, answered, repeated, unanswered, moved, seconds, longestGapMs } = report;
    const { wrongSource, wrongChecksum, wrongPayload } = report;
    const rate = Math.round(answered / seconds);
    this.say(
      `          round ${this.round}: ${answered} flows in ${seconds.toFixed(1)} s (${rate}/s),` +
        ` ${asked} packets, ${repeated} repeated, longest gap ${longestGapMs.toFixed(0)} ms`,
    );
    const whole = wrongSource + wrongChecksum + wrongPayload === 0;
    this.verdict.claim(`round ${this.round}: every flow is answered`, unanswered === 0, {
      answered,
      unanswered,
    });
    this.verdict.claim('each answer comes from the VIP and is whole', whole, {
      wrongSource,
      wrongChecksum,
      wrongPayload,
    });
    this.verdict.claim('by the server that answered the flow before', moved === 0, { moved });
  }

  /** The table holds the flows, nothing was dropped and none given up. */
  judgeTable() {
    const counters = this.counters();
    const used = this.used();
    const drops = Object.entries(counters).filter(([name, count]) => name.startsWith('drop-') && count !== 0);
    this.verdict.claim('the table holds exactly these flows', used === this.flows, {
      used,
      capacity: this.size.capacity,
    });
    // Those that gave way may not have come again yet: then each was opened once all the same.
    const once = counters['flow-opened'] === this.opened + this.flows && counters['flow-evicted'] === 0;
    this.verdict.claim('each was opened once', once, {
      'flow-opened': counters['flow-opened'],
      'flow-evicted': counters['flow-evicted'],
    });
    this.verdict.claim('no packet was dropped', drops.length === 0, Object.fromEntries(drops));
    if (this.size.queues === 1) return;
    const handed = counters['to-dispatcher'];
    this.verdict.claim('reader threads had a part in it', handed > 0, { 'to-dispatcher': handed });
  }

  judgeMemory() {
    const { table } = this.daemon.json('status');
    const entry = table.bytes / table.capacity;
    const resident = this.residentKb();
    const grown = (1024 * (resident - this.residentAtStartKb)) / this.flows;
    this.verdict.claim('memory an entry', entry <= ENTRY_SIZE_MAX, {
      bytes: Number(entry.toFixed(1)),
      'table MiB': Math.round(table.bytes / 1_048_576),
      'process MiB': Math.round(resident / 1024),
      'of which grown, bytes a flow': Math.round(grown),
    });
  }

  /** Looks at the generator until told to stop. @param {() => boolean} goesOn */
  async watch(goesOn) {
    let looks = 0;
    let moved = 0;
    for (let last = await this.ask('report'); goesOn(); ) {
      await new Promise((resolve) => setTimeout(resolve, LOOK_EVERY_MS));
      const now = await this.ask('report');
      if (last.running && now.running && last.round === now.round) {
        looks++;
        if (now.answered > last.answered) moved++;
      }
      last = now;
    }
    return { looks, moved };
  }

  /** Rounds of known flows while the table is listed, until the listing is done. */
  async askAndList() {
    const before = this.counters()['flow-opened'];
    const begun = performance.now();
    let seconds = 0;
    const list = this.listFlows().finally(() => {
      seconds = Number(((performance.now() - begun) / 1000).toFixed(1));
    });
    const watch = this.watch(() => seconds === 0);
    do await this.askAndJudge();
    while (seconds === 0);
    const { rows, distinct, odd, code } = await list;
    const whole = code === 0 && rows === this.flows && distinct === rows;
    this.verdict.claim('`flows --json` lists each flow once', whole, { rows, distinct, odd, seconds });
    const { looks, moved } = await watch;
    // A few flows are asked before anybody can look twice.
    const goesOn = this.flows < WATCHED_FLOWS_MIN || moved > 0;
    this.verdict.claim('traffic goes on meanwhile', goesOn, { looks, moved });
    const after = this.counters()['flow-opened'];
    this.verdict.claim('no look-up failed', after === before, { 'flow-opened': after, before });
  }

  judgeFilter() {
    const flow = Math.floor(this.flows / 3);
    const address = ipv4Text(this.tuples.address(flow));
    const expected = Math.ceil((this.flows - (flow % ADDRESSES)) / ADDRESSES);
    const begun = performance.now();
    const all = this.daemon.json('flows', '--client', address).length;
    const seconds = Number(((performance.now() - begun) / 1000).toFixed(2));
    const one = this.daemon.json('flows', '--client', `${address}:${this.tuples.clientPort(flow)}`).length;
    const none = this.daemon.json('flows', '--client', `${address}:${FIRST_PORT - 1}`).length;
    this.verdict.claim(`\`flows --client ${address}\``, all === expected && one === 1 && none === 0, {
      found: all,
      expected,
      'with a port': one,
      seconds,
    });
  }

  async judgeExpiry() {
    const before = this.counters()['flow-expired'];
    await this.reload(SHORT);
    const begun = performance.now();
    await waitFor(() => this.used() === 0, {
      everyMs: 200,
      what: 'an empty table',
    }).catch(() => {});
    const used = this.used();
    const expired = this.counters()['flow-expired'] - before;
    const seconds = Number(((performance.now() - begun) / 1000).toFixed(1));
    this.verdict.claim('expiry gives all slots back', used === 0 && expired === this.flows, {
      used,
      expired,
      seconds,
    });
    const left = this.daemon
      .json('servers')
      .map((/** @type {any} */ server) => server.active + server.inactive);
    this.verdict.claim(
      'no server has a flow left',
      left.every((/** @type {number} */ count) => count === 0),
      { left },
    );
    await this.reload(LONG);
  }

  /** The parts in order; one that is broken ends it. @returns {Promise<Verdict>} */
  async run() {
    const { verdict } = this;
    await this.start();
    await this.askAndJudge();
    this.judgeTable();
    this.judgeMemory();
    if (!verdict.holds) return verdict;
    if (this.kill9) {
      this.say('          kill -9 and a new start');
      await this.daemon.kill9();
      await this.startDispatcher();
    }
    await this.askAndList();
    this.judgeMemory();
    this.judgeFilter();
    if (!verdict.holds) return verdict;
    await this.judgeExpiry();
    if (!verdict.holds) return verdict;
    this.opened = this.counters()['flow-opened'];
    await this.ask('forget');
    await this.askAndJudge();
    this.judgeTable();
    return verdict;
  }
}

/** Runs the scenario in a lab of its own. @param {MillionOptions} given @returns {Promise<Verdict>} */
export async function millionFlows(given) {
  const scenario = new MillionFlows(given);
  try {
    return await scenario.run();
  } finally {
    scenario.lab.close();
  }
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) {
  const { flows, capacity, queues, kill9 } = options('As many flows as the table has rows, by real packets', {
    flows: 1_000_000,
    capacity: CAPACITY, // rows of the table; fewer than flows must end in a broken claim
    queues: 1, // of the device: beyond the first, reader threads look flows up
    kill9: false, // crash the dispatcher between the rounds: must end in a broken claim
  });
  const say = (/** @type {string} */ line) => void process.stdout.write(`${line}\n`);
  const verdict = await millionFlows({ flows, capacity, queues, kill9, say });
  const { claims, broken } = verdict;
  say(verdict.holds ? `\n${claims.length} claims hold` : `\nBROKEN: ${broken.join('; ')}`);
  process.exitCode = verdict.holds ? 0 : 1;
}
