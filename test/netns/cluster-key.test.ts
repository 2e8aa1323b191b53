/**
 * The cluster key is changed under sprayed connections, as the README says: three passes, each dispatcher started anew in each. The control
 * takes the first two in one, as would a file that names the new key at once: that dispatcher and the others do not hear each other.
 */
import { afterEach, expect, test } from 'vitest';
import { waitFor } from '../../netns/host.mjs';
import { ClusterLab, PATIENT } from '../../netns/scenarios/cluster-lab.mjs';
import { runProgram } from '../support/program.ts';

const ONE = { mode: 'nat', scheduler: 'rr', lock: 'confirm', family: 4 } as const;
const NAMES = ['d1', 'd2', 'd3'];
const CONNECTIONS = 60;

const ACCEPTED = { 'key-file': 'cluster.key', 'next-key-file': 'new.key' };
const USED = { 'key-file': 'new.key', 'previous-key-file': 'cluster.key' };
const ALONE = { 'key-file': 'new.key' };

let bed: ClusterLab | undefined;
afterEach(() => bed?.close());

async function startLab(): Promise<ClusterLab> {
  const lab = new ClusterLab({
    dispatchers: 3,
    servers: 3,
    combinations: [ONE],
    settings: PATIENT,
    kinds: ['talk'],
  });
  bed = lab;
  const [old, next] = ['cluster.key', 'new.key'].map((name) => lab.lab.file(name));
  const { code } = await runProgram(['keygen', '--after', old!, '--out', next!]);
  expect(code).toBe(0);
  await lab.start();
  return lab;
}

test('in three passes no connection breaks, and each start finds all the others', async () => {
  const lab = await startLab();
  const { dispatchers, spraying } = lab;
  const { host, port } = lab.services.talk(ONE);
  const words = ['--host', host, '--port', port, '--interval', 50, '--connections', CONNECTIONS];
  const talk = await lab.lab.startTool('client', 'long-lived', words);
  const report = async () => JSON.parse(JSON.stringify(await talk.ask('report')));
  for (const keys of [ACCEPTED, USED, ALONE]) {
    dispatchers.settings = { ...PATIENT, ...keys };
    for (const name of NAMES) {
      spraying.set(NAMES.filter((other) => other !== name));
      await dispatchers.stop(name);
      await dispatchers.start([name]);
      await dispatchers.waitForPeers();
      spraying.set(NAMES);
      const { round } = await report();
      await waitFor(async () => (await report()).round > round + 2, { what: 'all to have gone on' });
    }
  }
  expect(await report()).toMatchObject({ open: CONNECTIONS, broken: 0, wrongServer: 0, resets: 0 });
  expect(await lab.converge()).toBe('');
});

test('control: one that uses the new key before all accept it is not heard, and says why', async () => {
  const { dispatchers } = await startLab();
  await dispatchers.stop('d1');
  dispatchers.settings = { ...PATIENT, ...USED };
  await dispatchers.launch('d1', { ready: false });
  const cluster = async (name: string) => (await dispatchers.get(name).look('/status'))?.cluster;
  await waitFor(async () => (await cluster('d2'))?.unsealable > 0, { what: 'd2 to refuse what d1 says' });
  expect((await cluster('d2')).up).toBe(2);
  expect(dispatchers.get('d2').cli('status').stdout).toContain('another key-file');
});
