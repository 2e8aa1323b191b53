/**
 * `netns/scenarios/spray`: any packet to any dispatcher. Each packet of clients, and each answer of servers in `nat`, goes
 * to the next of 2 to 4 dispatchers; short connections, downloads compared byte for byte, bursts of UDP and clients
 * with several connections at once all keep one server each.
 *
 *   proof first    the router's counters: each dispatcher got its share, one packet apart
 *   broken         connections and downloads that did not come through whole: 0
 *   wrong server   connections of which two servers have seen packets (a set in each server's kernel): 0
 *   stalls         pauses over a second; each must be explained: by a counter of drops, of the dispatchers or of a kernel, or by processes that
 *                  had no processor, for all that ends repeated had come after all (loss-signs.mjs)
 *   bad wire       --loss 10 --duplicate 10 --reorder 10 (percent): the network between the dispatchers is led through
 *                  netns/tools/wire.mjs. Then a wrong server may be, but no more than grants given up by time-out were counted
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
 * @param {import('../hub.mjs').WireOptions} [given.wire] what the network between the dispatchers does
 * @param {boolean} [given.control]
 * @param {boolean} [given.timed] whether a stall that no counter explains is a fault; default yes
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
  wire,
  control = true,
  timed = true,
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
    const scenario = new Spray(bed, say, { badWire: wire !== undefined, timed });
    if (wire !== undefined) await bed.hub.putWire(wire);
    for (const of of combinations) await scenario.run(of, load);
    if (wire !== undefined) await scenario.judgeWire(wire);
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
  const given = options(
    'Any packet to any dispatcher; --every runs all combinations, --matrix with all numbers of dispatchers, a quarter of an hour',
    {
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
      loss: 0,
      duplicate: 0,
      reorder: 0,
      seed: 1,
      pairwise: false,
      every: false,
      matrix: false,
    },
  );
  const { loss, duplicate, reorder, seed } = given;
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
          combinations:
            given.matrix || given.every
              ? everyCombination(family)
              : given.pairwise
                ? pairwise(family)
                : [one],
          load: given,
          offloads: /** @type {import('../laboratory.mjs').Offloads} */ (offloads),
          mode: /** @type {import('../spraying.mjs').SprayMode} */ (given.routing),
          settings: { 'confirm-timeout': given.confirmTimeout, lease: given.lease },
          ...(loss + duplicate + reorder > 0 && { wire: { loss, duplicate, reorder, seed } }),
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
