/** Generations for tests: a service or server with everything filled in, to be changed where a test cares. */
import type { Generation, ServerSpec, ServiceSpec } from '../../src/balance/generation.ts';
import { type Address, parseAddress } from '../../src/wire/address.ts';

export function address(text: string): Address {
  const parsed = parseAddress(text);
  if (parsed === undefined) throw new Error(`not an address: ${text}`);
  return parsed;
}

export function makeServer(index: number, changes: Partial<ServerSpec> = {}): ServerSpec {
  return {
    index,
    id: `server-${index}`,
    name: `s${index}`,
    address: address(`10.0.${index >>> 8}.${index & 255}`),
    port: 8080,
    endpoint: index,
    weight: 1,
    up: true,
    leaving: false,
    mtuBytes: 1500,
    subnet: undefined,
    ...changes,
  };
}

export function makeServers(count: number, changes: Partial<ServerSpec> = {}): ServerSpec[] {
  return Array.from({ length: count }, (_, index) => makeServer(index, changes));
}

export function makeService(index: number, changes: Partial<ServiceSpec> = {}): ServiceSpec {
  return {
    index,
    id: `service-${index}`,
    name: `service${index}`,
    vip: address(`192.0.2.${index & 255}`),
    protocol: 6,
    ports: [[80, 80]],
    mode: 'nat',
    scheduler: 'rr',
    affinity: { kind: 'flow' },
    unknown: 'reset',
    onServerDown: 'keep',
    lock: 'auto',
    timeoutsMs: {
      tcpEstablished: 900_000,
      tcpOpening: 30_000,
      tcpClosing: 30_000,
      udp: 120_000,
      client: 900_000,
    },
    servers: makeServers(3),
    maglev: undefined,
    ...changes,
  };
}

export function makeGeneration(services: readonly ServiceSpec[], number = 1): Generation {
  return { number, services };
}
