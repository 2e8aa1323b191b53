/**
 * What the scenario of a million flows plays on: a lab with echo servers, a dispatcher, the generator of flows in the
 * client's place, and the questions that the scenario puts to them.
 */
import { spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { startDispatcher } from '../dispatcher.mjs';
import { waitFor } from '../host.mjs';
import { createLab } from '../laboratory.mjs';
import { natService, SERVER_PORTS } from '../services.mjs';
import { CLIENT } from '../single.mjs';
import { Tuples } from '../tools/flow-generator-packet.mjs';

const VIP = '192.0.2.10';
const PORT = 53;
const FIRST_CLIENT = '100.64.0.0';
const CLIENT_NETWORK = '100.64.0.0/10';
const SERVERS = 4;
const ROUND_DEADLINE_MS = 600_000;

/** Client addresses that the flows are of. */
export const ADDRESSES = 1024;

/** @param {{ capacity: number, queues: number }} size @param {string} udp time-out */
function configuration({ capacity, queues }, udp) {
  const echo = natService(VIP, 'udp', PORT, SERVER_PORTS.udp, { count: SERVERS, scheduler: 'rr' });
  return {
    device: { queues },
    table: { capacity },
    flood: { 'new-sessions-per-second': 10_000_000 },
    timeouts: { udp },
    services: { echo },
  };
}

/** A lab with a dispatcher and a generator of flows. */
export class FlowLab {
  /** @param {number} flows @param {{ capacity: number, queues: number }} size @param {string} udp time-out of a flow */
  constructor(flows, size, udp) {
    this.flows = flows;
    this.size = size;
    this.udp = udp;
    this.tuples = new Tuples({ vip: VIP, port: PORT, first: FIRST_CLIENT, addresses: ADDRESSES, flows });
    this.lab = createLab({ servers: SERVERS });
    this.round = 0;
    this.residentAtStartKb = 0;
  }

  async start() {
    const { lab } = this;
    lab.must('router', 'ip', 'route', 'add', CLIENT_NETWORK, 'via', CLIENT[4]);
    await Promise.all(
      lab.servers.map((name, index) =>
        lab.startTool(name, 'flow-generator-server', ['--number', index + 1, '--port', SERVER_PORTS.udp]),
      ),
    );
    await this.startDispatcher();
    this.residentAtStartKb = this.residentKb();
    const target = ['--vip', VIP, '--port', PORT, '--first', FIRST_CLIENT, '--addresses', ADDRESSES];
    this.generator = await lab.startTool('client', 'flow-generator', [...target, '--flows', this.flows]);
  }

  /** @returns {import('../dispatcher.mjs').Dispatcher} */
  get daemon() {
    if (this.dispatcher === undefined) throw new Error('not started');
    return this.dispatcher;
  }

  /** @param {string} question @returns {Promise<any>} */
  ask(question) {
    if (this.generator === undefined) throw new Error('not started');
    return this.generator.ask(question);
  }

  counters() {
    return this.daemon.json('counters', '--all');
  }

  used() {
    return this.daemon.json('status').table.used;
  }

  async startDispatcher() {
    this.dispatcher = await startDispatcher(this.lab, configuration(this.size, this.udp));
  }

  /** Kilobytes that the dispatcher has in memory. */
  residentKb() {
    const status = readFileSync(`/proc/${this.daemon.daemon.pid}/status`, 'utf8');
    return Number(/VmRSS:\s+(\d+)/.exec(status)?.[1]);
  }

  /** Asks every tuple once. @returns {Promise<any>} the generator's report */
  async askAll() {
    this.round++;
    await this.ask(`round ${this.round}`);
    const done = async () => !(await this.ask('report')).running;
    await waitFor(done, { deadlineMs: ROUND_DEADLINE_MS, everyMs: 200, what: `round ${this.round}` });
    return this.ask('report');
  }

  /** Has the dispatcher read its configuration again, with another time-out. @param {string} udp */
  async reload(udp) {
    const { hash } = this.daemon.json('status').config;
    this.daemon.reload(configuration(this.size, udp));
    await waitFor(() => this.daemon.json('status').config.hash !== hash, { what: 'the reload' });
  }

  /** Lists the whole table. @returns {Promise<{ rows: number, distinct: number, odd: number, code: number | null }>} */
  async listFlows() {
    const { program, socket } = this.daemon;
    const child = spawn(process.execPath, [program, 'flows', '--json', '--socket', socket], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    const ended = new Promise((resolve) => child.once('close', resolve));
    const seen = new Uint8Array(this.flows);
    const result = { rows: 0, distinct: 0, odd: 0, code: /** @type {number | null} */ (null) };
    for await (const line of createInterface({ input: child.stdout })) {
      if (!line.startsWith('{')) continue;
      const { client, service, state } = JSON.parse(line.replace(/,$/, ''));
      const flow = this.tuples.flowOf(client);
      result.rows++;
      if (flow < 0 || service !== 'echo' || state !== 'udp') result.odd++;
      else if (seen[flow] === 0) {
        seen[flow] = 1;
        result.distinct++;
      }
    }
    result.code = await ended;
    return result;
  }
}
