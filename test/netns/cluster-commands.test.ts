/**
 * What the commands of one dispatcher say about a whole cluster, while it is whole, while one hears nothing of the others, and when one
 * is dead: flows of all, differences, peers, status.
 */
import { afterAll, beforeAll, expect, test } from 'vitest';
import { waitFor } from '../../netns/host.mjs';
import type { LabProcess } from '../../netns/processes.mjs';
import { ClusterLab, PATIENT } from '../../netns/scenarios/cluster-lab.mjs';
import type { ClusterFlowView } from '../../src/daemon/control/control.ts';

const ONE = { mode: 'nat', scheduler: 'rr', lock: 'announce', family: 4 } as const;
const NAMES = ['d1', 'd2', 'd3'];
const FIRST = 6;
const LATER = 3;

let bed: ClusterLab;
let talk: LabProcess;

beforeAll(async () => {
  bed = new ClusterLab({
    dispatchers: 3,
    servers: 3,
    combinations: [ONE],
    settings: PATIENT,
    service: { affinity: 'flow' },
    kinds: ['talk', 'udp'],
  });
  await bed.start();
  const { host, port } = bed.services.talk(ONE);
  const where = ['--host', host, '--port', port, '--interval', 100];
  talk = await bed.lab.startTool('client', 'long-lived', [...where, '--connections', FIRST]);
});

afterAll(() => bed.close());

const flowsAt = (name: string, ...words: string[]): ClusterFlowView[] =>
  bed.dispatchers.get(name).json('flows', '--cluster', '--service', bed.talkService, ...words);

/** Waits until a dispatcher says of so many flows that these know them. */
async function untilKnown(name: string, count: number, knownBy: readonly string[]): Promise<void> {
  const known = () =>
    flowsAt(name).filter((flow) => JSON.stringify(flow.knownBy) === JSON.stringify(knownBy)).length;
  await waitFor(() => known() === count, { what: `${name} to list ${count} flows of ${knownBy.join(' ')}` });
}

test('all dispatchers know all flows, whoever is asked', async () => {
  for (const name of NAMES) await untilKnown(name, FIRST, NAMES);
  for (const flow of flowsAt('d1')) expect(flow).toMatchObject({ differs: {}, unanswered: [] });
  expect(bed.dispatchers.diff('d1').equal).toBe(true);
  expect(flowsAt('d2', '--limit', '2')).toHaveLength(2);
  const byServer = ['s1', 's2', 's3'].map((server) => flowsAt('d3', '--server', server).length);
  expect(byServer.reduce((sum, count) => sum + count)).toBe(FIRST);
});

test('what one of them missed is listed there too, with those who know it', async () => {
  const cut = (from: string, to: string) => [from, to] as const;
  const others = ['d2', 'd3'];
  // The sealed connections of the commands go on: they are TCP.
  bed.hub.cut(
    [...others.map((to) => cut('d1', to)), ...others.map((from) => cut(from, 'd1'))],
    'udp dport 7373',
  );
  const isAlone = () =>
    bed.dispatchers
      .get('d1')
      .json('peers')
      .every((peer: { state: string }) => peer.state !== 'up');
  await waitFor(isAlone, { what: 'd1 to be alone' });
  const status = bed.dispatchers.get('d1').cli('status').stdout;
  expect(status).toContain('1 of 3 dispatchers up');
  for (const name of others) expect(status).toMatch(new RegExp(`dispatcher: +${name} is silent`));

  bed.spraying.set(['d2']);
  await talk.ask(`open ${LATER}`);
  for (const name of NAMES) await untilKnown(name, LATER, others);
  const all = flowsAt('d1');
  expect(new Set(all.map(({ client }) => client)).size).toBe(all.length);
  expect(all).toHaveLength(FIRST + LATER);
  expect(bed.hub.dropped).toBeGreaterThan(0);
  let diff = { equal: true, text: '' };
  // Entries younger than a second are not compared.
  const differs = () => {
    diff = bed.dispatchers.diff('d1');
    return diff.text.match(/^talk-\S+ /gm)?.length === LATER;
  };
  await waitFor(differs, { what: 'the tables to differ', everyMs: 200 });
  expect(diff.equal).toBe(false);
  const explained = bed.dispatchers.get('d1').json('explain', `tcp ${missed(all)} > 192.0.2.10:7100 ack`);
  expect(
    explained.map(({ dispatcher, rule }: { dispatcher: string; rule: number }) => [dispatcher, rule]),
  ).toEqual([
    ['d1', 6],
    ['d2', 1],
    ['d3', 1],
  ]);
});

/** A flow that d1 does not know. */
function missed(flows: readonly ClusterFlowView[]): string {
  return flows.find(({ knownBy }) => !knownBy.includes('d1'))!.client;
}

