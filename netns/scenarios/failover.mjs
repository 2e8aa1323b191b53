/**
 * `netns/scenarios/failover`: connections that live long, each sending a line now and then, each packet to the next of four
 * dispatchers; and meanwhile
 *
 *   death           kill -9 of one, its route withdrawn at once
 *   join            it comes back, with its route there before it is ready: it forwards nothing until it knows the table
 *   late death      kill -9 of one while servers send of their own accord, its route withdrawn only 2 s later
 *   change          one server drained and another one added while a dispatcher dies
 *   rolling         all restarted in good order, one by one
 *   control         all killed at once and started again: nobody knows the connections, and they break
 *
 * Broken connections, wrong servers and resets that servers see: 0 each, except under control.
 */
import { pathToFileURL } from 'node:url';
import { waitFor } from '../host.mjs';
import { options } from '../tools/options.mjs';
import { ClusterLab, PATIENT } from './cluster-lab.mjs';
import { Verdict } from './verdict.mjs';

/** @typedef {import('../cluster-services.mjs').Combination} Combination */

/** @type {Combination} */
const ONE = { mode: 'nat', scheduler: 'rr', lock: 'auto', family: 4 };
/** Clients, so that sessions by client spread over the servers. */
const CLIENTS = Array.from({ length: 100 }, (_, index) => `198.18.1.${index + 1}`);
const ROUNDS = 2;
const DEADLINE_MS = 60_000;

class Failover {
  /** @param {ClusterLab} bed @param {import('../processes.mjs').LabProcess} talk @param {(line: string) => void} [say] */
  constructor(bed, talk, say) {
    this.bed = bed;
    this.talk = talk;
    this.verdict = new Verdict(say);
  }

  /** Waits until every connection was answered some more times. @param {string} what */
  async goOn(what) {
    const { round, open } = await this.talk.ask('report');
    /** @type {any} */
    let now;
    await waitFor(
      async () => {
        now = await this.talk.ask('report');
        return now.round >= round + ROUNDS || now.broken > 0;
      },
      { what: `all connections to go on after ${what}`, everyMs: 200, deadlineMs: DEADLINE_MS },
    );
    return { ...now, openBefore: open };
  }

  /** @param {string} what @param {number} resetsBefore @param {object} [more] @param {boolean} [also] */
  async judge(what, resetsBefore, more = {}, also = true) {
    const { open, broken, wrongServer, resets, errors } = await this.goOn(what);
    const serverResets = this.bed.seen.resets - resetsBefore;
    const whole = broken === 0 && wrongServer === 0 && resets === 0 && serverResets === 0;
    this.verdict.claim(what, whole && also, {
      open,
      broken,
      wrongServer,
      resets,
      serverResets,
      errors,
      ...more,
    });
  }

  /** Its route goes at once, as with BFD or BGP and a short hold. @param {string} name */
  async death(name) {
    const before = this.bed.seen.resets;
    await this.bed.dispatchers.kill9(name);
    this.bed.spraying.withdraw(name);
    await this.judge(`death of ${name}, route withdrawn at once`, before);
  }

  /** @param {string} name */
  async join(name) {
    const before = this.bed.seen.resets;
    const { dispatchers, spraying } = this.bed;
    const starting = await dispatchers.launch(name, { ready: false });
    spraying.add(name);
    /** @type {{ ready: boolean, forwarded: number, held: number }[]} */
    const looks = [];
    await waitFor(
      () => {
        const { code, stdout } = starting.cli('status', '--json');
        if (code !== 0) return false;
        const counters = dispatchers.counters(name);
        const { ready } = JSON.parse(stdout);
        const forwarded = (counters['nat-request'] ?? 0) + (counters['nat-reply'] ?? 0);
        looks.push({ ready, forwarded, held: counters['drop-not-ready'] ?? 0 });
        return starting.cli('status', '--json').stdout.includes('"ready": true');
      },
      { what: `${name} to be ready`, everyMs: 20, deadlineMs: DEADLINE_MS },
    );
    const early = looks.filter(({ ready, forwarded }) => !ready && forwarded > 0);
    // A look that was answered before it was ready, with counters read after it became so, proves nothing either way.
    const held = dispatchers.counters(name)['drop-not-ready'] ?? 0;
    await this.judge(
      `${name} joins`,
      before,
      { looks: looks.length, early: early.length, held },
      early.length <= 1,
    );
  }

