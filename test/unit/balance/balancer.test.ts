import { describe, expect, it } from 'vitest';
import { Balancer, NO_SERVER } from '../../../src/balance/balancer.ts';
import { DEFAULT_CLUSTER_KEY, selectionKey } from '../../../src/balance/cluster-key.ts';
import type { SchedulerName, ServiceSpec } from '../../../src/balance/generation.ts';
import { buildMaglev } from '../../../src/balance/maglev.ts';
import { ServerMask } from '../../../src/balance/server-mask.ts';
import { packPorts } from '../../../src/table/flow-row.ts';
import { address, makeGeneration, makeServers, makeService } from '../../support/services.ts';

const NONE = new ServerMask();
const SCHEDULERS: SchedulerName[] = ['maglev', 'rr', 'wrr', 'lc', 'wlc', 'sh', 'random'];

function makeBalancer(key = DEFAULT_CLUSTER_KEY): Balancer {
  return new Balancer({ active: new Uint32Array(65_536), inactive: new Uint32Array(65_536) }, key, 1);
}

function balance(...services: ServiceSpec[]): Balancer {
  const balancer = makeBalancer();
  balancer.apply(makeGeneration(services));
  return balancer;
}

function hashOf(balancer: Balancer, client: string, clientPort: number, service = 0): number {
  return balancer.keyHash(service, ...address(client).words, packPorts(clientPort, 80));
}

describe('keys', () => {
  it('by flow hold the ports, by client they do not', () => {
    const flow = balance(makeService(0));
    expect(hashOf(flow, '198.51.100.1', 1)).toBe(hashOf(flow, '198.51.100.1', 1));
    expect(hashOf(flow, '198.51.100.1', 1)).not.toBe(hashOf(flow, '198.51.100.1', 2));
    const client = balance(makeService(0, { affinity: { kind: 'client', prefix: 32 } }));
    expect(hashOf(client, '198.51.100.1', 1)).toBe(hashOf(client, '198.51.100.1', 2));
    expect(hashOf(client, '198.51.100.1', 1)).not.toBe(hashOf(client, '198.51.100.2', 1));
  });

  it.each([
    { vip: '192.0.2.1', prefix: 24, a: '198.51.100.1', same: '198.51.100.254', other: '198.51.101.1' },
    {
      vip: '2001:db8::1',
      prefix: 56,
      a: '2001:db8:1:200::1',
      same: '2001:db8:1:2ff::9',
      other: '2001:db8:1:300::1',
    },
  ])('by prefix $prefix of $vip are one for $a and $same', ({ vip, prefix, a, same, other }) => {
    const balancer = balance(makeService(0, { vip: address(vip), affinity: { kind: 'client', prefix } }));
    expect(hashOf(balancer, a, 1)).toBe(hashOf(balancer, same, 2));
    expect(hashOf(balancer, a, 1)).not.toBe(hashOf(balancer, other, 1));
  });

  it('under sh are the client address alone', () => {
    const balancer = balance(makeService(0, { scheduler: 'sh' }));
    expect(hashOf(balancer, '198.51.100.1', 1)).toBe(hashOf(balancer, '198.51.100.1', 2));
  });

  it('follow the id of the service, not its index, and the key of the cluster', () => {
    const balancer = balance(makeService(0), makeService(1), makeService(2, { id: 'service-0' }));
    expect(hashOf(balancer, '198.51.100.1', 1, 2)).toBe(hashOf(balancer, '198.51.100.1', 1, 0));
    expect(hashOf(balancer, '198.51.100.1', 1, 1)).not.toBe(hashOf(balancer, '198.51.100.1', 1, 0));
    const cluster = makeBalancer(selectionKey(new Uint8Array(32)));
    cluster.apply(makeGeneration([makeService(0)]));
    expect(hashOf(cluster, '198.51.100.1', 1)).not.toBe(hashOf(balancer, '198.51.100.1', 1));
  });
});

describe('selection', () => {
  it.each(SCHEDULERS)('%s reaches every server of a service, and no other service’s', (scheduler) => {
    const other = makeService(1, { servers: makeServers(20).slice(10) });
    const balancer = balance(makeService(0, { scheduler, servers: makeServers(4) }), other);
    const seen = new Set<number>();
    for (let client = 0; client < 1000; client++) {
      seen.add(balancer.select(0, hashOf(balancer, `198.51.${client >>> 8}.${client & 255}`, 1), NONE));
    }
    expect(seen).toEqual(new Set([0, 1, 2, 3]));
  });

  it.each(SCHEDULERS)('by hash is stable under %s', (scheduler) => {
    const service = makeService(0, { scheduler, servers: makeServers(4) });
    const [one, other] = [balance(service), balance(service)];
    const seen = new Set<number>();
    for (let client = 0; client < 200; client++) {
      const hash = hashOf(one, `198.51.100.${client}`, 1);
      const server = one.selectByHash(0, hash, NONE);
      expect(other.selectByHash(0, hash, NONE)).toBe(server);
      one.select(0, hash, NONE);
      expect(one.selectByHash(0, hash, NONE)).toBe(server);
      if (scheduler === 'maglev' || scheduler === 'sh') expect(one.select(0, hash, NONE)).toBe(server);
      seen.add(server);
    }
    expect(seen).toEqual(new Set([0, 1, 2, 3]));
  });

  it('uses the maglev table that the generation brings', () => {
    const servers = makeServers(2);
    const maglev = buildMaglev(servers.slice(1), DEFAULT_CLUSTER_KEY);
    const balancer = balance(makeService(0, { scheduler: 'maglev', servers, maglev }));
    for (let hash = 0; hash < 100; hash++) expect(balancer.select(0, hash, NONE)).toBe(1);
  });

  it('of an unknown service has no server', () => {
    const balancer = balance(makeService(3));
    for (const service of [0, 4]) {
      expect(balancer.keyHash(service, 0, 0, 0xffff, 1, 2)).toBe(0);
      expect(balancer.select(service, 1, NONE)).toBe(NO_SERVER);
      expect(balancer.selectByHash(service, 1, NONE)).toBe(NO_SERVER);
    }
  });
});

describe('a new generation', () => {
  it.each(['rr', 'wrr'] as const)('%s goes on where it was', (scheduler) => {
    const service = makeService(0, { scheduler, servers: makeServers(3) });
    const balancer = makeBalancer();
    const picks = Array.from({ length: 6 }, () => {
      balancer.apply(makeGeneration([service]));
      return balancer.select(0, 0, NONE);
    });
    expect(picks).toEqual([0, 1, 2, 0, 1, 2]);
  });

  it('takes away what is gone and down at once', () => {
    const balancer = balance(makeService(0), makeService(1));
    const servers = makeServers(3).map((server) => ({ ...server, up: server.index === 1 }));
    balancer.apply(makeGeneration([makeService(0, { scheduler: 'wrr', servers })], 2));
    for (let turn = 0; turn < 10; turn++) expect(balancer.select(0, turn, NONE)).toBe(1);
    expect(balancer.select(1, 0, NONE)).toBe(NO_SERVER);
  });
});
