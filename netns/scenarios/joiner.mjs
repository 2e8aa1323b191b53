/**
 * `netns/scenarios/joiner`: a dispatcher joins a cluster whose table has a million entries, all made by real packets.
 *
 *   1. d1 alone: the flow generator opens the flows through it; then connections that live long, and quiet for a while,
 *      as a measure of what a round trip takes here;
 *   2. control: d2 starts and may not open a TCP connection to anybody: it has no copy, is not ready, and forwards nothing;
 *   3. d2 starts and copies: the time until it is ready, round trips through d1 meanwhile, memory of both, broken connections;
 *   4. all packets go to d2: every flow is answered by the server that it had, and d2 opens none.
 *
 * Times are said, not judged: the machine is shared. What must hold is that nothing breaks, nothing is missing, and that the
 * source goes on forwarding.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { pathToFileURL } from 'node:url';
import { waitFor } from '../host.mjs';
import { SERVER_PORTS } from '../services.mjs';
import { CLIENT } from '../single.mjs';
import { options } from '../tools/options.mjs';
import { ClusterLab, PATIENT } from './cluster-lab.mjs';
import { Verdict } from './verdict.mjs';

/** @typedef {import('../cluster-services.mjs').Combination} Combination */

/** @type {Combination} */
const ONE = { mode: 'nat', scheduler: 'rr', lock: 'announce', family: 4 };
const CLIENTS = Array.from({ length: 100 }, (_, index) => `198.18.1.${index + 1}`);
const ADDRESSES = 1024;
const FIRST_CLIENT = '100.64.0.0';
const CLIENT_NETWORK = '100.64.0.0/10';
const QUIET_MS = 3_000;
const ROUND_DEADLINE_MS = 600_000;

/** @param {number} pid @returns {{ nowMiB: number, peakMiB: number }} */
function memoryOf(pid) {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8');
  const mib = (/** @type {string} */ name) =>
    Math.round(Number(new RegExp(`${name}:\\s+(\\d+)`).exec(status)?.[1]) / 1024);
  return { nowMiB: mib('VmRSS'), peakMiB: mib('VmHWM') };
}

/**
 * Seconds that the busiest thread of a process has run, and has waited for a CPU while it could run (proc(5), schedstat).
 * @param {number} pid
 */
function busiestThread(pid) {
  const threads = readdirSync(`/proc/${pid}/task`).map((task) =>
    readFileSync(`/proc/${pid}/task/${task}/schedstat`, 'utf8').split(' ').map(Number),
  );
  const [ran = 0, waited = 0] = threads.reduce(
    (most, one) => ((one[0] ?? 0) > (most[0] ?? 0) ? one : most),
    [0, 0],
  );
  return { ran: ran / 1e9, waited: waited / 1e9 };
}

class Joiner {
  /** @param {number} flows @param {number} connections @param {(line: string) => void} [say] */
  constructor(flows, connections, say) {
    this.flows = flows;
    this.connections = connections;
    this.verdict = new Verdict(say);
    this.bed = new ClusterLab({
      dispatchers: 2,
      combinations: [ONE],
      settings: PATIENT,
      kinds: ['talk'],
      more: {
        table: { capacity: 1_048_576 },
        flood: { 'new-sessions-per-second': 10_000_000 },
        timeouts: { udp: '1h', 'tcp-established': '1h' },
      },
    });
    this.round = 0;
  }

  async start() {
    const { bed } = this;
    const { lab, services, spraying, dispatchers } = bed;
    lab.must('router', 'ip', 'route', 'add', CLIENT_NETWORK, 'via', CLIENT[4]);
    bed.talkServers = await services.startServers(lab, ['talk']);
    await Promise.all(
      lab.servers.map((name, index) =>
        lab.startTool(name, 'flow-generator-server', ['--number', index + 1, '--port', SERVER_PORTS.udp]),
      ),
    );
    spraying.withdraw('d2');
    this.source = await dispatchers.launch('d1');
    const { host, port } = services.udp(ONE);
    this.generator = await lab.startTool('client', 'flow-generator', [
      ...['--vip', host, '--port', port, '--first', FIRST_CLIENT, '--addresses', ADDRESSES],
      ...['--flows', this.flows],
    ]);
    const talk = services.talk(ONE);
    this.talk = await lab.startTool('client', 'long-lived', [
      ...['--host', talk.host, '--port', talk.port, '--connections', this.connections],
      ...['--interval', 500, '--from', CLIENTS.join(',')],
    ]);
    this.probe = await lab.startTool('client', 'round-trips', ['--host', talk.host, '--port', talk.port]);
  }

  /** Asks every flow once. @param {string} claim */
  async askAll(claim) {
    const generator = /** @type {import('../processes.mjs').LabProcess} */ (this.generator);
    await generator.ask(`round ${++this.round}`);
    await waitFor(async () => !(await generator.ask('report')).running, {
      deadlineMs: ROUND_DEADLINE_MS,
      everyMs: 200,
      what: `round ${this.round}`,
    });
    const { answered, unanswered, moved, wrongSource, repeated, seconds } = await generator.ask('report');
    const whole = unanswered + moved + wrongSource === 0 && answered === this.flows;
    const figures = {
      answered,
      unanswered,
      moved,
      wrongSource,
      repeated,
      seconds: Number(seconds.toFixed(1)),
    };
    return this.verdict.claim(claim, whole, figures);
  }

