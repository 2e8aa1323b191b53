/** ICMP errors: both directions, translated inside and out; unknown ones dropped or passed. */
import { describe, expect, it } from 'vitest';
import { processBatch } from '../../../src/forward/packet-path.ts';
import {
  type BuiltPacket,
  extension,
  icmpPacket,
  takePacket,
  tcpPacket,
  udpPacket,
} from '../../support/packets.ts';
import { Path } from '../../support/path.ts';
import {
  CLIENT_PORT,
  datagram,
  ENDS,
  request,
  SYN,
  servers,
  service,
  tooBig,
} from '../../support/path-packets.ts';

const FAMILIES = [4, 6] as const;
const PROTOCOLS = ['tcp', 'udp'] as const;

describe.each(FAMILIES)('IPv%d', (family) => {
  const { client, vip } = ENDS[family];
  const [server, neighbour] = ENDS[family].servers;
  const router = family === 4 ? '203.0.113.1' : '2001:db8:e::1';
  const stranger = family === 4 ? '203.0.113.99' : '2001:db8:e::99';

  function path(): Path {
    const one = new Path([
      service(0, family),
      service(1, family, { protocol: 17, servers: servers(family, 10, { endpoint: 9 }).slice(0, 1) }),
    ]);
    one.run(request(family, { flags: SYN }));
    one.run(datagram(family));
    return one;
  }

  const build = { tcp: tcpPacket, udp: udpPacket };
  /** A packet of the flow between two ends. */
  function quoted(protocol: 'tcp' | 'udp', toServer: boolean, inside: boolean, changes: object = {}): Buffer {
    const [address, port] = inside ? [server, 8080] : [vip, 80];
    const ends = toServer
      ? { source: client, sourcePort: CLIENT_PORT, destination: address, destinationPort: port }
      : { source: address, sourcePort: port, destination: client, destinationPort: CLIENT_PORT };
    return build[protocol]({ ...ends, ttl: 60, payload: Buffer.alloc(120, 6), ...changes }).bytes;
  }

  describe.each(PROTOCOLS)('%s', (protocol) => {
    it('about a request: the client gets it about its own packet', () => {
      const one = path();
      for (const source of [router, server, neighbour]) {
        const { verdicts, sent } = one.run(
          tooBig(family, source, client, quoted(protocol, true, true), 1300),
        );
        expect(verdicts).toEqual(['icmp-to-client']);
        const { decoded } = sent[0]!;
        // A server's own address becomes the VIP, whichever server it is of.
        expect(decoded.source).toBe(source === router ? router : vip);
        expect(decoded.destination).toBe(client);
        expect(decoded.icmp!.rest).toBe(1300);
        expect(decoded.ttl).toBe(65);
        expect(decoded.icmp!.quoted!.bytes).toEqual(quoted(protocol, true, false));
        expect(decoded.icmp!.quoted!.checksumRight).toBe(true);
      }
    });

    it('about a reply: the server gets it about its own packet', () => {
      const { verdicts, sent } = path().run(
        tooBig(family, router, vip, quoted(protocol, false, false), 1300),
      );
      expect(verdicts).toEqual(['icmp-to-server']);
      const { decoded } = sent[0]!;
      expect([decoded.source, decoded.destination]).toEqual([router, server]);
      expect(decoded.ttl).toBe(65);
      expect(decoded.icmp!.quoted!.bytes).toEqual(quoted(protocol, false, true));
      expect(decoded.icmp!.quoted!.checksumRight).toBe(true);
    });

    it('whatever is left of the quote, and behind options', () => {
      const one = path();
      const header = family === 4 ? 20 : 40;
      const options = family === 4 ? { ipOptions: Buffer.alloc(4, 1) } : { extensions: [extension(60)] };
      const cuts = [8, 17, 18, 19, 20, 21].map((size) => [{}, header + size] as const);
      for (const [changes, size] of [...cuts, [options, 300] as const]) {
        const cut = (toServer: boolean, inside: boolean) =>
          quoted(protocol, toServer, inside, changes).subarray(0, size);
        const toClient = one.run(tooBig(family, router, client, cut(true, true), 1300));
        expect(toClient.verdicts).toEqual(['icmp-to-client']);
        expect(withoutOddChecksum(protocol, toClient.sent[0]!.decoded.icmp!.quoted!.bytes, size)).toEqual(
          withoutOddChecksum(protocol, cut(true, false), size),
        );
        const toServer = one.run(tooBig(family, router, vip, cut(false, false), 1300));
        expect(toServer.verdicts).toEqual(['icmp-to-server']);
        expect(withoutOddChecksum(protocol, toServer.sent[0]!.decoded.icmp!.quoted!.bytes, size)).toEqual(
          withoutOddChecksum(protocol, cut(false, true), size),
        );
      }
    });
  });

  /** Half a checksum cannot be moved: of 17 bytes of TCP the last one stays as it was. */
  function withoutOddChecksum(protocol: string, bytes: Buffer, size: number): Buffer {
    const header = family === 4 ? 20 : 40;
    return protocol === 'tcp' && size === header + 17 ? bytes.subarray(0, -1) : bytes;
  }

  const rows: [string, BuiltPacket, string][] = [
    [
      'to the VIP, of a flow that is not known',
      tooBig(family, router, vip, quoted('tcp', false, false, { destinationPort: 1 }), 1300),
      'drop-icmp',
    ],
    [
      'to the VIP, of a port without a service',
      tooBig(family, router, vip, quoted('tcp', false, false, { sourcePort: 81 }), 1300),
      'drop-icmp',
    ],
    [
      'to the VIP, about a packet of somebody else',
      tooBig(family, router, vip, quoted('tcp', false, false, { source: stranger }), 1300),
      'drop-icmp',
    ],
    ['to the VIP, with nothing quoted', tooBig(family, router, vip, Buffer.alloc(0), 1300), 'drop-icmp'],
    [
      'to the VIP, about ICMP',
      tooBig(family, router, vip, icmpPacket({ source: vip, destination: client, type: 0 }).bytes, 1300),
      'drop-icmp',
    ],
    [
      'about a server port, of a flow that is not known',
      tooBig(family, router, client, quoted('tcp', true, true, { sourcePort: 1 }), 1300),
      'drop-icmp',
    ],
    [
      'about another port of a server',
      tooBig(family, server, client, quoted('tcp', true, true, { destinationPort: 22 }), 1300),
      'passed',
    ],
    [
      'about somebody else',
      tooBig(family, router, client, quoted('udp', true, true, { destination: stranger }), 1300),
      'passed',
    ],
    ['of a server, with nothing quoted', tooBig(family, server, client, Buffer.alloc(4), 1300), 'passed'],
    [
      'echo reply of a server',
      icmpPacket({ source: server, destination: client, type: family === 4 ? 0 : 129 }),
      'passed',
    ],
    [
      'its first fragment',
      family === 4
        ? icmpPacket({
            source: server,
            destination: client,
            type: 3,
            fragmentBits: 0x2000,
            dontFragment: false,
          })
        : icmpPacket({ source: server, destination: client, type: 1, extensions: [firstFragment()] }),
      'drop-fragment',
    ],
  ];
  it.each(rows)('%s', (_, packet, verdict) => {
    const { counts, sent } = loosely(path(), packet);
    expect(counts).toEqual({ [verdict]: 1 });
    expect(sent).toEqual(verdict === 'passed' ? [packet.bytes] : []);
  });

  it('about a flow whose service or server has just left', () => {
    const one = path();
    const left = servers(family, 0).slice(1);
    one.apply([service(0, family, { servers: left }), service(5, family, { ports: [[99, 99]] })]);
    expect(one.run(tooBig(family, router, vip, quoted('tcp', false, false), 1300)).verdicts).toEqual([
      'drop-icmp',
    ]);
    one.apply([service(5, family, { ports: [[99, 99]] })]);
    const { verdicts } = one.run(tooBig(family, router, client, quoted('tcp', true, true), 1300));
    expect(verdicts).toEqual(['drop-icmp']);
  });

  it('the error itself may have its checksum left to do', () => {
    if (family === 4) return;
    const one = path();
    const body = quoted('tcp', true, true);
    const error = icmpPacket({
      source: server,
      destination: client,
      type: 2,
      rest: 1300,
      body,
      partial: true,
    });
    const { verdicts, sent } = one.run(error);
    expect(verdicts).toEqual(['icmp-to-client']);
    expect(sent[0]!.decoded.icmp!.quoted!.bytes).toEqual(quoted('tcp', true, false));
    expect(sent[0]!.vnet).toEqual(error.vnet);
  });
});

function firstFragment() {
  const header = extension(44);
  header.bytes.set([0, 1], 2);
  return header;
}

/** Without the decoder, which takes no quote of nothing. */
function loosely(one: Path, packet: BuiltPacket) {
  const before = one.counters.slice();
  const { batch } = one;
  one.load([packet]);
  processBatch(one.state, one.table, one.now);
  const sent = Array.from(
    { length: batch.txCount },
    (_, at) => takePacket(batch.bytes, batch.txOffset[at]!, batch.txLength[at]!).bytes,
  );
  return { counts: one.countsSince(before), sent };
}
