/**
 * `netns/scenarios/spread`: who gets what, by 1,000 real TCP connections each, through one dispatcher.
 *
 *   client -- router -- d1 (Latchway) -- s1 .. s5, of weights 1 to 5 where a scheduler heeds them
 *
 *   in turn:   rr, wrr                     exact
 *   by hash:   maglev, sh                  a fair draw by weight; the same tuple (address) meets the same server again
 *   by load:   lc, wlc                     within a tenth of the ideal while s5 is drained and comes back, and flows end
 *              random                      the bound of two choices
 *   affinity:  client, client/24           one server each, an entry of its own that outlives the flows, until its time-out
 *   drain:     no new flow, and the old ones go on
 *
 * The definitions are in spread-definitions.mjs. Each is also put to figures that it must find fault with (`control`):
 * another scheduler's.
 */
import { pathToFileURL } from 'node:url';
import { waitFor } from '../host.mjs';
import { options } from '../tools/options.mjs';
import * as definitions from './spread-definitions.mjs';
import { DRAINED, EVEN, RISING, SpreadLab } from './spread-lab.mjs';
import { Verdict } from './verdict.mjs';

/** @typedef {import('./spread-lab.mjs').ServiceName} ServiceName */

/** The O(1) of the bound of two choices; a single draw of 1,000 would be off by some 12.6. */
const BEYOND_BOUND = 4;
const NETWORKS = 8;
/** No multiple of the servers: clients that are balanced anew meet others than before. */
const CLIENTS = 42;

class Spread extends SpreadLab {
  /** @param {number} connections @param {(line: string) => void} [say] */
  constructor(connections, say) {
    super(connections);
    this.verdict = new Verdict(say);
  }

  /** @param {string} name @param {string[]} faults none: the definition is met @param {object | string} figures */
  claim(name, faults, figures) {
    this.verdict.claim(name, faults.length === 0, faults.length === 0 ? figures : { faults, figures });
  }

  /** A definition put to what it must find fault with. @param {string} name @param {string[]} faults */
  control(name, faults) {
    this.verdict.claim(`control: ${name}`, faults.length > 0, faults[0] ?? 'no fault found');
  }

  async inTurn() {
    const rr = (await this.tuples('rr', this.clients('rr', 5))).byServer;
    const wrr = (await this.tuples('wrr', this.clients('wrr', 5))).byServer;
    this.claim('rr gives each the same', definitions.inTurn(rr, EVEN), rr);
    this.control('wrr is not rr', definitions.inTurn(wrr, EVEN));
    this.claim('wrr gives each its weight', definitions.inTurn(wrr, RISING), wrr);
    this.control('rr is not wrr', definitions.inTurn(rr, RISING));
  }

  async byHash() {
    const maglev = await this.tuplesTwice('maglev', this.clients('maglev', 5));
    const shares = definitions.fairDraw(maglev.byServer, RISING);
    this.claim('maglev draws by weight', shares, maglev.byServer);
    this.control('by weight is not evenly', definitions.fairDraw(maglev.byServer, EVEN));
    this.claim('maglev sends a tuple where it went before', moves(maglev), { moved: maglev.moved });
    // No multiple of the servers, or the second turn would meet what the first did.
    const rr = await this.tuplesTwice('flow', this.clients('flow', 5), this.connections - 1);
    this.control('rr does not', moves(rr));

    const addresses = this.clients('sh', this.connections / 2, 4);
    const sh = await this.tuples('sh', addresses, 2);
    const drawn = definitions.clientsOf(sh.byClient);
    this.claim('sh draws clients by weight', definitions.fairDraw(drawn, RISING), drawn);
    this.control('by weight is not evenly', definitions.fairDraw(drawn, EVEN));
    this.claim('sh sends a client where it went before', definitions.oneServerEach(sh.byClient, EVEN), {
      clients: addresses.length,
      connections: 2 * this.connections,
    });
    this.control('maglev looks at the port too', definitions.oneServerEach(maglev.byClient, EVEN));
    this.allOnOne = (await this.tuples('sh', this.clients('sh', 1), 1)).byServer;
  }

