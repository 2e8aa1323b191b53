import { describe, expect, it } from 'vitest';
import type { ServiceSpec } from '../../../src/balance/generation.ts';
import {
  MODE_IPIP,
  MODE_NAT,
  NO_ENDPOINT,
  NO_SERVICE,
  POLICY_DROP,
  POLICY_HASH,
  POLICY_RESET,
  ServiceTable,
  VIP_ONLY,
} from '../../../src/balance/service-table.ts';
import { address, makeGeneration, makeServer, makeService } from '../../support/services.ts';

const TCP = 6;
const UDP = 17;

function compile(...services: ServiceSpec[]): ServiceTable {
  return new ServiceTable(makeGeneration(services, 42));
}

function find(table: ServiceTable, text: string, protocol: number, port: number): number {
  return table.findService(...address(text).words, protocol, port);
}

describe('finding a service', () => {
  const table = compile(
    makeService(0, {
      vip: address('192.0.2.1'),
      ports: [
        [80, 80],
        [443, 443],
      ],
    }),
    makeService(1, { vip: address('192.0.2.1'), protocol: UDP, ports: [[1, 65_535]] }),
    makeService(2, {
      vip: address('192.0.2.1'),
      ports: [
        [8000, 8099],
        [9000, 9003],
      ],
    }),
    makeService(5, { vip: address('2001:db8::1'), ports: [[1, 65_535]] }),
    makeService(6, { vip: address('2001:db8::1'), ports: [[8000, 8999]] }),
    makeService(7, { vip: address('2001:db8::1'), ports: [[8080, 8080]] }),
    makeService(65_534, { vip: address('255.255.255.254'), ports: [[65_535, 65_535]] }),
  );

  it.each([
    { to: '192.0.2.1', protocol: TCP, port: 80, service: 0 },
    { to: '192.0.2.1', protocol: TCP, port: 443, service: 0 },
    { to: '192.0.2.1', protocol: TCP, port: 444, service: VIP_ONLY },
    { to: '192.0.2.1', protocol: UDP, port: 80, service: 1 },
    { to: '192.0.2.1', protocol: UDP, port: 65_535, service: 1 },
    { to: '192.0.2.1', protocol: UDP, port: 0, service: VIP_ONLY },
    { to: '192.0.2.1', protocol: TCP, port: 7999, service: VIP_ONLY },
    { to: '192.0.2.1', protocol: TCP, port: 8000, service: 2 },
    { to: '192.0.2.1', protocol: TCP, port: 8099, service: 2 },
    { to: '192.0.2.1', protocol: TCP, port: 8100, service: VIP_ONLY },
    { to: '192.0.2.1', protocol: TCP, port: 9003, service: 2 },
    { to: '192.0.2.1', protocol: 1, port: 80, service: VIP_ONLY },
    { to: '192.0.2.2', protocol: TCP, port: 80, service: NO_SERVICE },
    { to: '2001:db8::1', protocol: TCP, port: 22, service: 5 },
    { to: '2001:db8::1', protocol: TCP, port: 8001, service: 6 },
    { to: '2001:db8::1', protocol: TCP, port: 8080, service: 7 },
    { to: '2001:db8::1', protocol: UDP, port: 22, service: VIP_ONLY },
    { to: '2001:db8::2', protocol: TCP, port: 22, service: NO_SERVICE },
    { to: '255.255.255.254', protocol: TCP, port: 65_535, service: 65_534 },
  ])('$to, protocol $protocol, port $port: $service', ({ to, protocol, port, service }) => {
    expect(find(table, to, protocol, port)).toBe(service);
  });

  it('takes address words signed or unsigned, and knows its VIPs', () => {
    const words = address('255.255.255.254').words;
    expect(table.findService(0, 0, 0xffff, words[3] | 0, TCP, 65_535)).toBe(65_534);
    expect(table.isVip(0, 0, 0xffff, words[3] | 0)).toBe(true);
    expect(table.isVip(...words)).toBe(true);
    expect(table.isVip(...address('255.255.255.253').words)).toBe(false);
  });

  it('of two services with one port keeps the first', () => {
    expect(
      find(compile(makeService(3), makeService(1, { vip: makeService(3).vip })), '192.0.2.3', TCP, 80),
    ).toBe(3);
  });

  it('of no services finds none', () => {
    expect(find(compile(), '192.0.2.1', TCP, 80)).toBe(NO_SERVICE);
    expect(compile().generation).toBe(42);
  });

  it('among a thousand', () => {
    const many = Array.from({ length: 1000 }, (_, index) =>
      makeService(index, {
        vip: address(`198.51.${index >>> 4}.${index & 15}`),
        ports: [[index + 1, index + 1 + (index % 40)]],
        servers: [],
      }),
    );
    const big = compile(...many);
    for (const { index, vip } of many) {
      expect(big.findService(...vip.words, TCP, index + 1)).toBe(index);
      expect(big.findService(...vip.words, TCP, index + 1 + (index % 40))).toBe(index);
      expect(big.findService(...vip.words, TCP, index)).toBe(VIP_ONLY);
      expect(big.findService(...vip.words, TCP, index + 2 + (index % 40))).toBe(VIP_ONLY);
    }
  });
});

