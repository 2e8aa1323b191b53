/**
 * The causes of success of the scenario of deaths, taken away one at a time: each must show in what judges the others.
 */
import { waitFor } from '../host.mjs';
import { buildMutant } from '../mutant.mjs';

/** @typedef {import('./failover-phases.mjs').Failover} Failover */

const DEADLINE_MS = 120_000;
/** A dispatcher whose packet path does not wait until it knows the table. */
const EAGER = { file: 'daemon/member/member.js', from: 'state.ready = false;', to: 'state.ready = true;' };

/** A joiner that does not wait is seen to forward. @param {Failover} scenario @param {string} name of one that runs */
export async function eagerJoiner(scenario, name) {
  const { dispatchers, lab, spraying } = scenario.bed;
  spraying.withdraw(name);
  await dispatchers.stop(name);
  const { looks, early } = await scenario.watchJoin(name, { program: buildMutant(lab, EAGER) });
  scenario.verdict.claim('control: a joiner that does not wait is seen to forward early', early > 0, {
    looks,
    early,
  });
}

/**
 * A death whose blackhole routes are taken away: what servers send leaves with their own addresses, and clients answer that
 * with resets.
 * @param {Failover} scenario @param {string} name
 */
export async function leak(scenario, name) {
  const { dispatchers, lab, spraying } = scenario.bed;
  // The joiner of the control before may have broken all that there were, and some of them later.
  await scenario.open();
  const before = scenario.resets;
  await scenario.push(20);
  await dispatchers.kill9(name);
  const routes = JSON.parse(lab.must(name, 'ip', '-j', 'route', 'show', 'table', 'all', 'type', 'blackhole'));
  for (const { dst, table = 'main' } of routes) {
    lab.must(name, 'ip', 'route', 'del', 'blackhole', dst, 'table', `${table}`);
  }
  await waitFor(() => scenario.resets > before, {
    what: 'servers to see resets once nothing holds the leak of a dead dispatcher',
    deadlineMs: DEADLINE_MS,
    everyMs: 100,
  });
  spraying.withdraw(name);
  scenario.verdict.claim(
    'control: without the blackhole routes of a dead dispatcher servers see resets',
    routes.length > 0,
    { routesRemoved: routes.length, serverResets: scenario.resets - before },
  );
  await scenario.push(0);
}

/** Everybody forgets. @param {Failover} scenario */
export async function oblivion(scenario) {
  const { dispatchers, spraying } = scenario.bed;
  await scenario.open();
  const { broken: before } = await scenario.talk.ask('report');
  for (const name of [...dispatchers.running.keys()]) await dispatchers.kill9(name);
  // All: one that is missing would be waited for a minute before anybody says that nobody knows.
  await dispatchers.start();
  spraying.set(dispatchers.names);
  await waitFor(async () => (await scenario.talk.ask('report')).broken > before, {
    what: 'connections to break once nobody knows them',
    deadlineMs: DEADLINE_MS,
    everyMs: 200,
  });
  const { open, broken } = await scenario.talk.ask('report');
  scenario.verdict.claim('control: with all dispatchers killed, connections break', broken > before, {
    open,
    broken: broken - before,
  });
}
