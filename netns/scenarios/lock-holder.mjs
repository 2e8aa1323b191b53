/**
 * `netns/scenarios/lock-holder`: the holder of a client lock dies while it waits for grants.
 *
 * `lock: confirm` with `confirm-timeout: 5s`. A client's first packet comes to d1, which places a lock; no grant reaches it
 * (held-grants.mjs), so the packet waits there, and `latchway locks` shows the lock at d1, which holds it, and at the
 * others, which granted it. Then d1 is killed. The lock is void when its lease ends or its holder is known to be dead:
 *
 *   http       the client's first SYN repeat (1 s) that finds it so is answered by way of another dispatcher
 *   udp        the next datagram after that is answered
 *   controls   with grants let through d1 answers at once, and no lock stays; in a build whose locks outlive lease and
 *              holder no repeat is answered
 *
 * By hand the lease (900 ms) ends before the first repeat, which must then be the one, within 2.5 s of the first SYN. On a
 * machine where commands take their time a longer lease lets all of them see the lock; what counts then is the order.
 */
import { pathToFileURL } from 'node:url';
import { waitFor } from '../host.mjs';
import { buildMutant } from '../mutant.mjs';
import { SprayedCapture } from '../sprayed-capture.mjs';
import { options } from '../tools/options.mjs';
import { ClusterLab } from './cluster-lab.mjs';
import { HeldGrants } from './held-grants.mjs';
import { Verdict } from './verdict.mjs';

/** @typedef {import('../cluster-services.mjs').Combination} Combination */
/** @typedef {'http' | 'udp'} Protocol */
/** @typedef {{ localPort: number, tool: import('../processes.mjs').LabProcess }} Client */

/** @type {Combination} */
const ONE = { mode: 'nat', scheduler: 'rr', lock: 'confirm', family: 4 };
const HOLDER = 'd1';
const OTHERS = ['d2', 'd3'];
const FIRST_PORT = 20_000;
const ATTEMPTS = 20;
/** After the second SYN repeat. */
const IN_VAIN_MS = 4000;
const DONE_MS = 2500;
/** A lock that nothing voids. */
const ETERNAL = [
  {
    file: 'cluster/locks.js',
    from: 'return (context.now < lock.leaseEnd &&',
    to: 'return (true || context.now < lock.leaseEnd &&',
  },
  {
    file: 'cluster/locks.js',
    from: "if (lock.kind === 'foreign' && lock.holder === node)",
    to: 'if (node < 0)',
  },
];

class LockHolder {
  /** @param {ClusterLab} bed @param {boolean} timed whether the first repeat must be the one @param {(line: string) => void} [say] */
  constructor(bed, timed, say) {
    this.bed = bed;
    this.timed = timed;
    this.verdict = new Verdict(say);
    this.held = new HeldGrants(bed.lab, HOLDER, OTHERS);
    this.clients = 0;
  }

