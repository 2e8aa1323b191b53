/**
 * The runs of `netns/scenarios/claims`: what is sent, through which dispatcher, and what the network between them lets through meanwhile. What came
 * of it is judged on the captures (claims-judge.mjs).
 *
 * A client lock stands as long as grants are kept from its holder, so each step waits for the one before to be seen: no race is left to chance.
 */
import { waitFor } from '../host.mjs';
import { Recordings } from '../recordings.mjs';
import { natService, SERVER_PORTS } from '../services.mjs';
import { ClusterLab } from './cluster-lab.mjs';

/** @typedef {import('../processes.mjs').LabProcess} LabProcess */
/** @typedef {import('../recordings.mjs').Seen} Seen */

const VIP = '192.0.2.10';
const SERVERS = 2;
/** One session a connection, and one session a client. */
const PORTS = { web: 80, sticky: 81 };
const CONFIRM = { count: SERVERS, scheduler: 'rr', lock: 'confirm' };
const SERVICES = {
  web: natService(VIP, 'tcp', PORTS.web, SERVER_PORTS.talk, CONFIRM),
  sticky: natService(VIP, 'tcp', PORTS.sticky, SERVER_PORTS.talk, { ...CONFIRM, affinity: 'client' }),
};
/** A lock stands until the scenario lets it end (a joiner waits for a lease too), and nobody dies of being cut off. */
const SETTINGS = { 'confirm-timeout': '9s', lease: '10s', 'dead-after': '30s' };
const DISPATCHERS = ['d1', 'd2', 'd3'];
/** Each is a packet of the client and an acknowledgement, so each dispatcher gets some. */
const LINES = 3;

/** Datagrams by stream: the fourth byte of their header (src/cluster/seal.ts), after the eight of UDP. */
const BROADCAST = 'udp dport 7373 @th,88,8 1';
const UNICAST = 'udp dport 7373 @th,88,8 2';
/** What resends a broadcast: a repair is longer than this, a lock with a heartbeat is not. Digests are, too. */
const LONG = 'udp dport 7373 udp length > 130';
const ALL = 'udp dport 7373';

/** Clients of the runs, an address each. */
export const CLIENT = {
  story: '198.51.100.2',
  parallel: '198.18.1.2',
  stranger: '198.18.1.3',
  cut: '198.18.1.4',
  withheld: '198.18.1.5',
};

/** @typedef {{ client: string, holder: string, server: string, waiting: number }} LockSeen */

/** Seconds since 1970, as captures have them. */
const now = () => Date.now() / 1000;

export class ClaimsLab {
  constructor() {
    this.bed = new ClusterLab({
      dispatchers: DISPATCHERS.length,
      combinations: [],
      servers: SERVERS,
      settings: SETTINGS,
      kinds: ['talk'],
    });
    this.bed.dispatchers.services = SERVICES;
    const { lab } = this.bed;
    this.recordings = new Recordings(lab, [
      ...DISPATCHERS.map((host) => ({ host, device: 'lw0' })),
      // As they leave, before the hub drops any: in the order in which a dispatcher sent them.
      ...DISPATCHERS.map((host) => ({ host, device: 'to-hub', only: /** @type {const} */ ('out') })),
      ...lab.servers.map((host) => ({ host, device: 'to-router', filter: 'tcp' })),
    ]);
  }

  async start() {
    await this.bed.start();
    await this.recordings.start();
  }

  /** @returns {Promise<Seen[]>} */
  stop() {
    return this.recordings.stop(this.bed.dispatchers.get('d1'));
  }

  close() {
    this.bed.close();
  }

  /** The router hands all packets to one dispatcher, or each to the next of all. @param {'all' | string} to */
  route(to) {
    this.bed.spraying.set(to === 'all' ? DISPATCHERS : [to]);
  }

  /** Keeps from d1 what others answer to it: no grant reaches it. */
  holdGrants() {
    this.bed.hub.cut([
      ['d2', 'd1', UNICAST],
      ['d3', 'd1', UNICAST],
    ]);
  }

