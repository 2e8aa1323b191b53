/**
 * A change of servers while a dispatcher and a server die, in the scenario of deaths.
 *
 * One dispatcher reads the new configuration first, alone. Then, at the same time: all others read it, by which one server is
 * drained and another one added; the server that was drained before dies; a dispatcher dies.
 */
import { waitFor } from '../host.mjs';

/** @typedef {import('./failover-phases.mjs').Failover} Failover */
/** @typedef {import('../spraying.mjs').SprayMode} SprayMode */
/** @typedef {{ dying: string, drained: string, added: string }} Servers names; `dying` is none the first time */

/** @param {Failover} scenario @param {string} name of the dispatcher @param {SprayMode} mode */
export async function change(scenario, name, mode) {
  const { bed } = scenario;
  const { dispatchers, services, spraying } = bed;
  spraying.setMode(mode);
  const number = services.drained.size;
  /** @type {Servers} */
  const servers = { dying: `s${number}`, drained: `s${number + 1}`, added: `s${++services.servers}` };
  const { dying, drained, added } = servers;
  if (number > 0) scenario.dead.add(dying);
  services.drained.add(drained);
  await readByOne(scenario, added);
  const { byServer } = await scenario.goOn(`${mode} begins`);
  const before = { resets: scenario.resets, shares: spraying.counts() };
  await Promise.all([
    number > 0 && bed.talkServers[number - 1]?.stop('SIGKILL'),
    dispatchers.kill9(name),
    dispatchers.reload(services.config),
  ]);
  spraying.withdraw(name);
  await readByAll(scenario, servers);
  const what = `${mode}: ${drained} drained, ${added} added, ${number > 0 ? `${dying} and ` : ''}${name} dead`;
  const { lost } = await scenario.goOn(what);
  const fresh = await scenario.newConnections();
  const handed = Object.fromEntries(spraying.live.map((one) => [one, scenario.handed(before.shares, one)]));
  const spread = Object.values(handed).every(({ requests }) => requests > 0);
  const died = (lost[dying] ?? 0) === (byServer[dying] ?? 0);
  const { byServer: newOnes } = fresh;
  const changed = fresh.broken === 0 && newOnes[added] > 0 && !newOnes[drained] && !newOnes[dying];
  await scenario.judge(
    what,
    before.resets,
    {
      onDeadServer: lost[dying] ?? 0,
      onDrained: byServer[drained] ?? 0,
      newConnections: newOnes,
      handed,
    },
    spread && died && changed,
  );
  await scenario.refill();
}

/**
 * Those who have not read it would not hold back what an added server answers: it must get nothing.
 * @param {Failover} scenario @param {string} added
 */
async function readByOne(scenario, added) {
  const { dispatchers, services } = scenario.bed;
  const before = scenario.resets;
  const [first = ''] = dispatchers.running.keys();
  dispatchers.reload(services.config, [first]);
  await waitFor(
    async () =>
      ((await dispatchers.get(first).look('/servers')) ?? []).some(
        (/** @type {any} */ one) => one.server === added,
      ),
    { what: `${first} to know ${added}`, everyMs: 20 },
  );
  const { broken, byServer, ok } = await scenario.newConnections();
  const serverResets = scenario.resets - before;
  scenario.verdict.claim(
    `${added} is known to ${first} alone: it waits, and no new connection breaks`,
    broken === 0 && ok > 0 && byServer[added] === undefined && serverResets === 0,
    { newConnections: byServer, broken, serverResets },
  );
}

/** Waits until all have read the new configuration, and use it. @param {Failover} scenario @param {Servers} servers */
async function readByAll(scenario, { drained, added }) {
  const { dispatchers } = scenario.bed;
  await waitFor(
    async () => {
      for (const dispatcher of dispatchers.running.values()) {
        const servers = (await dispatcher.look('/servers')) ?? [];
        const server = (/** @type {string} */ name) =>
          servers.find((/** @type {any} */ one) => one.server === name);
        if (server(drained)?.weight !== 0 || server(added)?.waiting !== false) return false;
      }
      return true;
    },
    { what: `all dispatchers to use ${added}`, everyMs: 20 },
  );
}
