/**
 * Each scheduler's spread over 1,000 real connections against its definition, each kind of affinity with its negative,
 * least connections while servers come and go, and drain. The bounds for random spreads are four standard deviations:
 * sqrt(1000 x 1/4 x 3/4) = 13.7 connections a server.
 */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Dispatcher } from '../../netns/dispatcher.mjs';
import { createLab, type Lab } from '../../netns/laboratory.mjs';
import type { LabProcess } from '../../netns/processes.mjs';
import { natService, SERVER_PORTS, type Service } from '../../netns/services.mjs';
import { startDispatcher, startServers, waitFor } from '../support/lab.ts';

const { http, talk, udp } = SERVER_PORTS;
const CONNECTIONS = 1000;
const FOUR_SIGMA = 55;
/** Ports of clients are always the same, so that what a hash makes of them is, too. */
const FIRST_PORT = 20_000;
const VIP = '192.0.2.10';
const WEIGHTS: Record<string, number> = { s1: 1, s2: 2, s3: 3, s4: 4 };
const WEIGHT_SUM = 10;

type Counts = Record<string, number>;

/** A service whose servers weigh 1, 2, 3 and 4. */
function weighted(service: Service): Service {
  for (const [name, server] of Object.entries(service.servers)) server.weight = WEIGHTS[name]!;
  return service;
}

const web = (port: number, more: Partial<Service>) => natService(VIP, 'tcp', port, http, more);
const long = (port: number, more: Partial<Service>) => natService(VIP, 'tcp', port, talk, more);

/** One service per case, each on a port of its own. */
const SERVICES: Record<string, Service> = {
  rr: web(81, { scheduler: 'rr' }),
  wrr: weighted(web(82, { scheduler: 'wrr' })),
  maglev: web(83, { scheduler: 'maglev' }),
  'maglev-weighted': weighted(web(84, { scheduler: 'maglev' })),
  sh: web(85, { scheduler: 'sh' }),
  random: web(86, { scheduler: 'random' }),
  lc: long(91, { scheduler: 'lc' }),
  wlc: weighted(long(92, { scheduler: 'wlc' })),
  drain: long(93, { scheduler: 'rr' }),
  'one-client': web(101, { scheduler: 'rr', affinity: 'client' }),
  'one-network': web(102, { scheduler: 'rr', affinity: 'client/24' }),
  'one-client-udp': natService(VIP, 'udp', 103, udp, { scheduler: 'rr', affinity: 'client' }),
  'one-client-6': natService('2001:db8:f::10', 'tcp', 104, http, { scheduler: 'rr', affinity: 'client' }),
};
const portOf = (service: string) => SERVICES[service]!.ports[0] as number;
/**
 * A client address for each service: one client port towards two VIP ports that map to one server port would be one
 * 4-tuple at that server, and the dispatcher then takes another server on purpose.
 */
const clientOf = (service: string) => `198.18.200.${portOf(service)}`;

let lab: Lab;
let dispatcher: Dispatcher;

beforeAll(async () => {
  lab = createLab();
  await startServers(lab, 'http-server', ['--port', http]);
  await startServers(lab, 'talk-server', ['--port', talk]);
  await startServers(lab, 'udp-server', ['--port', udp]);
  dispatcher = await startDispatcher(lab, { services: SERVICES });
});
afterAll(() => lab.close());

async function spread(service: string, more: (string | number)[] = [], host = VIP): Promise<Counts> {
  const url = `http://${host.includes(':') ? `[${host}]` : host}:${portOf(service)}/`;
  const from = more.includes('--from') ? [] : ['--from', clientOf(service)];
  const ports = ['--firstPort', FIRST_PORT];
  const options = ['--url', url, '--requests', CONNECTIONS, '--concurrency', 20, ...ports, ...from, ...more];
  const loaded = await lab.tool('client', 'http-load', options);
  expect(loaded).toMatchObject({ ok: CONNECTIONS, broken: 0 });
  return more.includes('--by-client') ? loaded.byClient : loaded.byServer;
}