describe('finding a server', () => {
  const table = compile(
    makeService(0, { servers: [makeServer(3, { endpoint: 700 })] }),
    makeService(1, {
      ports: [
        [8000, 8099],
        [53, 53],
      ],
      servers: [makeServer(4, { address: makeServer(3).address, endpoint: 700, port: 0 })],
    }),
    makeService(2, { mode: 'ipip', servers: [makeServer(5, { endpoint: 701 })] }),
    makeService(3, {
      protocol: UDP,
      servers: [makeServer(6, { address: address('2001:db8::6'), endpoint: 702 })],
    }),
  );

  it('by address and protocol, of mode nat only', () => {
    expect(table.findEndpoint(...makeServer(3).address.words, TCP)).toBe(700);
    expect(table.findEndpoint(...makeServer(3).address.words, UDP)).toBe(NO_ENDPOINT);
    expect(table.findEndpoint(...makeServer(5).address.words, TCP)).toBe(NO_ENDPOINT);
    expect(table.findEndpoint(...address('2001:db8::6').words, UDP)).toBe(702);
  });

  it.each([
    { endpoint: 700, port: 8080, its: true },
    { endpoint: 700, port: 80, its: false },
    { endpoint: 700, port: 8000, its: true },
    { endpoint: 700, port: 8099, its: true },
    { endpoint: 700, port: 53, its: true },
    { endpoint: 700, port: 54, its: false },
    { endpoint: 701, port: 8080, its: false },
    { endpoint: 702, port: 8080, its: true },
    { endpoint: 65_535, port: 8080, its: false },
  ])('answers from port $port of endpoint $endpoint: $its', ({ endpoint, port, its }) => {
    expect(table.endpointPortIsServer(endpoint, port)).toBe(its);
  });
});

describe('columns', () => {
  const table = compile(
    makeService(1, {
      vip: address('192.0.2.1'),
      mode: 'ipip',
      unknown: 'hash',
      onServerDown: 'reset',
      affinity: { kind: 'client', prefix: 24 },
      servers: [
        makeServer(2, { address: address('203.0.113.9'), port: 0, weight: 7, mtuBytes: 1400, endpoint: 9 }),
        makeServer(3, { up: false }),
        makeServer(4, { leaving: true }),
        makeServer(5, { weight: 0 }),
      ],
    }),
    makeService(3, { unknown: 'drop', servers: [makeServer(7, { up: false })] }),
    makeService(4, { vip: address('2001:db8::1'), affinity: { kind: 'client', prefix: 56 }, servers: [] }),
  );

  it('of services', () => {
    expect([table.mode[1], table.mode[3]]).toEqual([MODE_IPIP, MODE_NAT]);
    expect([table.unknown[1], table.unknown[3], table.unknown[4]]).toEqual([
      POLICY_HASH,
      POLICY_DROP,
      POLICY_RESET,
    ]);
    expect([table.isSession(1), table.isSession(3), table.isSession(4)]).toEqual([true, false, true]);
    expect([table.isOneWay(1), table.isOneWay(3)]).toEqual([true, false]);
    expect([0, 1, 2, 3, 4, 5].map((service) => table.isService(service))).toEqual([
      false,
      true,
      false,
      true,
      true,
      false,
    ]);
    expect([...table.vip.subarray(4, 8)]).toEqual([0, 0, 0xffff, 0xc0000201 | 0]);
  });

  it('of session masks: all of a flow, a prefix of the client in bits of the family', () => {
    const mask = (service: number): number[] =>
      [...table.mask.subarray(service * 4, service * 4 + 4)].map((word) => word >>> 0);
    expect(mask(1)).toEqual([0xffffffff, 0xffffffff, 0xffffffff, 0xffffff00]);
    expect(mask(3)).toEqual([0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff]);
    expect(mask(4)).toEqual([0xffffffff, 0xffffff00, 0, 0]);
  });

  it('of servers', () => {
    expect([...table.serverAddress.subarray(8, 12)]).toEqual([0, 0, 0xffff, 0xcb007109 | 0]);
    expect([table.serverFamily[2], table.serverFamily[0]]).toEqual([4, 0]);
    expect([table.serverPort[2], table.serverPort[3]]).toEqual([0, 8080]);
    expect([table.serverWeight[2], table.serverMtu[2], table.serverEndpoint[2]]).toEqual([7, 1400, 9]);
  });

  it('of who may have new flows, and whose flows are reset', () => {
    expect([2, 3, 4, 5, 6, 7].map((server) => table.isCandidate(1, server))).toEqual([
      true,
      false,
      false,
      false,
      false,
      false,
    ]);
    expect(table.isCandidate(3, 2)).toBe(false);
    expect([2, 3, 4, 5].map((server) => table.isServerUp(server))).toEqual([true, false, true, true]);
    expect([2, 3, 4, 999].map((server) => table.serverResets(1, server))).toEqual([false, true, false, true]);
    expect(table.serverResets(3, 7)).toBe(false);
    expect([table.isServerOf(1, 2), table.isServerOf(3, 2), table.isServerOf(1, 0)]).toEqual([
      true,
      false,
      false,
    ]);
  });

  it('of subnets: a client on the server’s own is its neighbour', () => {
    const subnet = (text: string, bits: number): Partial<ServiceSpec> => ({
      servers: [makeServer(0, { subnet: { address: address(text), bits } })],
    });
    const four = compile(makeService(0, subnet('10.0.2.77', 24)));
    const six = compile(makeService(0, subnet('2001:db8:2::1', 64)));
    expect(four.isNeighbour(0, ...address('10.0.2.9').words)).toBe(true);
    expect(four.isNeighbour(0, ...address('10.0.3.9').words)).toBe(false);
    expect(six.isNeighbour(0, ...address('2001:db8:2::ffff').words)).toBe(true);
    expect(six.isNeighbour(0, ...address('2001:db8:3::ffff').words)).toBe(false);
    expect(table.isNeighbour(2, ...address('203.0.113.9').words)).toBe(false);
  });
});
