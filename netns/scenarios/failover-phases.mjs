/**
 * What happens to the dispatchers of the scenario of deaths, and its judgement: connections that live long must go on, each
 * with its server, and no server that lives may see a reset. Of each phase, proofs that what it is about has happened.
 */
import { waitFor } from '../host.mjs';
import { sharesSince } from '../spraying.mjs';
import { Verdict } from './verdict.mjs';

/** @typedef {import('./cluster-lab.mjs').ClusterLab} ClusterLab */
/** @typedef {import('../spraying.mjs').Shares} Shares */

const ROUNDS = 2;
const DEADLINE_MS = 120_000;
const PUSH_MS = 20;
/** That a route of a dead dispatcher may stay, by definition of the phase. */
const LATE_MS = 2000;
/** Clients of each look at who is given new connections. */
const NEW_CLIENTS = 30;

export class Failover {
  /** @param {ClusterLab} bed @param {import('../processes.mjs').LabProcess} talk @param {number} connections @param {(line: string) => void} [say] */
  constructor(bed, talk, connections, say) {
    this.bed = bed;
    this.talk = talk;
    this.connections = connections;
    this.verdict = new Verdict(say);
    /** Servers that have died. @type {Set<string>} */
    this.dead = new Set();
    this.newClients = 0;
  }

