/** Mode nat, row by row: a packet in, its verdict, and the packet out, which the test's own builder makes from nothing. */
import { describe, expect, it } from 'vitest';
import type { CounterName } from '../../../src/base/counters.ts';
import { type BuiltPacket, extension, ipPacket, tcpPacket, udpPacket } from '../../support/packets.ts';
import { Path } from '../../support/path.ts';
import {
  ACK,
  answer,
  CLIENT_PORT,
  datagram,
  ENDS,
  type Family,
  PSH,
  reply,
  request,
  SYN,
  servers,
  service,
} from '../../support/path-packets.ts';

interface Row {
  readonly what: string;
  readonly in: BuiltPacket;
  readonly verdict: CounterName;
  readonly out: BuiltPacket | undefined;
}

const FAMILIES = [4, 6] as const;
const payload = Buffer.from('some bytes, odd.');
const big = Buffer.alloc(20_000, 7);

/** TCP on VIP:80 to server:8080, UDP on VIP:80 to 8080, TCP on 8000-8099 and UDP on 9000 that keep their port. */
function path(family: Family): Path {
  return new Path([
    service(0, family),
    service(1, family, { protocol: 17, servers: servers(family, 10, { endpoint: 9 }).slice(0, 1) }),
    service(2, family, {
      ports: [[8000, 8099]],
      servers: servers(family, 20, { endpoint: 1, port: 0 }).slice(0, 1),
    }),
    service(3, family, {
      protocol: 17,
      ports: [[9000, 9000]],
      servers: servers(family, 30, { endpoint: 9, port: 0 }).slice(0, 1),
    }),
  ]);
}

/** What a request becomes: server 0 of its family, its TTL one higher than it came. */
function toServer(family: Family, built: typeof tcpPacket | typeof udpPacket, changes: object): BuiltPacket {
  return built({
    source: ENDS[family].client,
    destination: ENDS[family].servers[0],
    sourcePort: CLIENT_PORT,
    destinationPort: 8080,
    ttl: 65,
    ...changes,
  });
}

function toClient(family: Family, built: typeof tcpPacket | typeof udpPacket, changes: object): BuiltPacket {
  return built({
    source: ENDS[family].vip,
    destination: ENDS[family].client,
    sourcePort: 80,
    destinationPort: CLIENT_PORT,
    ttl: 65,
    ...changes,
  });
}

/** Rows of one conversation, in order, through one path. */
function play(one: Path, rows: readonly Row[]): void {
  for (const row of rows) {
    const { verdicts, sent } = one.run(row.in);
    expect(verdicts, row.what).toEqual([row.verdict]);
    expect(sent.length, row.what).toBe(row.out === undefined ? 0 : 1);
    if (row.out === undefined) continue;
    expect(sent[0]!.bytes, row.what).toEqual(row.out.bytes);
    expect(sent[0]!.vnet, row.what).toEqual(row.out.vnet);
  }
}

