/**
 * What the scenario of spread plays on: a lab, a dispatcher with one service for each scheduler and affinity, and
 * connections to them. A service has client addresses of its own, since a tuple that is taken at a server makes the
 * dispatcher choose another.
 */
import { startDispatcher } from '../dispatcher.mjs';
import { waitFor } from '../host.mjs';
import { createLab } from '../laboratory.mjs';
import { natService, SERVER_PORTS } from '../services.mjs';

const VIP = '192.0.2.10';
/** @type {import('./spread-definitions.mjs').Weights} */
export const EVEN = { s1: 1, s2: 1, s3: 1, s4: 1, s5: 1 };
/** @type {import('./spread-definitions.mjs').Weights} */
export const RISING = { s1: 1, s2: 2, s3: 3, s4: 4, s5: 5 };
const SERVERS = Object.keys(EVEN).length;
export const DRAINED = 's5';
/** Flows that only open weigh next to nothing (as in IPVS), so that choices by load are off by as many as open at once. */
const OPENING = 2;

/** @param {number} port @param {string} scheduler @param {object} [more] */
const service = (port, scheduler, more) =>
  natService(VIP, 'tcp', port, SERVER_PORTS.talk, {
    count: SERVERS,
    scheduler,
    ...more,
  });

/** @param {import('../services.mjs').Service} plain */
function rising(plain) {
  for (const [name, server] of Object.entries(plain.servers)) {
    server.weight = /** @type {number} */ (RISING[name]);
  }
  return plain;
}

/** @param {string} client time-out of session entries */
function services(client) {
  const timeouts = { 'tcp-closing': '1s', client };
  return {
    rr: service(7001, 'rr'),
    wrr: rising(service(7002, 'wrr')),
    maglev: rising(service(7003, 'maglev', { timeouts })),
    sh: rising(service(7004, 'sh')),
    lc: service(7005, 'lc'),
    wlc: rising(service(7006, 'wlc')),
    random: service(7007, 'random'),
    'lc-not': service(7008, 'rr'),
    'wlc-not': rising(service(7009, 'wrr')),
    client: service(7010, 'rr', { affinity: 'client', timeouts }),
    network: service(7011, 'rr', { affinity: 'client/24', timeouts }),
    flow: service(7012, 'rr', { timeouts }),
  };
}

/** @typedef {keyof ReturnType<typeof services>} ServiceName */

/** A lab with all these services. */
export class SpreadLab {
  /** @param {number} connections by case, a multiple of 100 */
  constructor(connections) {
    this.connections = connections;
    this.config = { services: services('1h') };
    this.lab = createLab({ servers: SERVERS });
  }

  async start() {
    const { lab } = this;
    await Promise.all(
      lab.servers.map((name) =>
        lab.startTool(name, 'talk-server', ['--name', name, '--port', SERVER_PORTS.talk]),
      ),
    );
    this.dispatcher = await startDispatcher(lab, this.config);
  }

  /** @returns {import('../dispatcher.mjs').Dispatcher} */
  get daemon() {
    if (this.dispatcher === undefined) throw new Error('not started');
    return this.dispatcher;
  }

  /** @param {ServiceName} name */
  port(name) {
    return /** @type {number} */ (this.config.services[name].ports[0]);
  }

  /**
   * Connections of chosen tuples, reset once they are answered.
   * @param {ServiceName} name @param {readonly string[]} clients @param {number} [rounds] @param {number} [count]
   * @returns {Promise<{ byServer: import('./spread-definitions.mjs').Counts, byClient: import('./spread-definitions.mjs').ByClient, moved: number, servers: readonly string[] }>}
   */
  async tuples(name, clients, rounds = 1, count = this.connections) {
    const parameters = ['--port', this.port(name), '--connections', count];
    const from = ['--rounds', rounds, '--from', clients.join(',')];
    const result = await this.lab.tool('client', 'tuple-load', [...parameters, ...from]);
    const { ok, broken, errors } = result;
    if (ok !== rounds * count) throw new Error(`${name}: ${JSON.stringify({ ok, broken, errors })}`);
    return result;
  }

  /**
   * The same tuples twice, the second time when the dispatcher has forgotten the first: what a scheduler does without the table.
   * @param {ServiceName} name @param {string[]} clients @param {number} [count]
   */
  async tuplesTwice(name, clients, count = this.connections) {
    const first = await this.tuples(name, clients, 1, count);
    await waitFor(() => this.daemon.json('flows', '--service', name).length === 0, {
      what: `the flows of ${name} to end`,
    });
    const second = await this.tuples(name, clients, 1, count);
    const moved = first.servers.filter(
      (/** @type {string} */ server, /** @type {number} */ index) => server !== second.servers[index],
    );
    return { ...first, moved: moved.length };
  }

  /** Client addresses that no other service sees. @param {ServiceName} name @param {number} count @param {number} [networks] */
  clients(name, count, networks = 1) {
    const first = 16 * (this.port(name) - 7000);
    return Array.from(
      { length: count },
      (_, index) => `198.18.${first + (index % networks)}.${1 + Math.floor(index / networks)}`,
    );
  }

  /** Long-lived connections. @param {ServiceName} name @param {number} count */
  open(name, count) {
    const parameters = ['--port', this.port(name), '--connections', count, '--concurrency', OPENING];
    const from = ['--from', this.clients(name, 5).join(','), '--interval', 200];
    return this.lab.startTool('client', 'long-lived', [...parameters, ...from]);
  }

  /** @param {import('../processes.mjs').LabProcess} talks @param {'open' | 'close'} verb @param {number} count */
  async change(talks, verb, count) {
    const { open } = await talks.ask('report');
    const goal = verb === 'open' ? open + count : open - count;
    await talks.ask(`${verb} ${count}`);
    const reached = async () => (await talks.ask('report')).open === goal;
    await waitFor(reached, { what: `${goal} connections` }).catch(async (error) => {
      throw new Error(
        `${error.message}: ${JSON.stringify([await talks.ask('report'), this.daemon.json('counters')])}`,
      );
    });
    return (await talks.ask('report')).byServer;
  }

  /** @param {string} server @param {'--drain' | '--enable'} flag */
  set(server, flag) {
    const { code, stderr } = this.daemon.cli('server', server, flag);
    if (code !== 0) throw new Error(stderr);
  }

  /**
   * 60 % of the connections; s5 is drained, 15 % more; it comes back, 25 % more; the oldest fifth ends and is replaced.
   * @param {ServiceName} name
   */
  async comeAndGo(name) {
    const part = (/** @type {number} */ percent) => Math.round((this.connections * percent) / 100);
    const talks = await this.open(name, part(60));
    const before = (await talks.ask('report')).byServer;
    this.set(`${name}/${DRAINED}`, '--drain');
    const drained = await this.change(talks, 'open', part(15));
    const { round } = await talks.ask('report');
    await waitFor(async () => (await talks.ask('report')).round >= round + 2, { what: 'old flows to go on' });
    this.set(`${name}/${DRAINED}`, '--enable');
    const back = await this.change(talks, 'open', part(25));
    await this.change(talks, 'close', part(20));
    const after = await this.change(talks, 'open', part(20));
    const { broken, wrongServer } = await talks.ask('report');
    await talks.stop();
    return { before, drained, back, after, broken, wrongServer };
  }

  /** @param {ServiceName} name @returns {any[]} */
  sessions(name) {
    return this.daemon.json('flows', '--service', name, '--state', 'session');
  }

  /** Shortens the time-out of session entries. */
  endSessions() {
    this.daemon.reload({ services: services('1s') });
  }
}
