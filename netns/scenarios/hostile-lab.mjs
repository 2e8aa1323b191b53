/**
 * What the scenario of strangers plays on: three dispatchers with connections, a recording of what the others say to d1, packets of any source that
 * are sent in parts and counted, and callers of the TCP port.
 */
import { readFileSync } from 'node:fs';
import { clusterAddress } from '../cluster.mjs';
import { askSocket } from '../control-socket.mjs';
import { waitFor } from '../host.mjs';
import { ClusterLab, PATIENT } from './cluster-lab.mjs';
import { fragmentsOf, recorded } from './hostile-packets.mjs';
import { PacketLoad } from './packet-load.mjs';
import { Verdict } from './verdict.mjs';

/** @typedef {import('../cluster-services.mjs').Combination} Combination */

/** @type {Combination} */
export const ONE = { mode: 'nat', scheduler: 'rr', lock: 'auto', family: 4 };
const CLIENTS = Array.from({ length: 100 }, (_, index) => `198.18.1.${index + 1}`);
export const VICTIM = clusterAddress('d1', 4);
export const PEER = clusterAddress('d2', 4);
export const STRANGER = '10.0.9.254';
export const PORT = 7373;
/** Sent at once: fewer than the socket's queue holds while its thread waits for its turn. */
export const CHUNK = 1_000;
const RECORDED = 400;

export class HostileLab {
  /** @param {number} connections @param {number} datagrams of each kind and source @param {number} calls of each kind @param {(line: string) => void} [say] */
  constructor(connections, datagrams, calls, say) {
    this.connections = connections;
    this.datagrams = datagrams;
    this.calls = calls;
    this.verdict = new Verdict(say);
    this.bed = new ClusterLab({
      dispatchers: 3,
      combinations: [ONE],
      settings: PATIENT,
      kinds: ['talk', 'udp'],
    });
    this.load = new PacketLoad(this.bed.lab);
  }

  get victim() {
    return this.bed.dispatchers.get('d1');
  }

  counters() {
    return askSocket(this.victim.socket, '/counters');
  }

  residentMiB() {
    const status = readFileSync(`/proc/${this.victim.daemon.pid}/status`, 'utf8');
    return Math.round(Number(/VmRSS:\s+(\d+)/.exec(status)?.[1]) / 1024);
  }

  async start() {
    const { bed } = this;
    await bed.start();
    // So that a copy does not fit into what the kernels hold for one who does not read.
    bed.lab.must('d1', 'sysctl', '-q', '-w', 'net.ipv4.tcp_wmem=4096 8192 8192');
    bed.lab.must('d2', 'sysctl', '-q', '-w', 'net.ipv4.tcp_rmem=4096 4096 4096');
    const { host, port } = bed.services.talk(ONE);
    this.talk = await bed.lab.startTool('client', 'long-lived', [
      ...['--host', host, '--port', port, '--connections', this.connections],
      ...['--interval', 500, '--from', CLIENTS.join(',')],
    ]);
  }

  /** Listens for a while to what the others say to d1. */
  async record() {
    const { lab } = this.bed;
    const file = lab.file('recording.pcap');
    const filter = `udp port ${PORT} and dst host ${VICTIM}`;
    const command = ['tcpdump', '-n', '-U', '-c', String(RECORDED), '-w', file, '-i', 'to-d1', filter];
    const tcpdump = await lab.spawn('hub', command, { readyError: /listening on/ });
    const { host, port } = this.bed.services.udp(ONE);
    // Sessions, so that it is not heartbeats alone.
    await lab.tool('client', 'udp-burst', [
      '--host',
      host,
      '--port',
      port,
      '--sessions',
      3000,
      '--datagrams',
      1,
    ]);
    await tcpdump.exited;
    return recorded(file);
  }

  /**
   * Sends packets in parts, each when the one before was counted.
   * @param {readonly Buffer[]} packets
   * @param {(counters: Record<string, number>) => number} counted
   * @returns how many were counted, and the counters that rose
   */
  async sendCounted(packets, counted) {
    const before = await this.counters();
    let last = counted(before);
    for (let at = 0; at < packets.length; at += CHUNK) {
      const part = packets.slice(at, at + CHUNK);
      const { refused } = await this.load.send('hub', part.flatMap(fragmentsOf));
      if (refused > 0) throw new Error(`the kernel refused ${refused} packets`);
      const target = last + part.length;
      await waitFor(async () => counted(await this.counters()) >= target, {
        everyMs: 50,
        what: 'all to be counted',
      }).catch(() => {});
      last = counted(await this.counters());
    }
    const after = await this.counters();
    /** @type {Record<string, number>} */
    const rises = {};
    for (const [name, value] of Object.entries(after)) {
      const rise = /** @type {number} */ (value) - before[name];
      if (rise > 0 && /refused|stranger|tunnel-bad|^drop-/.test(name)) rises[name] = rise;
    }
    return { counted: counted(after) - counted(before), rises };
  }

  /** @param {string} client its address, or how it begins */
  flowsOf(client) {
    return this.victim.json('flows').filter((/** @type {any} */ flow) => flow.client.startsWith(client))
      .length;
  }

  async refusedConnections() {
    return (await askSocket(this.victim.socket, '/status')).cluster.refusedConnections;
  }

  /** @param {string} host @param {string} kind @param {number} count */
  callers(host, kind, count) {
    const { lab } = this.bed;
    const from = host === 'hub' ? STRANGER : PEER;
    return lab.tool(host, 'hostile-tcp', [
      ...['--host', VICTIM, '--from', from, '--kind', kind, '--count', count],
      ...['--key', lab.file('cluster.key')],
    ]);
  }

  /** Dispatchers that answer d2 about a packet. */
  async explained() {
    const { host, port } = this.bed.services.talk(ONE);
    const outcome = await this.bed.lab.exec('d2', [
      process.execPath,
      this.victim.program,
      ...['explain', `tcp 198.51.100.9:4000 > ${host}:${port}`, '--json'],
      ...['--socket', this.bed.dispatchers.get('d2').socket],
    ]);
    if (outcome.code !== 0) return 0;
    return JSON.parse(outcome.stdout).filter((/** @type {any} */ one) => one.answered).length;
  }
}

/** @param {Record<string, number>} counters */
export function refusedDatagrams(counters) {
  return Object.entries(counters)
    .filter(([name]) => name.startsWith('cluster-refused-') && name !== 'cluster-refused-connection')
    .reduce((sum, [, value]) => sum + value, 0);
}

/** @param {Record<string, number>} counters */
export function drops(counters) {
  return Object.entries(counters)
    .filter(([name]) => name.startsWith('drop-'))
    .reduce((sum, [, value]) => sum + value, 0);
}
