/**
 * The network between the dispatchers of topology `cluster`, as bad as a scenario wants it: cut in one direction or
 * both (nftables in the hub), or with all that passes the hub led through a wire (tools/wire.mjs) that loses,
 * repeats, delays and reorders by seed.
 */
import { clusterAddress, deviceTo } from './cluster.mjs';
import { ipBatch, waitFor } from './host.mjs';

const WIRE_TABLE = 300;

/**
 * @typedef {object} WireOptions in percent of packets, milliseconds
 * @property {number} [seed]
 * @property {number} [loss]
 * @property {number} [duplicate]
 * @property {number} [reorder] these wait `delay` longer
 * @property {number} [delay]
 *
 * @typedef {{ packets: number, passed: number, lost: number, duplicated: number, reordered: number, delayed: number }} WireReport
 */

export class Hub {
  /** @param {import('./laboratory.mjs').Lab} lab */
  constructor(lab) {
    this.lab = lab;
    this.dispatchers = lab.hosts.filter((host) => /^d\d$/.test(host));
    /** @type {import('./processes.mjs').LabProcess | undefined} */
    this.wire = undefined;
  }

  /**
   * Drops what goes from one of some dispatchers to one of others.
   * @param {readonly (readonly [from: string, to: string, only?: string])[]} pairs `only` such packets, as an nftables match
   * @param {string} [only] the same for those pairs that say nothing
   */
  cut(pairs, only = '') {
    const rules = pairs.flatMap(([from, to, own = only]) => [
      `    ip saddr ${clusterAddress(from, 4)} ip daddr ${clusterAddress(to, 4)} ${own} counter name cut drop`,
      `    ip6 saddr ${clusterAddress(from, 6)} ip6 daddr ${clusterAddress(to, 6)} ${own} counter name cut drop`,
    ]);
    this.lab.nftables(
      'hub',
      `table inet lab_cut { }
delete table inet lab_cut
table inet lab_cut {
  counter cut { }
  chain cutting {
    type filter hook forward priority filter
${rules.join('\n')}
  }
}
`,
    );
  }

  /** Cuts one dispatcher, or some, off from the others. @param {readonly string[]} group @param {{ oneWay?: boolean }} [options] `oneWay`: only what they send */
  partition(group, { oneWay = false } = {}) {
    const others = this.dispatchers.filter((name) => !group.includes(name));
    const out = group.flatMap((from) => others.map((to) => /** @type {const} */ ([from, to])));
    this.cut(oneWay ? out : [...out, ...out.map(([from, to]) => /** @type {const} */ ([to, from]))]);
  }

  /** Cuts everybody off from everybody. */
  cutAll() {
    this.cut(
      this.dispatchers.flatMap((from) =>
        this.dispatchers.filter((to) => to !== from).map((to) => /** @type {const} */ ([from, to])),
      ),
    );
  }

  /** Packets dropped by the present cut. @returns {number} */
  get dropped() {
    const { nftables } = JSON.parse(this.lab.must('hub', 'nft', '-j', 'list', 'counters'));
    return nftables.find((/** @type {any} */ entry) => entry.counter?.name === 'cut')?.counter.packets ?? 0;
  }

  /** Ends a cut. */
  heal() {
    this.lab.must('hub', 'nft', 'delete', 'table', 'inet', 'lab_cut');
  }

  /** Leads all that passes the hub through a wire. @param {WireOptions} options */
  async putWire(options) {
    const words = Object.entries(options).flatMap(([name, value]) => [`--${name}`, value]);
    const wire = await this.lab.startTool('hub', 'wire', words);
    this.wire = wire;
    const tables = ['default', '::/0'].map((route) => `route add ${route} dev wire-in table ${WIRE_TABLE}`);
    ipBatch([...tables, ...this.#wireRules('add')], this.lab.namespace('hub'));
  }

  /** @param {'add' | 'del'} verb */
  #wireRules(verb) {
    return ['', '-6 '].flatMap((flag) =>
      this.dispatchers.map(
        (name) => `${flag}rule ${verb} priority 100 iif ${deviceTo(name)} lookup ${WIRE_TABLE}`,
      ),
    );
  }

  /** What the wire has done so far. @returns {Promise<WireReport>} */
  async wireReport() {
    if (this.wire === undefined) throw new Error('no wire');
    return this.wire.ask('report');
  }

  /** Takes the wire out again. @returns {Promise<WireReport>} what it did, all told */
  async removeWire() {
    const { wire } = this;
    if (wire === undefined) throw new Error('no wire');
    ipBatch(this.#wireRules('del'), this.lab.namespace('hub'));
    const report = await this.wireReport();
    await wire.stop('SIGTERM');
    this.wire = undefined;
    await waitFor(() => !this.lab.must('hub', 'ip', 'link').includes('wire-in'), { what: 'the wire to go' });
    return report;
  }
}
