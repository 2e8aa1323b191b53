/**
 * `netns/scenarios/failover`: connections that live long, each sending a line now and then, each packet to the next of four
 * dispatchers; and meanwhile
 *
 *   death           kill -9 of one, its route withdrawn at once
 *   join            it comes back, with its route there before it is ready: it forwards nothing until it knows the table
 *   late death      kill -9 of one while servers send of their own accord, its route withdrawn only 2 s later
 *   change          one server drained, another one added (known to one dispatcher first), and a server and a dispatcher die;
 *                   by packet, by flow, by ECMP of addresses and of ports
 *   rolling         all restarted in good order, one by one
 *   controls        a joiner that does not wait; a death without its blackhole routes; all killed at once and started again
 *   beginnings      all started together, and one of four alone: ready
 *
 * Broken connections that were not on a dead server, wrong servers, and resets that live servers see: 0 each, except under control.
 */
import { pathToFileURL } from 'node:url';
import { options } from '../tools/options.mjs';
import { ClusterLab, PATIENT } from './cluster-lab.mjs';
import { change } from './failover-change.mjs';
import { eagerJoiner, leak, oblivion } from './failover-controls.mjs';
import { Failover } from './failover-phases.mjs';

/** @typedef {import('../cluster-services.mjs').Combination} Combination */
/** @typedef {import('../spraying.mjs').SprayMode} SprayMode */

/** @type {Combination} */
const ONE = { mode: 'nat', scheduler: 'rr', lock: 'auto', family: 4 };
/** Clients, so that sessions by client spread over the servers. */
const CLIENTS = Array.from({ length: 100 }, (_, index) => `198.18.1.${index + 1}`);
const SERVERS_AT_FIRST = 4;
/** @type {readonly SprayMode[]} */
export const ALL_MODES = ['spray', 'by-flow', 'ecmp-0', 'ecmp-1'];

/**
 * @param {object} [given]
 * @param {number} [given.connections]
 * @param {number} [given.interval] ms between two lines of a connection
 * @param {readonly SprayMode[]} [given.changes] how packets are handed over while servers and dispatchers change, in turn
 * @param {(line: string) => void} [given.say]
 * @returns {Promise<import('./verdict.mjs').Verdict>}
 */
export async function failover({ connections = 1000, interval = 500, changes = ALL_MODES, say } = {}) {
  const bed = new ClusterLab({
    dispatchers: 4,
    combinations: [ONE],
    servers: SERVERS_AT_FIRST + changes.length,
    servedBy: SERVERS_AT_FIRST,
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
    const scenario = new Failover(bed, talk, connections, say);
    // What was found before says why it does not go on.
    await allPhases(scenario, changes).catch((error) =>
      scenario.verdict.claim('the phases go on to their end', false, String(error)),
    );
    return scenario.verdict;
  } finally {
    bed.close();
  }
}

/** @param {Failover} scenario @param {readonly SprayMode[]} changes */
async function allPhases(scenario, changes) {
  await scenario.judge('all go on', scenario.resets);
  await scenario.death('d2');
  await scenario.join('d2');
  await scenario.lateDeath('d3');
  await scenario.join('d3');
  for (const [index, mode] of changes.entries()) {
    const name = `d${4 - (index % 4)}`;
    await change(scenario, name, mode);
    await scenario.join(name, { routed: false });
  }
  scenario.bed.spraying.setMode('spray');
  await scenario.rolling();
  await eagerJoiner(scenario, 'd1');
  await leak(scenario, 'd2');
  await oblivion(scenario);
  await scenario.together();
  await scenario.alone('d3');
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) {
  const given = options('Deaths, joins and restarts under connections that live long', {
    connections: 1000,
    interval: 500,
  });
  const say = (/** @type {string} */ line) => void process.stdout.write(`${line}\n`);
  const { broken, claims } = await failover({ ...given, say });
  say(broken.length === 0 ? `\n${claims.length} claims hold` : `\nBROKEN: ${broken.join('\n  ')}`);
  process.exitCode = broken.length === 0 ? 0 : 1;
}