  /** The cause of success taken away. */
  async control() {
    const { bed, verdict } = this;
    const { dispatchers, hub } = bed;
    hub.cut([['d2', 'd1']], 'tcp dport 7373');
    const joiner = await dispatchers.launch('d2', { ready: false });
    /** @type {any} */
    let status;
    await waitFor(
      () => {
        const { code, stdout } = joiner.cli('status', '--json');
        status = code === 0 ? JSON.parse(stdout) : undefined;
        return status?.ready || (status?.cluster.up === 2 && hub.dropped > 1);
      },
      { what: 'd2 to hear d1 and to ask for a copy in vain', everyMs: 100 },
    );
    verdict.claim('control: without a copy the joiner is not ready', !status.ready && hub.dropped > 0, {
      ready: status.ready,
      joining: status.cluster.joining,
      connectionsCut: hub.dropped,
    });
    await dispatchers.kill9('d2');
    hub.heal();
  }

  async join() {
    const { bed, verdict } = this;
    const { dispatchers } = bed;
    const source = /** @type {import('../dispatcher.mjs').Dispatcher} */ (this.source);
    const probe = /** @type {import('../processes.mjs').LabProcess} */ (this.probe);
    await probe.ask('look');
    await new Promise((resolve) => setTimeout(resolve, QUIET_MS));
    const quiet = await probe.ask('look');
    const before = memoryOf(source.daemon.pid);
    const sourceBefore = busiestThread(source.daemon.pid);
    const startedAt = Date.now();
    const joiner = await dispatchers.launch('d2', { deadlineMs: ROUND_DEADLINE_MS });
    const readySeconds = (Date.now() - startedAt) / 1000;
    const meanwhile = await probe.ask('look');
    const log = joiner.daemon.errorLines.map((line) => /** @type {any} */ (parsed(line)));
    const copy = log.find(({ msg }) => msg === 'the table was copied');
    const sinceStart = (/** @type {any} */ line) =>
      line === undefined ? 'unknown' : Number(((Date.parse(line.time) - startedAt) / 1000).toFixed(2));
    const after = memoryOf(source.daemon.pid);
    const used = [source, joiner].map((one) => one.json('status').table.used);
    verdict.claim('the joiner is ready and knows every entry', used[0] === used[1] && used[0] >= this.flows, {
      entries: used,
      readySeconds: Number(readySeconds.toFixed(2)),
      hearsSourceAfter: sinceStart(log.find(({ msg }) => msg === 'dispatcher is up')),
      copiedAfter: sinceStart(copy),
      copyBytes: copy?.bytes,
    });
    verdict.claim('the source forwards meanwhile', meanwhile.count > 0 && meanwhile.broken === 0, {
      quiet,
      meanwhile,
      'p99 ratio': Number((meanwhile.p99 / quiet.p99).toFixed(1)),
    });
    const sourceAfter = busiestThread(source.daemon.pid);
    const joinerThread = busiestThread(joiner.daemon.pid);
    const seconds = (/** @type {number} */ value) => `${value.toFixed(1)} s`;
    verdict.say(
      `          dispatcher threads: source ran ${seconds(sourceAfter.ran - sourceBefore.ran)}, waited for a CPU` +
        ` ${seconds(sourceAfter.waited - sourceBefore.waited)}; joiner ran ${seconds(joinerThread.ran)}, waited ${seconds(joinerThread.waited)}`,
    );
    verdict.say(
      `          memory: source ${before.nowMiB} MiB before, ${after.nowMiB} after, peak ${after.peakMiB};` +
        ` joiner ${JSON.stringify(memoryOf(joiner.daemon.pid))}`,
    );
    const { open, broken, wrongServer } = await /** @type {any} */ (this.talk).ask('report');
    verdict.claim('none broken meanwhile', open === this.connections && broken + wrongServer === 0, {
      open,
      broken,
      wrongServer,
    });
  }

  async takeOver() {
    const { bed, verdict } = this;
    const before = (await bed.dispatchers.counters('d2'))['flow-opened'] ?? 0;
    bed.spraying.set(['d2']);
    await this.askAll('all flows through the joiner: each is answered by the server that it had');
    const opened = ((await bed.dispatchers.counters('d2'))['flow-opened'] ?? 0) - before;
    verdict.claim('and none was opened anew', opened === 0, { opened });
    const { round } = await /** @type {any} */ (this.talk).ask('report');
    /** @type {any} */
    let now;
    await waitFor(
      async () => {
        now = await /** @type {any} */ (this.talk).ask('report');
        return now.round >= round + 2 || now.broken > 0;
      },
      { what: 'long connections to go on through the joiner', everyMs: 200 },
    );
    verdict.claim('long connections go on through it', now.broken + now.wrongServer === 0, {
      open: now.open,
      broken: now.broken,
      wrongServer: now.wrongServer,
    });
  }

  async run() {
    await this.start();
    if (!(await this.askAll('every flow is opened through d1'))) return this.verdict;
    await this.control();
    await this.join();
    await this.takeOver();
    return this.verdict;
  }
}

/** A line of the log, or nothing of the sort. @param {string} line */
function parsed(line) {
  try {
    return JSON.parse(line);
  } catch {
    return {};
  }
}

/** @param {{ flows?: number, connections?: number, say?: (line: string) => void }} [given] @returns {Promise<Verdict>} */
export async function joiner({ flows = 1_000_000, connections = 1000, say } = {}) {
  const scenario = new Joiner(flows, connections, say);
  try {
    return await scenario.run();
  } finally {
    scenario.bed.close();
  }
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) {
  const given = options('A dispatcher joins a cluster that knows many flows', {
    flows: 1_000_000,
    connections: 1000,
  });
  const say = (/** @type {string} */ line) => void process.stdout.write(`${line}\n`);
  const { broken, claims } = await joiner({ ...given, say });
  say(broken.length === 0 ? `\n${claims.length} claims hold` : `\nBROKEN: ${broken.join('\n  ')}`);
  process.exitCode = broken.length === 0 ? 0 : 1;
}
