/**
 * The daemons of topology `cluster`: one configuration file and one key for all, as the product wants it, and what the
 * operator's commands say of each.
 */
import { randomBytes } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { clusterAddress } from './cluster.mjs';
import { startDispatcher } from './dispatcher.mjs';
import { waitFor } from './host.mjs';

/** @typedef {Record<string, number>} Counters */

export class Dispatchers {
  /**
   * @param {import('./laboratory.mjs').Lab} lab
   * @param {Record<string, import('./services.mjs').Service>} services
   * @param {object} [settings] keys of the section `cluster`
   * @param {{ program?: string, family?: 4 | 6, more?: object }} [options] `more`: further sections; `family`: of the cluster's own addresses
   */
  constructor(lab, services, settings = {}, options = {}) {
    this.lab = lab;
    this.services = services;
    this.settings = settings;
    this.options = options;
    this.names = lab.hosts.filter((host) => /^d\d$/.test(host));
    /** Those that run. @type {Map<string, import('./dispatcher.mjs').Dispatcher>} */
    this.running = new Map();
    /** What those counted that have ended, as far as it was read. @type {Counters} */
    this.past = {};
    writeFileSync(lab.file('cluster.key'), `${randomBytes(32).toString('hex')}\n`, { mode: 0o600 });
  }

  get config() {
    const family = this.options.family ?? 4;
    return {
      cluster: {
        name: 'lab',
        'key-file': 'cluster.key',
        ...this.settings,
        dispatchers: Object.fromEntries(this.names.map((name) => [name, clusterAddress(name, family)])),
      },
      ...this.options.more,
      services: this.services,
    };
  }

  /**
   * Starts some, all at the same time, and waits until each is ready.
   * @param {readonly string[]} [names]
   * @param {{ program?: string }} [options]
   */
  async start(names = this.names, options = {}) {
    await Promise.all(names.map((name) => this.launch(name, { ...options, ready: true })));
  }

  /** Starts one. @param {string} name @param {Partial<import('./dispatcher.mjs').DispatcherOptions>} [options] */
  async launch(name, options = {}) {
    const program = options.program ?? this.options.program;
    const started = await startDispatcher(this.lab, this.config, {
      node: name,
      ...options,
      ...(program === undefined ? {} : { program }),
    });
    this.running.set(name, started);
    return started;
  }

  /** @param {string} name */
  get(name) {
    const found = this.running.get(name);
    if (found === undefined) throw new Error(`${name} does not run`);
    return found;
  }

  /** Ends one in good order. @param {string} name */
  async stop(name) {
    const stopped = this.get(name);
    await this.#remember(name);
    this.running.delete(name);
    await stopped.stop();
  }

  /** Ends one as a power failure would. @param {string} name */
  async kill9(name) {
    const killed = this.get(name);
    this.running.delete(name);
    await killed.kill9();
  }

  /** Ends all. */
  async stopAll() {
    await Promise.all([...this.running.keys()].map((name) => this.stop(name)));
  }

  /** @param {string} name */
  async #remember(name) {
    this.past = sumOf(this.past, await this.counters(name));
  }

  /**
   * Writes another configuration and has it read, by all or only by some.
   * @param {Record<string, import('./services.mjs').Service>} services @param {readonly string[]} [names]
   */
  reload(services, names = [...this.running.keys()]) {
    this.services = services;
    for (const name of names) this.get(name).reload(this.config);
  }

  /** Runs a command at every one; a failure is an error. @param {...string} words */
  each(...words) {
    for (const [name, dispatcher] of this.running) {
      const { code, stderr } = dispatcher.cli(...words);
      if (code !== 0) throw new Error(`${name}: latchway ${words.join(' ')}: ${stderr}`);
    }
  }

  /** @param {string} name @returns {Promise<Counters>} */
  counters(name) {
    return this.get(name).ask('/counters');
  }

  /** Of all that run, and of those stopped in good order, together. @returns {Promise<Counters>} */
  async total() {
    const running = await Promise.all([...this.running.keys()].map((name) => this.counters(name)));
    return running.reduce(sumOf, this.past);
  }

  /** Waits until each hears each. @param {readonly string[]} [names] */
  async waitForPeers(names = [...this.running.keys()]) {
    const hears = async (/** @type {string} */ name) => {
      const peers = (await this.get(name).look('/peers')) ?? [];
      const up = peers.filter((/** @type {any} */ peer) => names.includes(peer.name) && peer.state === 'up');
      return up.length === names.length - 1;
    };
    const all = async () => (await Promise.all(names.map(hears))).every(Boolean);
    await waitFor(all, { what: 'all dispatchers to hear each other' });
  }

  /** What differs between the tables, asked of one. @param {string} [name] @returns {{ equal: boolean, text: string }} */
  diff(name = [...this.running.keys()][0] ?? 'd1') {
    const { code, stdout, stderr } = this.get(name).cli('diff');
    return { equal: code === 0, text: `${stdout}${stderr}`.trim() };
  }
}

/** @param {Counters} one @param {Counters} other @returns {Counters} */
function sumOf(one, other) {
  const sum = { ...one };
  for (const [name, value] of Object.entries(other)) sum[name] = (sum[name] ?? 0) + value;
  return sum;
}

/** What went up. @param {Counters} after @param {Counters} before @returns {Counters} */
export function riseOf(after, before) {
  const rises = Object.entries(after).map(([name, value]) => [name, value - (before[name] ?? 0)]);
  return Object.fromEntries(rises.filter(([, rise]) => rise !== 0));
}