  async byLoad() {
    for (const [name, not, weights] of /** @type {const} */ ([
      ['lc', 'lc-not', EVEN],
      ['wlc', 'wlc-not', RISING],
    ])) {
      const { before, drained, back, after, broken, wrongServer } = await this.comeAndGo(name);
      this.claim(`${name} is level`, definitions.level(before, weights), before);
      this.claim(
        `${name}: a drained server gets nothing new`,
        definitions.nothingNew(before, drained, DRAINED),
        drained,
      );
      this.control('an enabled one does', definitions.nothingNew(drained, back, DRAINED));
      this.claim(`${name} is level after it came back`, definitions.level(back, weights), back);
      this.claim(`${name} is level after flows ended`, definitions.level(after, weights), after);
      this.claim(`${name}: all flows lived on`, broken + wrongServer === 0 ? [] : ['some did not'], {
        broken,
        wrongServer,
      });
      const other = await this.comeAndGo(not);
      this.control(
        `${this.config.services[not].scheduler} is not level then`,
        definitions.level(other.back, weights),
      );
    }
    const talks = await this.open('random', this.connections);
    const { byServer } = await talks.ask('report');
    await talks.stop();
    this.claim(
      'random keeps the bound of two choices',
      definitions.twoChoices(byServer, EVEN, BEYOND_BOUND),
      byServer,
    );
    this.control('all on one does not', definitions.twoChoices(this.allOnOne ?? {}, EVEN, BEYOND_BOUND));
  }

  async affinity() {
    const flow = await this.tuples('flow', this.clients('flow', CLIENTS, NETWORKS));
    const client = await this.tuples('client', this.clients('client', CLIENTS, NETWORKS));
    const network = await this.tuples('network', this.clients('network', CLIENTS, NETWORKS));
    const networks = definitions.byNetwork(network.byClient);
    this.claim('client: one server each', definitions.oneServerEach(client.byClient, EVEN), {
      clients: CLIENTS,
    });
    this.control('not so by flow', definitions.oneServerEach(flow.byClient, EVEN));
    this.claim('client/24: one server a network', definitions.oneServerEach(networks, EVEN), {
      networks: NETWORKS,
    });
    this.control('not so by client', definitions.oneServerEach(definitions.byNetwork(client.byClient), EVEN));

    const flows = () => ['client', 'network'].flatMap((name) => this.daemon.json('flows', '--service', name));
    await waitFor(() => flows().length === 0, { what: 'the flows to end' });
    this.judgeSessions('client', client.byClient, (key) => `${key}/32`);
    this.judgeSessions('network', networks, (key) => key);
    const again = await this.tuples('client', this.clients('client', CLIENTS, NETWORKS));
    this.claim('which outlive the flows', definitions.sameServers(client.byClient, again.byClient), {
      clients: CLIENTS,
    });

    this.endSessions();
    const gone = () => this.sessions('client').length + this.sessions('network').length === 0;
    await waitFor(gone, { what: 'the session entries to end' });
    const anew = await this.tuples('client', this.clients('client', CLIENTS, NETWORKS));
    this.control(
      'after their time-out, clients are balanced anew',
      definitions.sameServers(client.byClient, anew.byClient),
    );
  }

  /** @param {ServiceName} name @param {definitions.ByClient} byKey @param {(key: string) => string} prefix */
  judgeSessions(name, byKey, prefix) {
    const listed = this.sessions(name).map(({ client, server }) => `${client} ${server}`);
    const expected = Object.entries(byKey).map(([key, counts]) => `${prefix(key)} ${Object.keys(counts)[0]}`);
    const missing = expected.filter((line) => !listed.includes(line)).map((line) => `no entry ${line}`);
    const odd = listed.length === expected.length ? [] : [`${listed.length} entries`];
    this.claim(`${name}: entries of their own`, [...missing, ...odd], { entries: listed.length });
  }
}

/** @param {{ moved: number }} result */
const moves = ({ moved }) => (moved === 0 ? [] : [`${moved} tuples met another server`]);

/**
 * Runs the scenario in a lab of its own.
 * @param {{ connections: number, say?: (line: string) => void }} given `connections`: by case, a multiple of 100
 * @returns {Promise<Verdict>}
 */
export async function spread({ connections, say }) {
  const scenario = new Spread(connections, say);
  try {
    await scenario.start();
    await scenario.inTurn();
    await scenario.byHash();
    await scenario.byLoad();
    await scenario.affinity();
    return scenario.verdict;
  } finally {
    scenario.lab.close();
  }
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) {
  const { connections } = options('Who gets what: schedulers, affinity, drain', { connections: 1000 });
  const say = (/** @type {string} */ line) => void process.stdout.write(`${line}\n`);
  const verdict = await spread({ connections, say });
  say(verdict.holds ? `\n${verdict.claims.length} claims hold` : `\nBROKEN: ${verdict.broken.join('; ')}`);
  process.exitCode = verdict.holds ? 0 : 1;
}