  /** @param {Protocol} protocol @param {number} [timeout] ms @returns {Promise<Client>} */
  async #client(protocol, timeout = 60_000) {
    const { host, port } = protocol === 'http' ? this.bed.services.web(ONE) : this.bed.services.udp(ONE);
    const localPort = FIRST_PORT + this.clients++;
    const words = Object.entries({ protocol, host, port, localPort, timeout });
    const flags = words.flatMap(([name, value]) => [`--${name}`, value]);
    return { localPort, tool: await this.bed.lab.startTool('client', 'first-packet', flags) };
  }

  /** The lock of a client as each dispatcher shows it, all asked at the same time. @param {number} localPort */
  async #locks(localPort) {
    const views = await Promise.all(
      [...this.bed.dispatchers.running].map(async ([name, dispatcher]) => {
        const locks = await dispatcher.jsonMeanwhile('locks');
        return [name, locks.find((/** @type {any} */ one) => one.client.endsWith(`:${localPort}`))];
      }),
    );
    return /** @type {Record<string, any>} */ (Object.fromEntries(views));
  }

  /**
   * One client that meets the holder alone; another one, if the lock ended before all had shown it.
   * @param {Protocol} protocol @param {number} [timeout] ms
   */
  async #lockSeen(protocol, timeout) {
    this.bed.spraying.set([HOLDER]);
    this.held.hold();
    for (let attempt = 1; ; attempt++) {
      const client = await this.#client(protocol, timeout);
      await client.tool.ask('go');
      const locks = await this.#locks(client.localPort);
      if (Object.values(locks).every((lock) => lock !== undefined)) return { client, locks, attempt };
      await client.tool.stop('SIGKILL');
      if (attempt === ATTEMPTS) throw new Error(`the lock was not seen everywhere: ${JSON.stringify(locks)}`);
    }
  }

  /** @param {string} what @param {Record<string, any>} locks @param {number} attempt */
  #judgeLock(what, locks, attempt) {
    const { grants, others, heartbeats } = this.held.counts;
    const at = locks[HOLDER];
    const all = [HOLDER, ...OTHERS].map((name) => locks[name]);
    // A client that is kept waiting for a second has repeated itself.
    const own = at.waiting > 0 && [...at.pending].sort().join() === OTHERS.join();
    const same = all.every(({ holder, server }) => holder === HOLDER && server === at.server);
    const leased = all.every(({ leaseLeftMs, ageMs }) => leaseLeftMs > 0 && ageMs >= 0);
    const dropped = OTHERS.every((name) => (grants[name] ?? 0) > 0) && heartbeats > 0;
    const shown = (/** @type {string} */ name) => {
      const { holder, ageMs, leaseLeftMs, waiting, pending } = locks[name];
      return `${name}: holder ${holder}, age ${ageMs} ms, lease ${leaseLeftMs} ms, waiting ${waiting}, not answered [${pending}]`;
    };
    this.verdict.claim(
      `${what}: the lock is seen at all, its grants are dropped`,
      own && same && leased && dropped,
      {
        attempt,
        locks: [HOLDER, ...OTHERS].map(shown),
        server: at.server,
        grantsDropped: grants,
        mixedDropped: others,
        heartbeatsPassed: heartbeats,
      },
    );
  }

  async #kill() {
    await this.bed.dispatchers.kill9(HOLDER);
    this.bed.spraying.set(OTHERS);
  }

  /** @param {Client} client */
  async #end({ tool }) {
    return waitFor(
      async () => {
        const now = await tool.ask('report');
        return (now.answered > 0 || now.error !== '') && now;
      },
      { what: 'an answer to the client, or its end' },
    );
  }

  async http() {
    const { host, port } = this.bed.services.web(ONE);
    const filter = 'tcp[tcpflags] & tcp-syn != 0';
    const capture = new SprayedCapture(this.bed.lab, [HOLDER, ...OTHERS], filter);
    await capture.start();
    const { attempt, client, locks } = await this.#lockSeen('http');
    this.#judgeLock('http', locks, attempt);
    await this.#kill();
    const { answered, error, firstMs, server } = await this.#end(client);
    const story = (await capture.stop()).filter((line) => line.includes(`.${client.localPort}`));
    // The first of a dispatcher's two sights of a SYN is the client's own.
    const asked = story.filter((line) => line.includes(`> ${host}.${port}:`));
    const by = asked.at(-1)?.split('  ').at(-2)?.trim() ?? '';
    const order =
      asked[0]?.includes(`  ${HOLDER}  `) === true &&
      OTHERS.some((name) => asked.at(-1)?.includes(`  ${name}  `));
    const first = !this.timed || (asked.length === 2 && firstMs <= DONE_MS);
    this.verdict.claim(
      `http: a SYN repeat is answered by way of another dispatcher${this.timed ? ', the first one, within 2.5 s' : ''}`,
      answered === 1 && error === '' && order && first && server === locks[HOLDER].server,
      { firstMs, syns: asked.length, by, server, intended: locks[HOLDER].server, story },
    );
    await this.#restore();
  }

  async udp() {
    const { attempt, client, locks } = await this.#lockSeen('udp');
    this.#judgeLock('udp', locks, attempt);
    await this.#kill();
    const early = await client.tool.ask('report');
    await waitFor(
      async () => {
        const left = await Promise.all(OTHERS.map((name) => this.bed.dispatchers.get(name).look('/locks')));
        return left.every((one) => one?.length === 0);
      },
      { what: 'the lock to be void at all' },
    );
    await client.tool.ask('go');
    const { answered, firstMs, sent, server } = await this.#end(client);
    this.verdict.claim(
      'udp: the next datagram after the lock is answered',
      early.answered === 0 && answered === 1 && sent === 2 && server === locks[HOLDER].server,
      { sent, answered, firstMs, server, intended: locks[HOLDER].server },
    );
    await client.tool.stop('SIGKILL');
    await this.#restore();
  }

  async #restore() {
    const { dispatchers } = this.bed;
    this.held.release();
    await dispatchers.start([HOLDER]);
    await dispatchers.waitForPeers();
  }

  /** Grants come through. */
  async granted() {
    this.bed.spraying.set([HOLDER]);
    const client = await this.#client('http');
    await client.tool.ask('go');
    const { answered, firstMs } = await this.#end(client);
    const left = Object.values(await this.#locks(client.localPort)).filter((lock) => lock !== undefined);
    this.verdict.claim(
      'control: with grants let through the holder answers, and no lock stays',
      answered === 1 && left.length === 0,
      { answered, firstMs, locks: left.length },
    );
  }

  /** The rule that voids a lock taken out of the build. */
  async eternal() {
    const { dispatchers, lab } = this.bed;
    await dispatchers.stopAll();
    await dispatchers.start(undefined, { program: buildMutant(lab, ...ETERNAL) });
    await dispatchers.waitForPeers();
    const { client, locks } = await this.#lockSeen('http', IN_VAIN_MS);
    await this.#kill();
    const { answered, error } = await this.#end(client);
    this.verdict.claim(
      'control: where lease and death void no lock, no repeat is answered',
      answered === 0 && error !== '',
      { answered, error, waitedMs: IN_VAIN_MS, holder: locks[HOLDER].holder },
    );
  }
}

