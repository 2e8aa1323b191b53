/** What the dispatcher answers itself: too big, time exceeded, echo, resets; and the limit on them. */
import { describe, expect, it } from 'vitest';
import { parseAddress } from '../../../src/wire/address.ts';
import { icmpPacket, type TcpSpec } from '../../support/packets.ts';
import { Path } from '../../support/path.ts';
import {
  ACK,
  CLIENT_PORT,
  datagram,
  ENDS,
  FIN,
  RST,
  reply,
  request,
  SYN,
  servers,
  service,
} from '../../support/path-packets.ts';

const FAMILIES = [4, 6] as const;

describe.each(FAMILIES)('IPv%d', (family) => {
  const header = family === 4 ? 20 : 40;
  const { client, vip } = ENDS[family];
  const mtu = (mtuBytes: number) =>
    new Path([
      service(0, family, { servers: servers(family, 0, { mtuBytes }), unknown: 'hash' }),
      service(1, family, { protocol: 17, servers: servers(family, 10, { mtuBytes }) }),
    ]);

  it('too big for the way to the server: an error in the name of the VIP that quotes what the client sent', () => {
    const one = mtu(1400);
    const sized = (size: number) => datagram(family, { payload: Buffer.alloc(size - header - 8, 5), ttl: 9 });
    expect(one.run(sized(1400)).verdicts).toEqual(['nat-request']);
    const packet = sized(1401);
    const { verdicts, sent } = one.run(packet);
    expect(verdicts).toEqual(['too-big-sent']);
    const { decoded } = sent[0]!;
    expect([decoded.source, decoded.destination]).toEqual([vip, client]);
    expect([decoded.icmp!.type, decoded.icmp!.code]).toEqual(family === 4 ? [3, 4] : [2, 0]);
    expect(decoded.icmp!.rest).toBe(1400);
    expect(decoded.length).toBe(family === 4 ? 576 : 1280);
    const { bytes } = decoded.icmp!.quoted!;
    expect(bytes).toEqual(packet.bytes.subarray(0, bytes.length));
  });

  it('a super-packet is judged by its segments', () => {
    const one = mtu(1400);
    const fits = 1400 - header - 20;
    const packet = (gsoSize: number, size = 9000) =>
      request(family, { flags: ACK, payload: Buffer.alloc(size), gsoSize });
    expect(one.run(packet(fits)).verdicts).toEqual(['nat-request']);
    expect(one.run(packet(fits + 1)).verdicts).toEqual(['too-big-sent']);
    expect(one.run(packet(60_000, fits)).verdicts).toEqual(['nat-request']);
    const udp = (gsoSize: number) => datagram(family, { payload: Buffer.alloc(9000), gsoSize });
    expect(one.run(udp(fits + 12)).verdicts).toEqual(['nat-request']);
    expect(one.run(udp(fits + 13)).verdicts).toEqual(['too-big-sent']);
  });

  it('time exceeded', () => {
    const one = mtu(1500);
    const packet = datagram(family, { ttl: 0 });
    const { verdicts, sent } = one.run(packet);
    expect(verdicts).toEqual(['time-exceeded-sent']);
    const { decoded } = sent[0]!;
    expect([decoded.source, decoded.destination]).toEqual([vip, client]);
    expect([decoded.icmp!.type, decoded.icmp!.code]).toEqual(family === 4 ? [11, 0] : [3, 0]);
    expect(decoded.icmp!.quoted!.bytes).toEqual(packet.bytes);
    one.run(datagram(family));
    expect(one.run(datagram(family, { ttl: 0 })).verdicts).toEqual(['time-exceeded-sent']);
  });

  it('time exceeded for a reply goes to the server and names no server to anybody', () => {
    const one = mtu(1500);
    one.run(request(family, { flags: SYN }));
    const { verdicts, sent } = one.run(reply(family, 0, { ttl: 0 }));
    expect(verdicts).toEqual(['time-exceeded-sent']);
    expect(sent[0]!.decoded.destination).toBe(ENDS[family].servers[0]);
  });

  it('echo', () => {
    const one = mtu(1500);
    const type = family === 4 ? 8 : 128;
    const body = Buffer.from('ping');
    const packet = icmpPacket({ source: client, destination: vip, type, rest: 0x12345678, body, ttl: 3 });
    const { verdicts, sent } = one.run(packet);
    expect(verdicts).toEqual(['echo-answered']);
    const expected = icmpPacket({
      source: vip,
      destination: client,
      type: family === 4 ? 0 : 129,
      rest: 0x12345678,
      body,
      ttl: 64,
    });
    expect(sent[0]!.bytes).toEqual(expected.bytes);
    const other = icmpPacket({ source: client, destination: vip, type: family === 4 ? 13 : 135 });
    expect(one.run(other).verdicts).toEqual(['drop-icmp']);
    const fromNobody = icmpPacket({ source: family === 4 ? '0.0.0.0' : '::', destination: vip, type });
    expect(one.run(fromNobody).verdicts).toEqual(['drop-limited']);
  });

  describe('unknown: reset', () => {
    const one = new Path([service(0, family)]);
    // RFC 9293 section 3.10.7.1: <SEQ=SEG.ACK><CTL=RST>, or <SEQ=0><ACK=SEG.SEQ+SEG.LEN><CTL=RST,ACK>.
    const cases: [string, Partial<TcpSpec>, number, number, number][] = [
      ['ACK', { flags: ACK, acknowledgment: 0xfffffff0 }, RST, 0xfffffff0, 0],
      ['data', { flags: ACK, acknowledgment: 77, payload: Buffer.alloc(5) }, RST, 77, 0],
      ['SYN and ACK', { flags: SYN | ACK, acknowledgment: 78 }, RST, 78, 0],
      ['FIN and ACK', { flags: FIN | ACK, acknowledgment: 79 }, RST, 79, 0],
      ['FIN alone', { flags: FIN, sequence: 0xffffffff }, RST | ACK, 0, 0],
      ['nothing', { flags: 0, sequence: 10, payload: Buffer.alloc(5) }, RST | ACK, 0, 15],
      [
        'a super-packet',
        { flags: ACK, acknowledgment: 5, payload: Buffer.alloc(5000), gsoSize: 1000 },
        RST,
        5,
        0,
      ],
      ['a partial checksum', { flags: ACK, acknowledgment: 6, partial: true }, RST, 6, 0],
    ];
    it.each(cases)('%s', (_, spec, flags, sequence, acknowledgment) => {
      const { verdicts, sent } = one.run(request(family, spec));
      expect(verdicts).toEqual(['reset-sent']);
      const { source, destination, tcp, payload } = sent[0]!.decoded;
      expect([source, destination]).toEqual([vip, client]);
      expect(tcp).toMatchObject({
        sourcePort: 80,
        destinationPort: CLIENT_PORT,
        flags,
        sequence,
        acknowledgment,
      });
      expect(payload).toHaveLength(0);
      expect(one.table.size).toBe(0);
    });

    it.each([RST, RST | ACK, RST | SYN])('a reset is never answered (flags %d)', (flags) => {
      const { verdicts, sent } = one.run(request(family, { flags }));
      expect(verdicts).toEqual(['drop-unknown']);
      expect(sent).toHaveLength(0);
    });
  });
});

