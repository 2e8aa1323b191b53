/**
 * `netns/scenarios/spray`: any packet to any dispatcher. Each packet of clients, and each answer of servers in `nat`, goes
 * to the next of 2 to 4 dispatchers; short connections, downloads compared byte for byte, bursts of UDP and clients
 * with several connections at once all keep one server each.
 *
 *   proof first    the router's counters: each dispatcher got its share, one packet apart
 *   broken         connections and downloads that did not come through whole: 0
 *   wrong server   connections of which two servers have seen packets (a set in each server's kernel): 0
 *   stalls         pauses over a second; each must be explained by a drop counter
 *   control        the same with the network between the dispatchers cut: connections break
 */
import { pathToFileURL } from 'node:url';
import { everyCombination, pairwise } from '../cluster-services.mjs';
import { options } from '../tools/options.mjs';
import { ClusterLab, PATIENT } from './cluster-lab.mjs';
import { FULL_LOAD, Spray } from './spray-load.mjs';

/** @typedef {import('../cluster-services.mjs').Combination} Combination */
/** @typedef {import('./spray-load.mjs').Load} Load */
/** @typedef {import('./verdict.mjs').Verdict} Verdict */

/**
 * @param {object} given
 * @param {number} given.dispatchers
 * @param {readonly Combination[]} given.combinations
 * @param {Load} given.load
 * @param {import('../laboratory.mjs').Offloads} [given.offloads]
 * @param {import('../spraying.mjs').SprayMode} [given.mode]
 * @param {object} [given.settings] keys of the section `cluster`
 * @param {boolean} [given.control]
 * @param {(line: string) => void} [given.say]
 * @returns {Promise<Verdict>}
 */
export async function spray({
  dispatchers,
  combinations,
  load,
  offloads,
  mode,
  settings,
  control = true,
  say,
}) {
  const bed = new ClusterLab({
    dispatchers,
    combinations,
    ...(offloads && { offloads }),
    ...(mode && { mode }),
    settings: settings ?? PATIENT,
  });
  try {
    await bed.start();
    const scenario = new Spray(bed, say);
    for (const of of combinations) await scenario.run(of, load);
    const unlike = combinations.find(
      ({ scheduler, mode: forwarding }) => scheduler === 'rr' && forwarding === 'nat',
    );
    if (control && unlike) await scenario.control(unlike, 40);
    return scenario.verdict;
  } finally {
    bed.close();
  }
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) {
  const given = options('Any packet to any dispatcher; --matrix runs everything, a quarter of an hour', {
    dispatchers: 3,
    mode: 'nat',
    scheduler: 'rr',
    lock: 'confirm',
    family: 4,
    ...FULL_LOAD,
    offloads: 'off',
    routing: 'spray',
    confirmTimeout: PATIENT['confirm-timeout'],
    lease: PATIENT.lease,
    pairwise: false,
    matrix: false,
  });
  /** @type {4 | 6} */
  const family = given.family === 6 ? 6 : 4;
  const mode = given.mode === 'ipip' ? 'ipip' : 'nat';
  /** @type {Combination} */
  const one = { mode, scheduler: given.scheduler, lock: given.lock, family };
  const say = (/** @type {string} */ line) => void process.stdout.write(`${line}\n`);
  /** @type {Verdict[]} */
  const verdicts = [];
  for (const dispatchers of given.matrix ? [2, 3, 4] : [given.dispatchers]) {
    for (const offloads of given.matrix ? /** @type {const} */ (['off', 'on']) : [given.offloads]) {
      say(`${dispatchers} dispatchers, offloads ${offloads}`);
      verdicts.push(
        await spray({
          dispatchers,
          combinations: given.matrix ? everyCombination(family) : given.pairwise ? pairwise(family) : [one],
          load: given,
          offloads: /** @type {import('../laboratory.mjs').Offloads} */ (offloads),
          mode: /** @type {import('../spraying.mjs').SprayMode} */ (given.routing),
          settings: { 'confirm-timeout': given.confirmTimeout, lease: given.lease },
          say,
        }),
      );
    }
  }
  const broken = verdicts.flatMap((verdict) => verdict.broken);
  const claims = verdicts.reduce((sum, verdict) => sum + verdict.claims.length, 0);
  say(broken.length === 0 ? `\n${claims} claims hold` : `\nBROKEN: ${broken.join('\n  ')}`);
  process.exitCode = broken.length === 0 ? 0 : 1;
}