  /** Connections broken so far that were not on a dead server. @param {any} report */
  #broken({ lost }) {
    return Object.entries(lost).reduce(
      (sum, [server, count]) => sum + (this.dead.has(server) ? 0 : Number(count)),
      0,
    );
  }

  /** Waits until every connection was answered some more times. @param {string} what @returns {Promise<any>} */
  async goOn(what) {
    const { round } = await this.talk.ask('report');
    /** @type {any} */
    let now;
    await waitFor(
      async () => {
        now = await this.talk.ask('report');
        return now.round >= round + ROUNDS || this.#broken(now) > 0;
      },
      { what: `all connections to go on after ${what}`, everyMs: 200, deadlineMs: DEADLINE_MS },
    );
    return now;
  }

  /** Resets that live servers have seen. */
  get resets() {
    return this.bed.seen.resetsAt(this.bed.lab.servers.filter((name) => !this.dead.has(name)));
  }

  /**
   * @param {string} what
   * @param {number} resetsBefore
   * @param {object} [more] figures
   * @param {boolean} [also] whether what else must hold does
   */
  async judge(what, resetsBefore, more = {}, also = true) {
    const report = await this.goOn(what);
    const { open, wrongServer, errors } = report;
    const broken = this.#broken(report);
    const serverResets = this.resets - resetsBefore;
    const whole = broken === 0 && wrongServer === 0 && serverResets === 0 && open > 0;
    const shown = { open, broken, wrongServer, serverResets, ...more, errors };
    if (!whole) Object.assign(shown, await this.#trace());
    this.verdict.claim(what, whole && also, shown);
    return report;
  }

  /** What may say why something broke. */
  async #trace() {
    const { dispatchers } = this.bed;
    const counters = await Promise.all(
      [...dispatchers.running.keys()].map((name) => dispatchers.counters(name)),
    );
    const resets = counters.map((of) => of['reset-sent'] ?? 0);
    return { brokenOnes: this.talk.errorLines.slice(-3), resetsOfDispatchers: resets };
  }

  /** Its route goes at once, as with BFD or BGP and a short hold. @param {string} name */
  async death(name) {
    const before = this.resets;
    await this.bed.dispatchers.kill9(name);
    this.bed.spraying.withdraw(name);
    await this.judge(`death of ${name}, route withdrawn at once`, before);
  }

  /**
   * One comes back. What it has forwarded is read before it is asked whether it is ready: if not, that was nothing.
   * @param {string} name @param {{ program?: string, routed?: boolean }} [how] `routed`: its route is there before it is ready
   */
  async watchJoin(name, { routed = true, ...how } = {}) {
    const { dispatchers, spraying } = this.bed;
    const starting = await dispatchers.launch(name, { ready: false, ...how });
    if (routed) spraying.add(name);
    const seen = { looks: 0, early: 0, held: 0 };
    await waitFor(
      async () => {
        const counters = await starting.look('/counters');
        const status = await starting.look('/status');
        if (counters === undefined || status?.cluster?.joining === undefined) return false;
        if (status.cluster.joining === 'ready') return status.ready;
        seen.looks++;
        seen.early += (counters['nat-request'] ?? 0) + (counters['nat-reply'] ?? 0) > 0 ? 1 : 0;
        seen.held = counters['drop-not-ready'] ?? 0;
        return false;
      },
      { what: `${name} to be ready`, everyMs: 10, deadlineMs: DEADLINE_MS },
    );
    spraying.add(name);
    await dispatchers.waitForPeers();
    return seen;
  }

  /**
   * @param {string} name
   * @param {{ routed?: boolean }} [how] not `routed` where a server was added since it died: what it left on its host does
   *   not hold that one's replies back, and packets would pass it as any gateway
   */
  async join(name, { routed = true } = {}) {
    const before = this.resets;
    const seen = await this.watchJoin(name, { routed });
    const proven = seen.looks > 0 && (seen.held > 0 || !routed);
    const what = `${name} joins, ${routed ? 'routed before' : 'routed when'} it is ready: it forwards nothing before`;
    await this.judge(what, before, seen, proven && seen.early === 0);
  }

  /** What a dispatcher was handed since then. @param {Shares} since @param {string} name */
  handed(since, name) {
    return sharesSince(this.bed.spraying.counts(), since)[name] ?? { requests: 0, replies: 0 };
  }

  /** @param {number} everyMs 0: not any more */
  async push(everyMs) {
    const living = this.bed.talkServers.filter(({ exit }) => exit === undefined);
    await Promise.all(living.map((server) => server.ask(`push ${everyMs}`)));
  }

  /** @param {string} name */
  async lateDeath(name) {
    const before = this.resets;
    await this.push(PUSH_MS);
    const shares = this.bed.spraying.counts();
    const { pushed } = await this.talk.ask('report');
    await this.bed.dispatchers.kill9(name);
    await new Promise((resolve) => setTimeout(resolve, LATE_MS));
    const { requests, replies } = this.handed(shares, name);
    this.bed.spraying.withdraw(name);
    const sent = (await this.talk.ask('report')).pushed - pushed;
    await this.judge(
      `death of ${name} while servers send, route withdrawn 2 s late`,
      before,
      { pushedMeanwhile: sent, handedToTheDead: { requests, replies } },
      sent > 0 && requests > 0 && replies > 0,
    );
    await this.push(0);
  }

  /** Some connections of clients that never came before. @returns {Promise<any>} */
  async newConnections() {
    const { host, port } = this.bed.services.talk(this.bed.one);
    const first = this.newClients;
    this.newClients += NEW_CLIENTS;
    const words = [
      '--host',
      host,
      '--port',
      port,
      '--clients',
      NEW_CLIENTS,
      '--connections',
      1,
      '--first',
      first,
    ];
    return this.bed.lab.tool('client', 'client-load', words);
  }

  /** Opens as many connections as dead servers took with them. */
  async refill() {
    await this.open(this.connections);
  }

  /** Opens what is missing, and waits until so many are open. @param {number} [least] */
  async open(least = 1) {
    const { open } = await this.talk.ask('report');
    if (open < this.connections) await this.talk.ask(`open ${this.connections - open}`);
    await waitFor(async () => (await this.talk.ask('report')).open >= least, {
      what: `${least} connections to be open`,
      everyMs: 100,
    });
  }

  async rolling() {
    const before = this.resets;
    const { dispatchers, spraying } = this.bed;
    const restarted = [...spraying.live];
    for (const name of restarted) {
      spraying.withdraw(name);
      await dispatchers.stop(name);
      await dispatchers.start([name]);
      await dispatchers.waitForPeers();
      spraying.add(name);
    }
    await this.judge('all restarted, one by one', before, { restarted });
  }

  /** All that the configuration names, at the same moment: each is ready and forwards. */
  async together() {
    const { dispatchers, spraying } = this.bed;
    await dispatchers.stopAll();
    const began = performance.now();
    await dispatchers.start();
    const readyMs = Math.round(performance.now() - began);
    await dispatchers.waitForPeers();
    spraying.set(dispatchers.names);
    await this.#judgeReady('all started together: ready', { readyMs });
  }

  /** One of those that the configuration names, which hears nobody. @param {string} name */
  async alone(name) {
    const { dispatchers, spraying } = this.bed;
    await dispatchers.stopAll();
    const began = performance.now();
    await dispatchers.start([name]);
    const readyMs = Math.round(performance.now() - began);
    spraying.set([name]);
    await this.#judgeReady(`${name} of ${dispatchers.names.length} started alone: ready`, { readyMs });
  }

  /** @param {string} what @param {object} figures */
  async #judgeReady(what, figures) {
    const { dispatchers } = this.bed;
    const running = [...dispatchers.running.keys()];
    const ready = running.filter((name) => dispatchers.get(name).json('status').ready === true);
    const { broken, ok } = await this.newConnections();
    const whole = ready.length === running.length && broken === 0 && ok === NEW_CLIENTS;
    this.verdict.claim(what, whole, { ready, connections: ok, broken, ...figures });
  }
}