describe('schedulers', () => {
  test('rr gives each the same', async () => {
    expect(await spread('rr')).toEqual({ s1: 250, s2: 250, s3: 250, s4: 250 });
  });

  test('wrr gives each its weight', async () => {
    expect(await spread('wrr')).toEqual({ s1: 100, s2: 200, s3: 300, s4: 400 });
  });

  test('maglev gives each its share of the hash space', async () => {
    const counts = await spread('maglev');
    for (const name of lab.servers) expect(Math.abs((counts[name] ?? 0) - 250)).toBeLessThan(FOUR_SIGMA);
  });

  test('maglev follows the weights', async () => {
    const counts = await spread('maglev-weighted');
    for (const name of lab.servers) {
      const ideal = (CONNECTIONS * WEIGHTS[name]!) / WEIGHT_SUM;
      expect(Math.abs((counts[name] ?? 0) - ideal)).toBeLessThan(
        4 * Math.sqrt(ideal * (1 - ideal / CONNECTIONS)),
      );
    }
  });

  test('random of two uses all, none much more than its share', async () => {
    const counts = await spread('random');
    for (const name of lab.servers) expect(Math.abs((counts[name] ?? 0) - 250)).toBeLessThan(FOUR_SIGMA);
  });

  test('sh sends a client where it went before, whatever its port', async () => {
    const clients = clientAddresses(50, 10);
    const byClient = await spread('sh', ['--from', clients.join(','), '--by-client']);
    expect(serversPerClient(byClient)).toEqual(clients.map(() => 1));
    expect(serversOf(byClient).size).toBe(4);
  });

  test('lc keeps the open connections level', async () => {
    const clients = await connections('lc', CONNECTIONS);
    const { byServer } = await clients.ask('report');
    for (const name of lab.servers) expect(Math.abs(byServer[name] - 250)).toBeLessThanOrEqual(5);
    await clients.stop();
  });
});

/** Addresses of the client's own pool, from `networks` /24s that begin with 198.18.`first`.0, in turn. */
function clientAddresses(count: number, first: number, networks = 1): string[] {
  return Array.from(
    { length: count },
    (_, index) => `198.18.${first + (index % networks)}.${1 + Math.floor(index / networks)}`,
  );
}

const serversPerClient = (byClient: unknown) =>
  Object.values(byClient as Record<string, Counts>).map((counts) => Object.keys(counts).length);
const serversOf = (byClient: unknown) =>
  new Set(Object.values(byClient as Record<string, Counts>).flatMap((counts) => Object.keys(counts)));

describe('affinity', () => {
  const clients = clientAddresses(40, 20);

  test('by flow, a client meets every server', async () => {
    const byClient = await spread('rr', ['--from', clientAddresses(3, 40).join(','), '--by-client']);
    expect(serversPerClient(byClient)).toEqual([4, 4, 4]);
  });

  test('by client, it meets one', async () => {
    const byClient = await spread('one-client', ['--from', clients.join(','), '--by-client']);
    expect(serversPerClient(byClient)).toEqual(clients.map(() => 1));
    expect(serversOf(byClient).size).toBe(4);
  });

  test('by client over IPv6', async () => {
    const six = Array.from({ length: 20 }, (_, index) => `2001:db8:cccc::${index + 1}`);
    const byClient = await spread('one-client-6', ['--from', six.join(','), '--by-client'], '2001:db8:f::10');
    expect(serversPerClient(byClient)).toEqual(six.map(() => 1));
    expect(serversOf(byClient).size).toBe(4);
  });

  test('by client over UDP', async () => {
    const options = ['--port', 103, '--sessions', 200, '--from', clients.join(','), '--by-client'];
    const talked = await lab.tool('client', 'udp-load', options);
    expect(talked).toMatchObject({ answered: 600, lost: 0, mixed: 0 });
    expect(serversPerClient(talked.byClient)).toEqual(clients.map(() => 1));
    expect(serversOf(talked.byClient).size).toBe(4);
  });

  test('by prefix, a network meets one, and networks differ', async () => {
    const spreadClients = clientAddresses(40, 30, 8);
    const byClient = await spread('one-network', ['--from', spreadClients.join(','), '--by-client']);
    const byNetwork: Record<string, Counts> = {};
    for (const [client, counts] of Object.entries(byClient as unknown as Record<string, Counts>)) {
      const network = client.split('.').slice(0, 3).join('.');
      byNetwork[network] = { ...byNetwork[network], ...counts };
    }
    expect(serversPerClient(byNetwork)).toEqual(Array(8).fill(1));
    expect(serversOf(byNetwork).size).toBe(4);
  });
});

