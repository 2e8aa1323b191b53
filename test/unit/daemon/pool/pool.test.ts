import { expect, test } from 'vitest';
import { DEFAULT_CLUSTER_KEY } from '../../../../src/balance/cluster-key.ts';
import { parseConfig } from '../../../../src/daemon/config/config.ts';
import type { ServiceConfig } from '../../../../src/daemon/config/services.ts';
import { Pool } from '../../../../src/daemon/pool/pool.ts';

const WEB = `
  web:
    vip: 192.0.2.10
    protocol: tcp
    ports: [80]
    mode: nat
    scheduler: maglev
    servers: { s1: { address: 10.0.2.1, port: 8080 }, s2: { address: 10.0.2.2, port: 8080, weight: 3 } }`;
const DNS = `
  dns:
    vip: 192.0.2.10
    protocol: udp
    ports: [53]
    mode: nat
    scheduler: rr
    servers: { s1: { address: 10.0.2.1, port: 5300 } }`;

function services(...texts: string[]): readonly ServiceConfig[] {
  return parseConfig(`services:${texts.join('')}`, '/etc/latchway.yaml').services;
}

function pool(configs: readonly ServiceConfig[]): Pool {
  const made = new Pool(DEFAULT_CLUSTER_KEY, () => 1_700_000_000_000);
  made.commit(made.prepare(configs));
  return made;
}

function look(one: Pool): unknown {
  return structuredClone(one.generation().services);
}

test('a draft that is abandoned has changed nothing: indexes, weights, drain, health', () => {
  const one = pool(services(WEB, DNS));
  one.change('web', 's2', { weight: 7 });
  one.change('web', 's1', { drain: true });
  one.setUp(one.services[0]!.servers[1]!.index, false, 'time-out');
  const before = look(one);
  const draft = one.prepare(services(WEB.replace('10.0.2.2', '10.0.2.9')));
  expect([...draft.services.values()]).toHaveLength(1);
  one.abandon(draft);
  expect(look(one)).toEqual(before);
});

test('what a configuration keeps keeps its index, what an operator and health said of it', () => {
  const one = pool(services(WEB));
  const [service] = one.services;
  one.change('web', 's2', { weight: 7 });
  one.setUp(service!.servers[0]!.index, false, 'ECONNREFUSED');
  expect(one.commit(one.prepare(services(DNS, WEB)))).toEqual([]);
  const web = one.services.find(({ config }) => config.name === 'web')!;
  expect(web.index).toBe(service!.index);
  expect(web.servers.map(({ index, up, weight }) => ({ index, up, weight }))).toEqual([
    { index: service!.servers[0]!.index, up: false, weight: 1 },
    { index: service!.servers[1]!.index, up: true, weight: 7 },
  ]);
  one.commit(one.prepare(services(WEB.replace('weight: 3', 'weight: 5'))));
  expect(one.services[0]!.servers[1]!.weight).toBe(5);
});

test('a server that leaves stays until its flows have ended; its name comes back as the same server', () => {
  const one = pool(services(WEB));
  const left = one.services[0]!.servers[1]!.index;
  const without = services(WEB.replace(/, s2: .*\} \}/, ' }'));
  one.commit(one.prepare(without));
  expect(one.services[0]!.servers.map(({ index, leaving }) => [index, leaving])).toContainEqual([left, true]);
  expect(one.hasLeft(() => 1)).toBe(false);
  expect(one.forgetLeft(() => 1)).toBe(false);
  one.commit(one.prepare(services(WEB)));
  expect(one.services[0]!.servers[1]).toMatchObject({ index: left, leaving: false });
  one.commit(one.prepare(without));
  expect(one.hasLeft(() => 0)).toBe(true);
  expect(one.forgetLeft(() => 0)).toBe(true);
  expect(one.services[0]!.servers).toHaveLength(1);
});

test('a service that goes is told by its index, which is not given out again soon', () => {
  const one = pool(services(WEB, DNS));
  const dns = one.services.find(({ config }) => config.name === 'dns')!.index;
  expect(one.commit(one.prepare(services(WEB)))).toEqual([dns]);
  one.commit(one.prepare(services(WEB, DNS)));
  expect(one.services.find(({ config }) => config.name === 'dns')!.index).not.toBe(dns);
});

test('a change of mode is another service to the table', () => {
  const one = pool(services(WEB));
  const ipip = WEB.replace('mode: nat', 'mode: ipip').replaceAll(', port: 8080', '');
  const before = one.services[0]!.index;
  expect(one.commit(one.prepare(services(ipip)))).toEqual([before]);
});

test('servers at one address and protocol share an endpoint, which is never 0', () => {
  const one = pool(services(WEB, DNS, WEB.replace('web:', 'other:').replace('[80]', '[81]')));
  const endpoint = (name: string) =>
    one.services.find(({ config }) => config.name === name)!.servers[0]!.endpoint;
  expect(endpoint('web')).toBe(endpoint('other'));
  expect(endpoint('web')).not.toBe(endpoint('dns'));
  expect(endpoint('dns')).toBeGreaterThan(0);
});

test('an unknown name is refused with a sentence', () => {
  const one = pool(services(WEB));
  expect(() => one.change('nope', 's1', { drain: true })).toThrow("no service is named 'nope'");
  expect(() => one.change('web', 's9', { drain: true })).toThrow("no server named 's9'");
});

test('a server that a reload adds stands back until all dispatchers know it, unless there is no other', () => {
  const one = pool(services(WEB));
  const weights = () =>
    Object.fromEntries(one.generation().services[0]!.servers.map((s) => [s.name, s.weight]));
  const added = WEB.replace('s2: {', 's3: { address: 10.0.2.3, port: 8080 }, s2: {');
  one.commit(one.prepare(services(added), true));
  expect(weights()).toEqual({ s1: 1, s3: 0, s2: 3 });
  const { fresh } = one;
  expect(fresh).toHaveLength(1);
  // Another reload changes nothing about that.
  one.commit(one.prepare(services(added), true));
  expect(one.fresh).toEqual(fresh);
  one.change('web', 's1', { drain: true });
  one.change('web', 's2', { drain: true });
  expect(weights()).toEqual({ s1: 0, s3: 1, s2: 0 });
  one.change('web', 's1', { enable: true });
  one.settle(fresh);
  expect(one.fresh).toEqual([]);
  expect(weights()).toEqual({ s1: 1, s3: 1, s2: 0 });
});

test('a dispatcher alone uses an added server at once, and a new service has no others', () => {
  const one = pool(services(WEB));
  one.commit(one.prepare(services(WEB.replace('s2: {', 's3: { address: 10.0.2.3, port: 8080 }, s2: {'))));
  expect(one.fresh).toEqual([]);
  one.commit(one.prepare(services(WEB, DNS), true));
  expect(one.fresh).toEqual([]);
});
