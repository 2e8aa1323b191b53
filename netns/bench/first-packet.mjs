/**
 * What the first packet of a connection costs in a cluster: time from SYN to SYN-ACK with four dispatchers, as ratio to one
 * dispatcher alone in the same topology (`cluster`).
 *
 * | | the router hands packets to |
 * | --- | --- |
 * | `one`, `announce`, `confirm` | d1 only: what is measured is the protocol |
 * | `announce sprayed`, `confirm sprayed` | the next dispatcher each time: the answer comes back by another one, which must know of the flow |
 *
 * Each run measures all of them, beginning with the other bed each time. Dispatchers share the machine's processors: with fewer
 * than six (client, server, four dispatchers) they wait for each other, which on machines of their own they would not.
 */
import { Dispatchers, riseOf } from '../dispatchers.mjs';
import { createLab } from '../laboratory.mjs';
import { serverAddress } from '../single.mjs';
import { Spraying } from '../spraying.mjs';
import { median, summary } from './table.mjs';

const VIP = '192.0.2.10';
const PORT = 7000;
/** A server each, so that no two services meet at one. */
const SERVICES = /** @type {const} */ ({ announce: 7001, confirm: 7002 });
const SECONDS = 1;
const SETTLE_SECONDS = 0.5;
const WARM_SECONDS = 8;
const WARM_WIDTH = 32;

/** @typedef {{ p50: number, p99: number, byTimeout: number }} Sample µs, and grants that were given up by time-out */
/** @typedef {Record<string, Sample>} Samples */

const KINDS = ['one', 'announce', 'confirm', 'announce sprayed', 'confirm sprayed'];

/** @param {'announce' | 'confirm'} lock @param {number} server */
const service = (lock, server) => ({
  vip: VIP,
  protocol: /** @type {const} */ ('tcp'),
  ports: [SERVICES[lock]],
  mode: /** @type {const} */ ('nat'),
  lock,
  servers: { [`s${server}`]: { address: serverAddress(server, 4), port: PORT } },
  health: { type: 'none' },
});

/**
 * A lab with `count` dispatchers, the servers in it, and all forwarding.
 * @param {number} count
 * @param {{ tcp: string }} programs
 */
async function makeBed(count, programs) {
  const lab = createLab({ topology: 'cluster', dispatchers: count, servers: 2 });
  try {
    for (const server of lab.servers)
      await lab.spawn(server, [programs.tcp, 'serve', String(PORT)], { ready: /^ready/ });
    const spraying = new Spraying(lab);
    const dispatchers = new Dispatchers(lab, {
      announce: service('announce', 1),
      confirm: service('confirm', 2),
    });
    await dispatchers.start();
    if (count > 1) await dispatchers.waitForPeers();
    return { lab, spraying, dispatchers };
  } catch (error) {
    lab.close();
    throw error;
  }
}

/** @typedef {Awaited<ReturnType<typeof makeBed>>} Bed */

/**
 * @param {Bed} bed
 * @param {{ tcp: string }} programs
 * @param {readonly (string | number)[]} words
 */
async function load({ lab }, programs, words) {
  const command = [programs.tcp, ...words.map(String)];
  const { code, stdout, stderr } = await lab.exec('client', command, { deadlineMs: 60_000 });
  if (code !== 0) throw new Error(`${command.join(' ')}: exit ${code}\n${stderr}`);
  return JSON.parse(stdout);
}

/** Some tens of thousands of connections of each kind, after which little is left to compile. @param {Bed} bed @param {{ tcp: string }} programs */
async function warm(bed, programs) {
  for (const port of Object.values(SERVICES))
    await load(bed, programs, ['connect', VIP, port, WARM_SECONDS * 1000, WARM_WIDTH]);
}

/**
 * @param {Bed} bed
 * @param {{ tcp: string }} programs
 * @param {'announce' | 'confirm'} lock
 * @param {number} scale
 * @returns {Promise<Sample>}
 */