/** Sends one datagram from a port of the client and waits for its answer. */
async function exchange(through: string, clientPort: number): Promise<void> {
  bed.spraying.set([through]);
  const { host, port } = bed.services.udp(ONE);
  const script = `const socket = require('node:dgram').createSocket('udp4');
    socket.bind(${clientPort}, () => socket.send('x', ${port}, '${host}'));
    socket.on('message', () => process.exit(0));`;
  expect((await bed.lab.exec('client', [process.execPath, '-e', script])).code).toBe(0);
}

test('a flow about which two of them say different things is told with both', async () => {
  // They do not hear each other, so each chooses for itself; a turn more of one makes their round robins differ.
  let found: ClusterFlowView | undefined;
  for (let clientPort = 33_000; found === undefined && clientPort < 33_006; clientPort += 2) {
    await exchange('d1', clientPort);
    await exchange('d2', clientPort);
    const list: ClusterFlowView[] = bed.dispatchers
      .get('d1')
      .json('flows', '--cluster', '--client', `198.51.100.2:${clientPort}`);
    expect(list).toHaveLength(1);
    found = list.find(({ differs }) => differs['d2'] !== undefined);
    await exchange('d2', clientPort + 1);
  }
  expect(found).toMatchObject({ knownBy: NAMES });
  expect(found!.differs['d2']).toMatch(/^s[123]$/);
  expect(found!.differs['d2']).not.toBe(found!.server);
});

test('healed, all agree again', async () => {
  bed.hub.heal();
  bed.spraying.set(NAMES);
  await bed.dispatchers.waitForPeers();
  expect(await bed.converge()).toBe('');
  await untilKnown('d1', FIRST + LATER, NAMES);
});

test('a configuration that one of them alone has reread shows as drift, until the others have', async () => {
  const drifts = (name: string): string[] => bed.dispatchers.get(name).json('status').cluster.drift;
  expect(NAMES.flatMap(drifts)).toEqual([]);
  const more = { ...bed.dispatchers.config, timeouts: { udp: '3m' } };
  bed.dispatchers.get('d1').reload(more);
  await waitFor(() => drifts('d2').includes('d1') && drifts('d3').includes('d1'), { what: 'd1 to drift' });
  expect(drifts('d1').sort()).toEqual(['d2', 'd3']);
  expect(bed.dispatchers.get('d2').cli('peers').stdout).toMatch(/^d1 .* other configuration/m);
  for (const name of ['d2', 'd3']) bed.dispatchers.get(name).reload(more);
  await waitFor(() => NAMES.flatMap(drifts).length === 0, { what: 'the drift to end' });
});

test('a reload that changes what a flood is counts at once', async () => {
  const { config } = bed.dispatchers;
  const limit = (rate: number): void => {
    for (const name of NAMES)
      bed.dispatchers.get(name).reload({ ...config, flood: { 'new-sessions-per-second': rate } });
    // A signal is not answered; a reload that is asked for is, when it is done.
    bed.dispatchers.each('reload');
  };
  const stateless = async () => (await bed.dispatchers.total())['stateless-forward'] ?? 0;
  expect(await stateless()).toBe(0);
  limit(1);
  // Answered each, whether by an entry or by hash.
  let port = 34_000;
  const many = async () => {
    await exchange('d1', port++);
    return (await stateless()) > 0;
  };
  await waitFor(many, { what: 'a flow to be forwarded by hash' });
  limit(50_000);
  const floods = () => NAMES.map((name) => bed.dispatchers.get(name).json('status').cluster.flood);
  await waitFor(() => !floods().includes(true), { what: 'the flood to end' });
});

test('one that is dead is named by every command, with exit code 1 where the answer is not whole', async () => {
  await bed.dispatchers.kill9('d3');
  bed.spraying.withdraw('d3');
  const at = bed.dispatchers.get('d1');
  const listed = at.cli('flows', '--cluster', '--limit', '1');
  expect(listed.code).toBe(1);
  expect(listed.stderr).toMatch(/^d3 does not answer: nobody listens there \(ECONNREFUSED\)\n$/);
  expect(listed.stdout).toContain('d1 d2, d3 is silent');
  for (const command of [['diff'], ['explain', 'tcp 198.51.100.2:1 > 192.0.2.10:80']]) {
    const { code, stdout } = at.cli(...command);
    expect(code).toBe(1);
    expect(stdout).toMatch(/d3.* does not answer: nobody listens there/);
  }
  const { broken, wrongServer } = await talk.ask('report');
  expect({ broken, wrongServer }).toEqual({ broken: 0, wrongServer: 0 });
});