describe.each(FAMILIES)('nat, IPv%d', (family) => {
  const options = family === 4 ? { ipOptions: Buffer.alloc(8, 1) } : { extensions: [extension(60)] };

  it('TCP with port translation', () => {
    const shapes = [
      { what: 'SYN', shape: { flags: SYN, options: Buffer.from([2, 4, 5, 180]) } },
      { what: 'data', shape: { flags: ACK | PSH, payload } },
      { what: 'partial checksum', shape: { flags: ACK, payload, partial: true } },
      { what: 'super-packet', shape: { flags: ACK, payload: big, gsoSize: 1400 } },
      { what: 'super-packet with CWR', shape: { flags: ACK | 128, payload: big, gsoSize: 1400 } },
      { what: 'options of IP', shape: { flags: ACK, payload, ...options } },
      { what: 'TOS', shape: { flags: ACK, tos: 0xba, payload } },
    ];
    const rows: Row[] = shapes.flatMap(({ what, shape }) => [
      {
        what: `request: ${what}`,
        in: request(family, shape),
        verdict: 'nat-request',
        out: toServer(family, tcpPacket, shape),
      },
      {
        what: `reply: ${what}`,
        in: reply(family, 0, shape),
        verdict: 'nat-reply',
        out: toClient(family, tcpPacket, shape),
      },
    ]);
    play(path(family), rows);
  });

  it('UDP with port translation', () => {
    const noChecksum = family === 4 ? [{ what: 'no checksum', shape: { payload, noChecksum: true } }] : [];
    const shapes = [
      { what: 'full checksum', shape: { payload } },
      { what: 'empty', shape: { payload: Buffer.alloc(0) } },
      { what: 'partial checksum', shape: { payload, partial: true } },
      { what: 'super-packet', shape: { payload: big, gsoSize: 1000 } },
      { what: 'options of IP', shape: { payload, ...options } },
      ...noChecksum,
    ];
    const rows: Row[] = shapes.flatMap(({ what, shape }) => [
      {
        what: `request: ${what}`,
        in: datagram(family, shape),
        verdict: 'nat-request',
        out: toServer(family, udpPacket, shape),
      },
      {
        what: `reply: ${what}`,
        in: answer(family, 0, shape),
        verdict: 'nat-reply',
        out: toClient(family, udpPacket, shape),
      },
    ]);
    play(path(family), rows);
  });

  it('a port that is kept', () => {
    const tcp = { destinationPort: 8042, flags: SYN };
    const udp = { destinationPort: 9000, payload };
    play(path(family), [
      {
        what: 'TCP request',
        in: request(family, tcp),
        verdict: 'nat-request',
        out: toServer(family, tcpPacket, tcp),
      },
      {
        what: 'TCP reply',
        in: reply(family, 0, { sourcePort: 8042 }),
        verdict: 'nat-reply',
        out: toClient(family, tcpPacket, { sourcePort: 8042 }),
      },
      {
        what: 'UDP request',
        in: datagram(family, udp),
        verdict: 'nat-request',
        out: toServer(family, udpPacket, udp),
      },
      {
        what: 'UDP reply',
        in: answer(family, 0, { sourcePort: 9000 }),
        verdict: 'nat-reply',
        out: toClient(family, udpPacket, { sourcePort: 9000, payload: Buffer.from('answer') }),
      },
    ]);
  });

  it('the TTL is given back the hop that the way through here costs twice, and 255 stays', () => {
    play(path(family), [
      {
        what: '1',
        in: request(family, { flags: SYN, ttl: 1 }),
        verdict: 'nat-request',
        out: toServer(family, tcpPacket, { flags: SYN, ttl: 2 }),
      },
      {
        what: '254',
        in: request(family, { ttl: 254 }),
        verdict: 'nat-request',
        out: toServer(family, tcpPacket, { ttl: 255 }),
      },
      {
        what: '255',
        in: request(family, { ttl: 255 }),
        verdict: 'nat-request',
        out: toServer(family, tcpPacket, { ttl: 255 }),
      },
      {
        what: 'reply, 63',
        in: reply(family, 0, { ttl: 63 }),
        verdict: 'nat-reply',
        out: toClient(family, tcpPacket, { ttl: 64 }),
      },
      {
        what: 'reply, 255',
        in: reply(family, 0, { ttl: 255 }),
        verdict: 'nat-reply',
        out: toClient(family, tcpPacket, { ttl: 255 }),
      },
    ]);
  });

  it('a wrong checksum stays wrong, padding is cut off', () => {
    const one = path(family);
    const wrong = request(family, { flags: SYN, payload });
    wrong.bytes[wrong.bytes.length - 1]! ^= 1;
    const { verdicts, sent } = one.run(wrong, { transportChecksums: 'ignore' });
    expect(verdicts).toEqual(['nat-request']);
    expect(() => one.outputs()).toThrow('TCP checksum');
    expect(sent).toHaveLength(1);
    const padded = request(family, { payload });
    const out = one.run({ ...padded, bytes: Buffer.concat([padded.bytes, Buffer.alloc(7, 0xee)]) }).sent;
    expect(out[0]!.bytes).toEqual(toServer(family, tcpPacket, { payload }).bytes);
  });

  it('a reply of no known flow never leaves', () => {
    const one = path(family);
    play(one, [
      {
        what: 'TCP',
        in: reply(family, 0, { flags: SYN | ACK }),
        verdict: 'drop-reply-unknown',
        out: undefined,
      },
      { what: 'UDP', in: answer(family, 0), verdict: 'drop-reply-unknown', out: undefined },
      { what: 'RST', in: reply(family, 1, { flags: 4 }), verdict: 'drop-reply-unknown', out: undefined },
    ]);
    one.run(request(family, { flags: SYN }));
    play(one, [
      { what: 'of another server', in: reply(family, 1), verdict: 'drop-reply-unknown', out: undefined },
      {
        what: 'to another port',
        in: reply(family, 0, { destinationPort: 1 }),
        verdict: 'drop-reply-unknown',
        out: undefined,
      },
    ]);
  });

  it('what is none of ours passes as it came', () => {
    const { client } = ENDS[family];
    const server = ENDS[family].servers[0];
    const stranger = family === 4 ? '203.0.113.5' : '2001:db8:ffff::5';
    const packets = [
      tcpPacket({ source: server, destination: client, sourcePort: 22, destinationPort: 5 }),
      tcpPacket({ source: stranger, destination: client, sourcePort: 8080, destinationPort: 5, ttl: 1 }),
      udpPacket({ source: client, destination: stranger, sourcePort: 5, destinationPort: 80, partial: true }),
      ipPacket({ source: server, destination: client }, 47, Buffer.alloc(9, 1)),
    ];
    play(
      path(family),
      packets.map((packet, at) => ({ what: `packet ${at}`, in: packet, verdict: 'passed', out: packet })),
    );
  });

  it('a VIP without such a service', () => {
    const one = path(family);
    const { client, vip } = ENDS[family];
    const other = ipPacket({ source: client, destination: vip }, 47, Buffer.alloc(9, 1));
    play(one, [
      {
        what: 'port',
        in: request(family, { destinationPort: 81, flags: SYN }),
        verdict: 'drop-no-service',
        out: undefined,
      },
      {
        what: 'protocol',
        in: datagram(family, { destinationPort: 8000 }),
        verdict: 'drop-no-service',
        out: undefined,
      },
      { what: 'GRE', in: other, verdict: 'drop-no-service', out: undefined },
    ]);
    expect(one.table.size).toBe(0);
  });
});