  /** Lets grants pass, and keeps from d2 every way in which it could learn what d1 selects. */
  withholdUpdates() {
    this.bed.hub.cut([
      ['d1', 'd2', BROADCAST],
      ['d1', 'd2', LONG],
      ['d2', 'd1', LONG],
      ['d3', 'd2', ALL],
    ]);
  }

  /** The locks of a client at one dispatcher. @param {string} dispatcher @param {string} client address */
  async locks(dispatcher, client) {
    /** @type {LockSeen[]} */
    const locks = await this.bed.dispatchers.get(dispatcher).ask('/locks');
    return locks.filter((lock) => lock.client.split(':')[0] === client);
  }

  /** The same by dispatcher. @param {string} client @returns {Promise<Record<string, LockSeen[]>>} */
  async allLocks(client) {
    const locks = await Promise.all(DISPATCHERS.map((name) => this.locks(name, client)));
    return Object.fromEntries(DISPATCHERS.map((name, index) => [name, locks[index] ?? []]));
  }

  /** Waits until a dispatcher has the lock of a client. @param {string} dispatcher @param {string} client @param {string} holder */
  lockAt(dispatcher, client, holder) {
    const stands = async () => (await this.locks(dispatcher, client)).some((lock) => lock.holder === holder);
    return waitFor(stands, { what: `${dispatcher} to know the lock of ${holder} for ${client}` });
  }

  /** Packets that d1 got through the tunnel so far. @returns {Promise<number>} */
  async received() {
    return (await this.bed.dispatchers.get('d1').ask('/counters'))['tunnel-received'] ?? 0;
  }

  /** Waits until d1 has got more than before. @param {number} before */
  receivedMore(before) {
    return waitFor(async () => (await this.received()) > before, {
      what: 'd1 to get a packet by the tunnel',
    });
  }

  /** Waits until no dispatcher has a lock of a client. @param {string} client */
  noLock(client) {
    const none = async () => Object.values(await this.allLocks(client)).every((locks) => locks.length === 0);
    return waitFor(none, { what: `the locks for ${client} to end` });
  }

  /**
   * A client without a connection: while a lock stands there is no time to start a process.
   * @param {string} from its address @param {keyof typeof PORTS} [service]
   * @returns {Promise<LabProcess>}
   */
  client(from, service = 'sticky') {
    const parameters = ['--host', VIP, '--port', PORTS[service], '--connections', 0, '--interval', 1_000_000];
    return this.bed.lab.startTool('client', 'long-lived', [...parameters, '--from', from]);
  }

  /** @template {readonly string[]} T @param {T} from @returns {Promise<{ [K in keyof T]: LabProcess }>} */
  clients(...from) {
    return /** @type {any} */ (Promise.all(from.map((address) => this.client(address))));
  }

  /** Has a client open a connection that stays, and waits until the server has answered a first line. @param {LabProcess} talk */
  async open(talk) {
    await talk.ask('open 1');
    const answered = async () => (await talk.ask('report')).answered > 0;
    await waitFor(answered, { what: 'a first answer' });
    return talk;
  }

  /** Has a connection say a line and waits for the answer. @param {LabProcess} talk */
  async line(talk) {
    const { answered } = await talk.ask('say');
    const more = async () => (await talk.ask('report')).answered > answered;
    await waitFor(more, { what: 'an answer' });
  }

  /** Which server a connection is on. @param {LabProcess} talk @returns {Promise<string>} */
  async serverOf(talk) {
    const { byServer } = await talk.ask('report');
    return Object.keys(byServer).join();
  }

  /** Ends all that a run changed. @param {string} client @param {readonly LabProcess[]} talks */
  async end(client, talks = []) {
    for (const talk of talks) await talk.ask('close 1');
    await this.noLock(client);
    const differs = await this.bed.converge();
    if (differs !== '') throw new Error(`the tables differ after ${client}: ${differs}`);
  }

