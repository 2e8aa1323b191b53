/** Addresses, services and packets that the tests of the packet path share: one client, one VIP and three servers a family. */
import type { ServerSpec, ServiceSpec } from '../../src/balance/generation.ts';
import { type BuiltPacket, icmpPacket, type TcpSpec, tcpPacket, type UdpSpec, udpPacket } from './packets.ts';
import { address, makeServer, makeService } from './services.ts';

export const FIN = 1;
export const SYN = 2;
export const RST = 4;
export const PSH = 8;
export const ACK = 16;

/** Ends of a flow as text, by family. */
export const ENDS = {
  4: { client: '198.51.100.7', vip: '192.0.2.10', servers: ['10.0.2.1', '10.0.2.2', '10.0.2.3'] },
  6: {
    client: '2001:db8:c::7',
    vip: '2001:db8:a::10',
    servers: ['fd00:2::1', 'fd00:2::2', 'fd00:2::3'],
  },
} as const;
export const CLIENT_PORT = 40_000;

export type Family = keyof typeof ENDS;

/** Three servers of a family with indexes from `first` on. */
export function servers(family: Family, first: number, changes: Partial<ServerSpec> = {}): ServerSpec[] {
  return ENDS[family].servers.map((text, at) =>
    makeServer(first + at, { address: address(text), endpoint: first + at + 1, ...changes }),
  );
}

/** A service of the family's VIP: port 80 to 8080, mode nat, scheduler rr. */
export function service(index: number, family: Family, changes: Partial<ServiceSpec> = {}): ServiceSpec {
  return makeService(index, {
    vip: address(ENDS[family].vip),
    servers: servers(family, index * 10),
    ...changes,
  });
}

type Changes<Spec> = Partial<Spec>;

export function request(family: Family, changes: Changes<TcpSpec> = {}): BuiltPacket {
  const { client, vip } = ENDS[family];
  const ends = { source: client, destination: vip, sourcePort: CLIENT_PORT, destinationPort: 80 };
  return tcpPacket({ ...ends, ...changes });
}

export function datagram(family: Family, changes: Changes<UdpSpec> = {}): BuiltPacket {
  const { client, vip } = ENDS[family];
  const ends = { source: client, destination: vip, sourcePort: CLIENT_PORT, destinationPort: 80 };
  return udpPacket({ ...ends, payload: Buffer.from('question'), ...changes });
}

/** From the service port of server `at` (0 to 2). */
export function reply(family: Family, at: number, changes: Changes<TcpSpec> = {}): BuiltPacket {
  const { client } = ENDS[family];
  const source = ENDS[family].servers[at]!;
  return tcpPacket({
    ...{ source, destination: client, sourcePort: 8080, destinationPort: CLIENT_PORT },
    ...changes,
  });
}

export function answer(family: Family, at: number, changes: Changes<UdpSpec> = {}): BuiltPacket {
  const { client } = ENDS[family];
  const source = ENDS[family].servers[at]!;
  const ends = { source, destination: client, sourcePort: 8080, destinationPort: CLIENT_PORT };
  return udpPacket({ ...ends, payload: Buffer.from('answer'), ...changes });
}

/** 'Packet too big' or 'fragmentation needed' about `quoted`. */
export function tooBig(
  family: Family,
  source: string,
  destination: string,
  quoted: Uint8Array,
  mtu: number,
): BuiltPacket {
  const [type, code] = family === 4 ? [3, 4] : [2, 0];
  return icmpPacket({ source, destination, type, code, rest: mtu, body: quoted });
}