/** Few at a time: to lc and wlc, as IPVS has them, a flow that only opens weighs next to nothing. */
function connections(service: string, count: number): Promise<LabProcess> {
  const from = ['--from', clientOf(service)];
  const options = [
    '--port',
    portOf(service),
    '--connections',
    count,
    '--interval',
    200,
    '--concurrency',
    4,
    ...from,
  ];
  return lab.startTool('client', 'long-lived', options);
}

/** Replaces a fifth of the connections at a time, the oldest first, until none of them is left. */
async function turnOver(clients: LabProcess): Promise<Counts> {
  const { open } = await clients.ask('report');
  const fifth = open / 5;
  for (let round = 0; round < 6; round++) {
    await clients.ask(`close ${fifth}`);
    await waitFor(async () => (await clients.ask('report')).open === open - fifth, {
      what: 'old ones to end',
    });
    await clients.ask(`open ${fifth}`);
    await waitFor(async () => (await clients.ask('report')).open === open, { what: 'new ones' });
  }
  const report = await clients.ask('report');
  expect(report).toMatchObject({ broken: 0, wrongServer: 0 });
  return report.byServer;
}

/** Each server of `names` within a tenth of the share that its weight gives it. */
function expectNearIdeal(counts: Counts, names: readonly string[], total: number): void {
  const sum = names.reduce((weights, name) => weights + WEIGHTS[name]!, 0);
  for (const name of names) {
    const ideal = (total * WEIGHTS[name]!) / sum;
    expect(Math.abs((counts[name] ?? 0) - ideal), `${name} of ${JSON.stringify(counts)}`).toBeLessThanOrEqual(
      ideal / 10,
    );
  }
}

test('wlc stays within a tenth of the ideal while servers come and go', async () => {
  const count = 500;
  const clients = await connections('wlc', count);
  expectNearIdeal((await clients.ask('report')).byServer, lab.servers, count);

  expect(dispatcher.cli('server', 'wlc/s4', '--drain').code).toBe(0);
  const without = await turnOver(clients);
  expect(without['s4']).toBeUndefined();
  expectNearIdeal(without, ['s1', 's2', 's3'], count);

  expect(dispatcher.cli('server', 'wlc/s4', '--enable').code).toBe(0);
  expectNearIdeal(await turnOver(clients), lab.servers, count);
  await clients.stop();
});

test('a drained server gets no new flow and keeps its old ones', async () => {
  const old = await connections('drain', 100);
  expect((await old.ask('report')).byServer).toEqual({ s1: 25, s2: 25, s3: 25, s4: 25 });
  expect(dispatcher.cli('server', 'drain/s1', '--drain').code).toBe(0);

  const fresh = await connections('drain', 60);
  expect((await fresh.ask('report')).byServer).toEqual({ s2: 20, s3: 20, s4: 20 });
  const { round } = await old.ask('report');
  await waitFor(async () => (await old.ask('report')).round >= round + 2, { what: 'old flows to go on' });
  expect(await old.ask('report')).toMatchObject({ open: 100, broken: 0, wrongServer: 0 });

  expect(dispatcher.cli('server', 'drain/s1', '--enable').code).toBe(0);
  const later = await connections('drain', 40);
  expect((await later.ask('report')).byServer).toEqual({ s1: 10, s2: 10, s3: 10, s4: 10 });
  await Promise.all([old, fresh, later].map((clients) => clients.stop()));
});
