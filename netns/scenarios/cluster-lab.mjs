/**
 * What scenarios of a cluster play on: the lab, its servers, its dispatchers, the spraying of the router, and the
 * witnesses (counters of kernels and of dispatchers) before and after.
 */
import { ClusterServices } from '../cluster-services.mjs';
import { Dispatchers, riseOf } from '../dispatchers.mjs';
import { DEADLINE_MS, waitFor } from '../host.mjs';
import { Hub } from '../hub.mjs';
import { createLab } from '../laboratory.mjs';
import { Seen } from '../seen.mjs';
import { Spraying, sharesSince } from '../spraying.mjs';
import { parseSnmp, SNMP_FILES, snmpRise } from '../tools/snmp.mjs';
import { lossSigns } from './loss-signs.mjs';

/** @typedef {import('../cluster-services.mjs').Combination} Combination */

/**
 * @typedef {object} ClusterLabOptions
 * @property {number} dispatchers
 * @property {readonly Combination[]} combinations
 * @property {number} [servers] default 4
 * @property {number} [servedBy] how many of the servers the configuration names; default all
 * @property {object} [settings] keys of the section `cluster`
 * @property {object} [service] keys of each service
 * @property {import('../laboratory.mjs').Offloads} [offloads] default `off`: a packet is a packet
 * @property {import('../spraying.mjs').SprayMode} [mode]
 * @property {readonly ('web' | 'talk' | 'udp')[]} [kinds] of servers
 * @property {4 | 6} [clusterFamily] of the addresses between dispatchers
 * @property {boolean} [bridged] the network between dispatchers is one LAN, on which multicast works, and `hub` can do nothing
 * @property {object} [more] further sections of the configuration, such as `table`
 */

/** Settings of clusters whose members share the cores of one machine, where 20 ms without a turn are nothing unusual. */
export const PATIENT = { 'confirm-timeout': '250ms', lease: '1s' };
/**
 * Where other work shares the machine too: there an answer is late for that alone, a grant given up by time-out proves nothing, and
 * who is silent for half a second is not dead.
 */
export const VERY_PATIENT = { 'confirm-timeout': '1s', lease: '3s', 'dead-after': '10s' };

/** What there was when somebody looked. */
export class Witnesses {
  /** @param {ClusterLab} bed @param {import('../dispatchers.mjs').Counters} counters of all dispatchers together */
  constructor(bed, counters) {
    this.bed = bed;
    this.shares = bed.spraying.counts();
    this.counters = counters;
    this.client = bed.snmp('client');
    this.servers = bed.lab.servers.map((name) => bed.snmp(name));
    this.signs = lossSigns(bed);
  }

  /** What has changed since, and `now` to go on from. */
  async since() {
    const now = new Witnesses(this.bed, await this.bed.dispatchers.total());
    /** @type {import('../tools/snmp.mjs').Snmp} */
    const servers = {};
    now.servers.forEach((snmp, index) => {
      for (const [name, rise] of Object.entries(snmpRise(this.servers[index] ?? {}, snmp))) {
        servers[name] = (servers[name] ?? 0) + rise;
      }
    });
    return {
      now,
      shares: sharesSince(now.shares, this.shares),
      counters: riseOf(now.counters, this.counters),
      client: snmpRise(this.client, now.client),
      servers,
      signs: riseOf(now.signs, this.signs),
      ...this.bed.seen.torn(),
    };
  }
}

export class ClusterLab {
  /** @param {ClusterLabOptions} options */
  constructor(options) {
    this.options = options;
    /** @type {import('../processes.mjs').LabProcess[]} */
    this.talkServers = [];
    const servers = options.servers ?? 4;
    const used = options.servedBy ?? servers;
    this.services = new ClusterServices(options.combinations, used, options.service);
    this.lab = createLab({
      topology: 'cluster',
      dispatchers: options.dispatchers,
      servers,
      offloads: options.offloads ?? 'off',
      bridged: options.bridged ?? false,
    });
    try {
      this.spraying = new Spraying(this.lab, options.mode);
      this.hub = new Hub(this.lab);
      this.seen = new Seen(this.lab);
      this.dispatchers = new Dispatchers(this.lab, this.services.config, options.settings, {
        ...(options.clusterFamily && { family: options.clusterFamily }),
        ...(options.more && { more: options.more }),
      });
    } catch (error) {
      this.lab.close();
      throw error;
    }
  }

  /** Starts servers and dispatchers. @param {{ program?: string }} [how] */
  async start(how = {}) {
    /** What the servers run, in their order; of `kinds: ['talk']` the servers of long connections. */
    this.talkServers = await this.services.startServers(this.lab, this.options.kinds);
    await this.dispatchers.start(undefined, how);
    await this.dispatchers.waitForPeers();
  }

  /** Name of the first service of long connections. */
  get talkService() {
    return Object.keys(this.services.config).find((name) => name.startsWith('talk-')) ?? '';
  }

  /** The first of its combinations. @returns {Combination} */
  get one() {
    return /** @type {Combination} */ (this.options.combinations[0]);
  }

  close() {
    this.lab.close();
  }

  /** @param {string} host */
  snmp(host) {
    return parseSnmp(this.lab.must(host, 'cat', ...SNMP_FILES));
  }

  /** A look at all witnesses, to compare with later. */
  async watch() {
    this.seen.reset();
    return new Witnesses(this, await this.dispatchers.total());
  }

  /**
   * Waits until all tables are the same.
   * @param {number} [deadlineMs]
   * @returns {Promise<string>} '' or what still differs
   */
  async converge(deadlineMs = DEADLINE_MS) {
    let last = { equal: false, text: '' };
    const equal = () => {
      last = this.dispatchers.diff();
      return last.equal;
    };
    try {
      await waitFor(equal, { deadlineMs, everyMs: 200 });
      return '';
    } catch {
      return last.text || 'not equal';
    }
  }
}
