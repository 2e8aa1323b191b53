import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Balancer, NO_SERVER } from '../../src/balance/balancer.ts';
import { DEFAULT_CLUSTER_KEY } from '../../src/balance/cluster-key.ts';
import {
  isCandidate,
  type SchedulerName,
  type ServerSpec,
  type ServiceSpec,
} from '../../src/balance/generation.ts';
import { ServerMask } from '../../src/balance/server-mask.ts';
import { NO_SERVICE, ServiceTable, VIP_ONLY } from '../../src/balance/service-table.ts';
import { address, makeGeneration, makeServer, makeService } from '../support/services.ts';

const VIPS = ['192.0.2.1', '192.0.2.2', '2001:db8::1'].map(address);
const SCHEDULERS = ['rr', 'wrr', 'lc', 'wlc', 'sh', 'random', 'maglev'] as const satisfies SchedulerName[];

const port = fc.integer({ min: 1, max: 120 });
const range = fc
  .tuple(port, fc.integer({ min: 0, max: 40 }))
  .map(([first, more]) => [first, first + more] as const);

const service = fc.record({
  vip: fc.constantFrom(...VIPS.slice(0, 2)),
  protocol: fc.constantFrom(6 as const, 17 as const),
  ports: fc.array(range, { minLength: 1, maxLength: 4 }),
});

/** The narrowest range that holds the port, of equals the first: what a ServiceTable is to find, the slow way. */
function slowFind(
  services: readonly ServiceSpec[],
  vip: (typeof VIPS)[number],
  protocol: number,
  wanted: number,
): number {
  let best = services.some((one) => one.vip === vip) ? VIP_ONLY : NO_SERVICE;
  let width = Number.POSITIVE_INFINITY;
  for (const one of services) {
    if (one.vip !== vip || one.protocol !== protocol) continue;
    for (const [first, last] of one.ports) {
      if (wanted < first || wanted > last || last - first >= width) continue;
      best = one.index;
      width = last - first;
    }
  }
  return best;
}

describe('a service table', () => {
  it('finds what a search through all services finds', () => {
    fc.assert(
      fc.property(fc.array(service, { maxLength: 8 }), (parts) => {
        const services = parts.map((part, index) => makeService(index * 3, part));
        const table = new ServiceTable(makeGeneration(services));
        for (const vip of VIPS) {
          for (const protocol of [6, 17]) {
            for (let wanted = 0; wanted <= 165; wanted++) {
              const found = table.findService(...vip.words, protocol, wanted);
              if (found !== slowFind(services, vip, protocol, wanted))
                throw new Error(`${protocol} ${wanted}: ${found}`);
            }
          }
        }
      }),
    );
  });
});

const server = fc.record({
  weight: fc.constantFrom(0, 1, 2, 50, 65_535),
  up: fc.boolean(),
  leaving: fc.boolean(),
});
const pool = fc.array(server, { maxLength: 6 });

/** A balancer that selects, checked against who may be selected. */
function expectSelections(
  balancer: Balancer,
  servers: readonly ServerSpec[],
  excludedIndexes: readonly number[],
): void {
  const excluded = new ServerMask();
  for (const index of excludedIndexes) excluded.add(index);
  const allowed = new Set(servers.filter(isCandidate).map(({ index }) => index));
  for (const index of excludedIndexes) allowed.delete(index);
  for (let hash = 0; hash < 8; hash++) {
    const keyHash = Math.imul(hash, 0x9e3779b1);
    for (const selected of [
      balancer.select(0, keyHash, excluded),
      balancer.selectByHash(0, keyHash, excluded),
    ]) {
      if (allowed.size === 0) expect(selected).toBe(NO_SERVER);
      else expect(allowed.has(selected), `${selected} of ${[...allowed]}`).toBe(true);
    }
  }
}

describe('selection', () => {
  it.each(SCHEDULERS)(
    'by %s finds a server exactly when there is one, through changing generations',
    (scheduler) => {
      const loads = { active: new Uint32Array(65_536), inactive: new Uint32Array(65_536) };
      const exclusions = fc.array(fc.nat(6), { maxLength: 4 });
      fc.assert(
        fc.property(fc.array(fc.tuple(pool, exclusions), { minLength: 1, maxLength: 3 }), (generations) => {
          const balancer = new Balancer(loads, DEFAULT_CLUSTER_KEY, 1);
          for (const [number, [changes, excluded]] of generations.entries()) {
            const servers = changes.map((change, index) => makeServer((index + number) % 7, change));
            balancer.apply(makeGeneration([makeService(0, { scheduler, servers })], number));
            expectSelections(balancer, servers, excluded);
          }
        }),
        { numRuns: scheduler === 'maglev' ? 20 : 200 },
      );
    },
  );
});