/**
 * @param {object} [given]
 * @param {string} [given.lease]
 * @param {boolean} [given.timed] whether the client's very first repeat must be the one, in 2.5 s
 * @param {(line: string) => void} [given.say]
 * @returns {Promise<Verdict>}
 */
export async function lockHolder({ lease = '900ms', timed = true, say } = {}) {
  const bed = new ClusterLab({
    dispatchers: 3,
    combinations: [ONE],
    servers: 3,
    // Many heartbeats, for those that ride with a grant are lost. Whoever has to wait for a processor is not dead for that.
    settings: { 'confirm-timeout': '5s', lease, heartbeat: '20ms', 'dead-after': timed ? '500ms' : '3s' },
    kinds: ['web', 'udp'],
  });
  try {
    await bed.start();
    const scenario = new LockHolder(bed, timed, say);
    await scenario.granted();
    await scenario.http();
    await scenario.udp();
    await scenario.eternal();
    return scenario.verdict;
  } finally {
    bed.close();
  }
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) {
  const given = options('The holder of a lock dies while it waits for grants', {
    lease: '900ms',
    untimed: false,
  });
  const say = (/** @type {string} */ line) => void process.stdout.write(`${line}\n`);
  const { broken, claims } = await lockHolder({ lease: given.lease, timed: !given.untimed, say });
  say(broken.length === 0 ? `\n${claims.length} claims hold` : `\nBROKEN: ${broken.join('\n  ')}`);
  process.exitCode = broken.length === 0 ? 0 : 1;
}