describe('fragments', () => {
  const first = { fragmentBits: 0x2000, dontFragment: false };
  const later = { fragmentBits: 0x0010, dontFragment: false };
  const chain = (bits: number) => {
    const header = extension(44);
    Buffer.from(header.bytes.buffer, header.bytes.byteOffset, 8).writeUInt16BE(bits, 2);
    return { extensions: [header] };
  };
  const rows: [string, BuiltPacket, CounterName][] = [
    ['first to a VIP', request(4, first), 'drop-fragment'],
    ['later to a VIP', request(4, later), 'drop-fragment'],
    ['first of a reply', answer(4, 0, first), 'drop-fragment'],
    ['later of a reply', answer(4, 0, later), 'drop-fragment'],
    ['later to a VIP, IPv6', datagram(6, chain(0x40)), 'drop-fragment'],
    ['first of a reply, IPv6', answer(6, 0, chain(1)), 'drop-fragment'],
    ['later of a reply, IPv6', answer(6, 0, chain(0x41)), 'drop-fragment'],
    ['atomic, IPv6', datagram(6, chain(0)), 'nat-request'],
    ['of strangers', udpPacket({ ...STRANGERS(), ...later }), 'passed'],
  ];

  it.each(rows)('%s', (_, packet, verdict) => {
    const udp = (family: Family, index: number) =>
      service(index, family, {
        protocol: 17,
        servers: servers(family, 10 * index, { endpoint: 20 + family }),
      });
    const one = new Path([service(0, 4), service(1, 6), udp(4, 2), udp(6, 3)]);
    const { verdicts, sent } = one.run(packet);
    expect(verdicts).toEqual([verdict]);
    expect(sent).toHaveLength(verdict === 'drop-fragment' ? 0 : 1);
  });

  function STRANGERS() {
    return { source: '203.0.113.5', destination: '198.51.100.7', sourcePort: 5, destinationPort: 6 };
  }
});