  /**
   * One connection: its SYN comes to d1, the repeat of it to d2; then grants pass and it opens through d1; and when all know of it, each packet comes to
   * another dispatcher.
   */
  async story() {
    const client = CLIENT.story;
    const before = await this.received();
    const talk = await this.client(client, 'web');
    this.holdGrants();
    this.route('d1');
    const opening = this.open(talk);
    await this.lockAt('d1', client, 'd1');
    this.route('d2');
    await this.lockAt('d2', client, 'd1');
    await this.lockAt('d3', client, 'd1');
    await this.receivedMore(before);
    const locks = await this.allLocks(client);
    this.route('d1');
    const grants = now();
    this.bed.hub.heal();
    await opening;
    await this.noLock(client);
    const differs = await this.bed.converge();
    const known = now();
    this.route('all');
    for (let line = 0; line < LINES; line++) await this.line(talk);
    const server = await this.serverOf(talk);
    await this.end(client, [talk]);
    return { client, locks, grants, known, differs, server };
  }

  /** Two connections of one client at once, and one of somebody else; then one more when the session is known. */
  async parallel() {
    const client = CLIENT.parallel;
    const before = await this.received();
    const [one, two, other] = await this.clients(client, client, CLIENT.stranger);
    this.holdGrants();
    this.route('d1');
    const first = this.open(one);
    await this.lockAt('d2', client, 'd1');
    this.route('d2');
    const second = this.open(two);
    await this.receivedMore(before);
    const stranger = this.open(other);
    await this.lockAt('d2', CLIENT.stranger, 'd2');
    const grants = now();
    this.route('all');
    this.bed.hub.heal();
    const talks = await Promise.all([first, second, stranger]);
    await this.noLock(client);
    await this.bed.converge();
    const known = now();
    this.route('d3');
    const third = await this.open(await this.client(client));
    const knownDone = now();
    const ofClient = [...talks.slice(0, 2), third];
    const servers = await Promise.all(ofClient.map((talk) => this.serverOf(talk)));
    this.route('all');
    await this.end(client, [...talks, third]);
    return { client, grants, known, knownDone, servers };
  }

  /** The same two connections with the network between dispatchers cut: d2 cannot know of the lock. */
  async cut() {
    const client = CLIENT.cut;
    const [one, two] = await this.clients(client, client);
    this.bed.hub.cutAll();
    this.route('d1');
    const first = this.open(one);
    await this.lockAt('d1', client, 'd1');
    this.route('d2');
    const second = this.open(two);
    await this.lockAt('d2', client, 'd2');
    const locks = await this.allLocks(client);
    const healed = now();
    this.route('all');
    this.bed.hub.heal();
    const talks = await Promise.all([first, second]);
    const servers = await Promise.all(talks.map((talk) => this.serverOf(talk)));
    await this.end(client, talks);
    return { client, locks, healed, servers };
  }

  /** The same again with the update kept from d2: for d2 the lock goes on. */
  async withheld() {
    const client = CLIENT.withheld;
    const before = await this.received();
    const [one, two] = await this.clients(client, client);
    this.holdGrants();
    this.route('d1');
    const first = this.open(one);
    await this.lockAt('d2', client, 'd1');
    await this.lockAt('d3', client, 'd1');
    this.withholdUpdates();
    const talks = [await first];
    const over = async () => (await this.locks('d3', client)).length === 0;
    await waitFor(over, { what: 'd3 to hear of the selection' });
    const selected = now();
    const locks = await this.allLocks(client);
    this.route('d2');
    const second = this.open(two);
    await this.receivedMore(before);
    this.route('all');
    this.bed.hub.heal();
    talks.push(await second);
    const servers = await Promise.all(talks.map((talk) => this.serverOf(talk)));
    await this.end(client, talks);
    return { client, locks, selected, servers };
  }
}