async function handshakes(bed, programs, lock, scale) {
  const ask = (/** @type {number} */ seconds) =>
    load(bed, programs, ['handshake', VIP, SERVICES[lock], Math.round(seconds * scale * 1000)]);
  await ask(SETTLE_SECONDS);
  const before = await bed.dispatchers.total();
  const { count, failed, p50us, p99us } = await ask(SECONDS);
  const rise = riseOf(await bed.dispatchers.total(), before);
  // What the figure claims to be about must have happened: a lock for each connection.
  const placed = rise['lock-placed'] ?? 0;
  if (failed > 0 || placed < count * 0.9) {
    throw new Error(`${count} connections, ${failed} failed, ${placed} locks placed`);
  }
  return { p50: p50us, p99: p99us, byTimeout: rise['lock-granted-by-timeout'] ?? 0 };
}

/** @param {{ tcp: string }} programs @param {number} scale @returns {Promise<Samples>} */
async function alone(programs, scale) {
  const bed = await makeBed(1, programs);
  try {
    await warm(bed, programs);
    return { one: await handshakes(bed, programs, 'announce', scale) };
  } finally {
    bed.lab.close();
  }
}

/** @param {{ tcp: string }} programs @param {number} scale @returns {Promise<Samples>} */
async function together(programs, scale) {
  const bed = await makeBed(4, programs);
  try {
    /** @type {Samples} */
    const samples = {};
    await warm(bed, programs);
    for (const live of [['d1'], bed.spraying.dispatchers]) {
      bed.spraying.set(live);
      for (const lock of /** @type {const} */ (['announce', 'confirm'])) {
        const name = live.length === 1 ? lock : `${lock} sprayed`;
        samples[name] = await handshakes(bed, programs, lock, scale);
      }
    }
    return samples;
  } finally {
    bed.lab.close();
  }
}

/**
 * @param {{ runs: number, scale: number, programs: { tcp: string }, say: (text: string) => void }} options
 * @returns {Promise<Samples[]>} of each run
 */
export async function measureFirstPackets({ runs, scale, programs, say }) {
  /** @type {Samples[]} */
  const all = [];
  for (let run = 0; run < runs; run++) {
    const beds = run % 2 === 0 ? [alone, together] : [together, alone];
    /** @type {Samples} */
    const samples = {};
    for (const measure of beds) Object.assign(samples, await measure(programs, scale));
    all.push(samples);
    const shown = KINDS.map((kind) => `${kind} ${samples[kind]?.p50.toFixed(0)}`);
    say(`first packets, run ${run + 1} of ${runs}, µs: ${shown.join(', ')}`);
  }
  return all;
}

/** As markdown: µs of one dispatcher, and ratios to it. @param {readonly Samples[]} all */
export function firstPacketTable(all) {
  /** @param {string} kind @param {'p50' | 'p99'} key */
  const cell = (kind, key) => {
    const values = all.flatMap((samples) => {
      const [own, base] = [samples[kind]?.[key], samples['one']?.[key]];
      if (own === undefined || base === undefined) return [];
      return [kind === 'one' ? own : own / base];
    });
    const { median: middle, spread } = summary(values);
    const text = kind === 'one' ? `${middle.toFixed(0)} µs` : middle.toFixed(2);
    return `${text} ±${Math.round(spread * 100)} %`;
  };
  const rows = KINDS.map((kind) => {
    const byTimeout = median(all.map((samples) => samples[kind]?.byTimeout ?? 0));
    return `| ${kind} | ${cell(kind, 'p50')} | ${cell(kind, 'p99')} | ${byTimeout} |`;
  });
  return [
    '| SYN to SYN-ACK: one dispatcher; four, as ratio to it | p50 | p99 | grants by time-out |',
    '| --- | ---: | ---: | ---: |',
    ...rows,
  ].join('\n');
}