it('an IPv4 packet that may be fragmented is never too big', () => {
  const one = new Path([service(0, 4, { protocol: 17, servers: servers(4, 0, { mtuBytes: 600 }) })]);
  const { verdicts, sent } = one.run(datagram(4, { payload: Buffer.alloc(1000), dontFragment: false }));
  expect(verdicts).toEqual(['nat-request']);
  expect(sent[0]!.decoded.dontFragment).toBe(false);
});

it('errors and resets are limited to a thousand a second, each by itself; forwarding and echo are not', () => {
  const one = new Path([service(0, 4, { servers: servers(4, 0, { mtuBytes: 600 }) })]);
  const burst = (packets: number) => {
    let sent = 0;
    let limited = 0;
    for (let left = packets; left > 0; left--) {
      const { counts } = one.run(request(4));
      sent += counts['reset-sent'] ?? 0;
      limited += counts['drop-limited'] ?? 0;
    }
    return [sent, limited];
  };
  expect(burst(1100)).toEqual([1000, 100]);
  const tooLong = request(4, { flags: SYN, payload: Buffer.alloc(700) });
  // A flood that is answered with resets does not take path MTU discovery away.
  for (let left = 1000; left > 0; left--) expect(one.run(tooLong).verdicts).toEqual(['too-big-sent']);
  expect(one.run(tooLong).verdicts).toEqual(['drop-limited']);
  expect(one.run(request(4, { flags: SYN })).verdicts).toEqual(['nat-request']);
  const { client, vip } = ENDS[4];
  expect(one.run(icmpPacket({ source: client, destination: vip, type: 8 })).verdicts).toEqual([
    'echo-answered',
  ]);
  one.now += 50;
  expect(one.run(tooLong).verdicts).toEqual(['too-big-sent']);
  one.table.remove(0);
  expect(burst(60)).toEqual([50, 10]);
  one.now += 100_000;
  expect(burst(1001)).toEqual([1000, 1]);
});

it('nobody is answered who is no single host', () => {
  const one = new Path([service(0, 4), service(1, 6)]);
  for (const source of ['0.0.0.0', '127.0.0.1', '224.0.0.1', '255.255.255.255'])
    expect(one.run(request(4, { source })).verdicts).toEqual(['drop-limited']);
  for (const source of ['::', '::1', 'ff02::1']) {
    expect(parseAddress(source)).toBeDefined();
    expect(one.run(request(6, { source })).verdicts).toEqual(['drop-limited']);
  }
});