  /** @param {string} name */
  async lateDeath(name) {
    const before = this.bed.seen.resets;
    for (const server of this.bed.talkServers) await server.ask('push 20');
    await this.bed.dispatchers.kill9(name);
    await new Promise((resolve) => setTimeout(resolve, 2000));
    this.bed.spraying.withdraw(name);
    await this.judge(`death of ${name} while servers send, route withdrawn 2 s late`, before);
    for (const server of this.bed.talkServers) await server.ask('push 0');
  }

  /** A drained server keeps what it has; a new one gets some. @param {string} name of the dispatcher that dies meanwhile */
  async change(name) {
    const before = this.bed.seen.resets;
    const { dispatchers, services, spraying } = this.bed;
    services.servers++;
    dispatchers.each('server', `${this.bed.talkService}/s1`, '--drain');
    dispatchers.reload(services.config);
    await dispatchers.kill9(name);
    spraying.withdraw(name);
    await this.judge(`s1 drained, s${services.servers} added, ${name} dies`, before);
  }

  async rolling() {
    const before = this.bed.seen.resets;
    const { dispatchers, spraying } = this.bed;
    for (const name of [...spraying.live]) {
      spraying.withdraw(name);
      await dispatchers.stop(name);
      await dispatchers.start([name]);
      await dispatchers.waitForPeers();
      spraying.add(name);
    }
    await this.judge('all restarted, one by one', before);
  }

  /** Everybody forgets. */
  async control() {
    const { dispatchers, spraying } = this.bed;
    const names = [...dispatchers.running.keys()];
    for (const name of names) await dispatchers.kill9(name);
    await dispatchers.start(names);
    spraying.set(names);
    await waitFor(async () => (await this.talk.ask('report')).broken > 0, {
      what: 'connections to break once nobody knows them',
      deadlineMs: 120_000,
      everyMs: 200,
    });
    const { open, broken } = await this.talk.ask('report');
    this.verdict.claim('control: with all dispatchers killed, connections break', broken > 0, {
      open,
      broken,
    });
  }
}

/**
 * @param {{ connections?: number, dispatchers?: number, interval?: number, say?: (line: string) => void }} [given]
 * @returns {Promise<Verdict>}
 */
export async function failover({ connections = 1000, dispatchers = 4, interval = 500, say } = {}) {
  const bed = new ClusterLab({
    dispatchers,
    combinations: [ONE],
    servers: 5,
    servedBy: 4,
    settings: PATIENT,
    kinds: ['talk'],
  });
  try {
    await bed.start();
    const { host, port } = bed.services.talk(ONE);
    const talk = await bed.lab.startTool('client', 'long-lived', [
      ...['--host', host, '--port', port, '--connections', connections],
      ...['--interval', interval, '--from', CLIENTS.join(',')],
    ]);
    const scenario = new Failover(bed, talk, say);
    await scenario.judge('all go on', bed.seen.resets);
    await scenario.death('d2');
    await scenario.join('d2');
    await scenario.lateDeath('d3');
    await scenario.join('d3');
    if (dispatchers > 3) {
      await scenario.change('d4');
      await scenario.join('d4');
    }
    await scenario.rolling();
    await scenario.control();
    return scenario.verdict;
  } finally {
    bed.close();
  }
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) {
  const given = options('Deaths, joins and restarts under connections that live long', {
    connections: 1000,
    dispatchers: 4,
    interval: 500,
  });
  const say = (/** @type {string} */ line) => void process.stdout.write(`${line}\n`);
  const { broken, claims } = await failover({ ...given, say });
  say(broken.length === 0 ? `\n${claims.length} claims hold` : `\nBROKEN: ${broken.join('\n  ')}`);
  process.exitCode = broken.length === 0 ? 0 : 1;
}
