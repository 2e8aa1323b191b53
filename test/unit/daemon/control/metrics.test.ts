import { afterEach, expect, test } from 'vitest';
import { COUNTER_INFO } from '../../../../src/base/counters.ts';
import { createMetrics, listenMetrics } from '../../../../src/daemon/control/metrics.ts';
import { parseAddress } from '../../../../src/wire/address.ts';
import { CLUSTER, fakeTarget, PEER, SERVERS } from '../../../support/control-target.ts';
import { expectBounded } from '../../../support/idle.ts';

let stop: (() => Promise<void>) | undefined;
afterEach(async () => {
  await stop?.();
  stop = undefined;
});

const value = (text: string, name: string): number | undefined => {
  const line = text.split('\n').find((one) => one.startsWith(`${name} `));
  return line === undefined ? undefined : Number(line.slice(name.length + 1));
};

test('every counter once, by its kind, zeros included', async () => {
  const target = fakeTarget();
  const text = await createMetrics(target).text();
  const counters = target.counters();
  for (const { name, kind } of COUNTER_INFO) {
    const metric = {
      verdict: `latchway_packets_total{verdict="${name}"}`,
      drop: `latchway_drops_total{reason="${name.slice('drop-'.length)}"}`,
      event: `latchway_events_total{event="${name}"}`,
    }[kind];
    expect(value(text, metric), metric).toBe(counters[name]);
  }
  expect(text.split('\n').filter((line) => /^latchway_(packets|drops|events)_total/.test(line))).toHaveLength(
    COUNTER_INFO.length,
  );
});

test('table and servers', async () => {
  const text = await createMetrics(fakeTarget()).text();
  expect(value(text, 'latchway_table_entries')).toBe(12_345);
  expect(value(text, 'latchway_table_capacity')).toBe(1_048_576);
  expect(value(text, 'latchway_uptime_seconds')).toBe(3725);
  expect(value(text, 'latchway_ready')).toBe(1);
  expect(value(text, 'latchway_server_up{service="web",server="s1"}')).toBe(1);
  expect(value(text, 'latchway_server_up{service="web",server="s2"}')).toBe(0);
  expect(value(text, 'latchway_server_weight{service="web",server="s1"}')).toBe(3);
  expect(value(text, 'latchway_server_weight{service="web",server="s2"}')).toBe(0);
  expect(value(text, 'latchway_server_flows{service="web",server="s1",state="active"}')).toBe(120);
  expect(value(text, 'latchway_server_flows{service="web",server="s1",state="inactive"}')).toBe(4);
});

test('the cluster; a dispatcher alone has no peers and no flood', async () => {
  const silent = { ...PEER, name: 'd3', state: 'silent', ready: false, drift: true } as const;
  const target = { ...fakeTarget(), cluster: async () => CLUSTER, peers: async () => [PEER, silent] };
  const text = await createMetrics(target).text();
  expect(value(text, 'latchway_flood')).toBe(1);
  expect(value(text, 'latchway_locks')).toBe(1);
  expect(value(text, 'latchway_waiting_packets')).toBe(3);
  const of = (name: string) =>
    ['d2', 'd3'].map((dispatcher) => value(text, `latchway_peer_${name}{dispatcher="${dispatcher}"}`));
  expect(of('up')).toEqual([1, 0]);
  expect(of('ready')).toEqual([1, 0]);
  expect(of('drift')).toEqual([0, 1]);
  expect(of('repaired')).toEqual([2, 2]);
  const alone = await createMetrics(fakeTarget()).text();
  expect(alone).not.toMatch(/^latchway_peer_\w+[ {]/m);
  expect(value(alone, 'latchway_flood')).toBe(0);
});

test('a scrape asks the dispatcher thread once of its cluster, and once of its peers', async () => {
  const asked: string[] = [];
  const target = {
    ...fakeTarget(),
    cluster: async () => {
      asked.push('cluster');
      return CLUSTER;
    },
    peers: async () => {
      asked.push('peers');
      return [PEER];
    },
  };
  const metrics = createMetrics(target);
  await metrics.text();
  expect(asked).toEqual(['cluster', 'peers']);
  await metrics.text();
  expect(asked.length).toBe(4);
});

test('a second scrape sees what changed, and servers that went are gone', async () => {
  const target = { ...fakeTarget(), servers: () => SERVERS };
  const metrics = createMetrics(target);
  await metrics.text();
  target.servers = () => SERVERS.slice(0, 1).map((server) => ({ ...server, active: 5 }));
  const text = await metrics.text();
  expect(value(text, 'latchway_server_flows{service="web",server="s1",state="active"}')).toBe(5);
  expect(value(text, 'latchway_server_up{service="web",server="s2"}')).toBeUndefined();
  expect(value(text, 'latchway_packets_total{verdict="nat-request"}')).toBe(target.counters()['nat-request']);
});

test('a server that left and one that came under its name share their flows', async () => {
  const [s1] = SERVERS;
  const target = { ...fakeTarget(), servers: () => [s1!, { ...s1!, leaving: true, up: false, active: 7 }] };
  const text = await createMetrics(target).text();
  expect(value(text, 'latchway_server_flows{service="web",server="s1",state="active"}')).toBe(127);
  expect(value(text, 'latchway_server_up{service="web",server="s1"}')).toBe(1);
});

test('by TCP: metrics and nothing else', async () => {
  const port = 20_000 + (process.pid % 20_000);
  stop = await listenMetrics({ address: parseAddress('127.0.0.1')!, port }, createMetrics(fakeTarget()));
  const scraped = await fetch(`http://127.0.0.1:${port}/metrics`);
  expect(scraped.headers.get('content-type')).toMatch(/^text\/plain; version=0\.0\.4/);
  expect(await scraped.text()).toContain('latchway_ready 1');
  expect((await fetch(`http://127.0.0.1:${port}/servers`)).status).toBe(404);
  const again = listenMetrics({ address: parseAddress('127.0.0.1')!, port }, createMetrics(fakeTarget()));
  await expect(again).rejects.toThrow(/^metrics\.listen 127\.0\.0\.1:\d+: .*EADDRINUSE/);
});

test('by TCP: at most 64 scrapers at a time', async () => {
  const port = 20_000 + (process.pid % 20_000);
  stop = await listenMetrics({ address: parseAddress('127.0.0.1')!, port }, createMetrics(fakeTarget()));
  await expectBounded({ host: '127.0.0.1', port }, 100, 64, () => fetch(`http://127.0.0.1:${port}/metrics`));
});
