/** Mode ipip: the client's packet goes to the raw list as it is, cut and summed where something was left to do. */
import { describe, expect, it } from 'vitest';
import type { ServiceSpec } from '../../../src/balance/generation.ts';
import { type BuiltPacket, takePacket, tcpPacket, udpPacket } from '../../support/packets.ts';
import { Path } from '../../support/path.ts';
import {
  ACK,
  answer,
  datagram,
  ENDS,
  type Family,
  reply,
  request,
  SYN,
  servers,
  service,
  tooBig,
} from '../../support/path-packets.ts';

const PAIRS: readonly [Family, Family][] = [
  [4, 4],
  [4, 6],
  [6, 4],
  [6, 6],
];
const outerSize = (family: Family) => (family === 4 ? 20 : 40);
const innerSize = outerSize;
const mssOption = (mss: number) => Buffer.from([2, 4, mss >> 8, mss & 255]);

/** A VIP of one family, servers of another. */
function path(
  vip: Family,
  server: Family,
  mtuBytes = 1500,
  changes: Partial<ServiceSpec> = {},
  batch = 2,
): Path {
  const inside = { mode: 'ipip', ...changes } as const;
  return new Path(
    [
      service(0, vip, { ...inside, servers: servers(server, 0, { mtuBytes }) }),
      service(1, vip, { ...inside, protocol: 17, servers: servers(server, 10, { mtuBytes }) }),
    ],
    { batch },
  );
}

describe.each(PAIRS)('VIP IPv%d, servers IPv%d', (vip, server) => {
  it('TCP and UDP go to a server as they came, TTL and port included', () => {
    const one = path(vip, server);
    const packets = [
      request(vip, { flags: SYN, ttl: 17 }),
      request(vip, { flags: ACK, payload: Buffer.alloc(33, 3) }),
      datagram(vip, { ttl: 1 }),
    ];
    for (const packet of packets) {
      const { verdicts, sent } = one.run(packet);
      expect(verdicts).toEqual(['ipip-request']);
      expect(sent.map((output) => output.bytes)).toEqual([packet.bytes]);
      expect(sent[0]!.server).toBe(packet === packets[2] ? 10 : 0);
    }
  });

  it('a checksum that was left to do is done', () => {
    const one = path(vip, server);
    for (const build of [request, datagram]) {
      const payload = Buffer.alloc(101, 9);
      const { sent, verdicts } = one.run(build(vip, { flags: SYN, payload, partial: true }));
      expect(verdicts).toEqual(['ipip-request']);
      expect(sent[0]!.bytes).toEqual(build(vip, { flags: SYN, payload }).bytes);
    }
  });

  it('super-packets are cut', () => {
    const one = path(vip, server);
    const payload = Buffer.from(Array.from({ length: 30_000 }, (_, at) => at & 255));
    one.run(request(vip, { flags: SYN }));
    for (const [build, header] of [[request, 20] as const, [datagram, 8] as const]) {
      const gsoSize = 1500 - outerSize(server) - innerSize(vip) - header;
      const { verdicts, sent, counts } = one.run(build(vip, { flags: ACK, payload, gsoSize }));
      expect(verdicts).toEqual(['ipip-request']);
      expect(counts.segmented).toBe(1);
      expect(sent).toHaveLength(Math.ceil(payload.length / gsoSize));
      expect(Buffer.concat(sent.map((output) => output.decoded.payload))).toEqual(payload);
      for (const output of sent) expect(output.decoded.length).toBeLessThanOrEqual(1500 - outerSize(server));
    }
  });

  it('the MSS of a SYN is lowered to what fits, partial checksum or not', () => {
    const one = path(vip, server);
    const fits = 1500 - outerSize(server) - innerSize(vip) - 20;
    for (const partial of [false, true]) {
      const { sent, counts } = one.run(request(vip, { flags: SYN, options: mssOption(1460), partial }));
      expect(counts['mss-clamped']).toBe(1);
      expect(sent[0]!.decoded.tcp!.mss).toBe(fits);
      const small = one.run(request(vip, { flags: SYN, options: mssOption(fits), partial }));
      expect(small.counts['mss-clamped']).toBeUndefined();
      expect(small.sent[0]!.decoded.tcp!.mss).toBe(fits);
    }
  });

  it('what the outer header makes too big is answered', () => {
    const room = 1500 - outerSize(server);
    const sized = (size: number) =>
      datagram(vip, { payload: Buffer.alloc(size - innerSize(vip) - 8), dontFragment: true });
    const one = path(vip, server);
    expect(one.run(sized(room)).verdicts).toEqual(['ipip-request']);
    const { verdicts, sent } = one.run(sized(room + 1));
    expect(verdicts).toEqual(['too-big-sent']);
    expect(sent[0]!.decoded.icmp!.rest).toBe(room);
    expect(sent[0]!.server).toBeUndefined();
  });
});

describe('ipip', () => {
  it('an IPv4 packet that may be fragmented goes in whole', () => {
    const packet = datagram(4, { payload: Buffer.alloc(1490), dontFragment: false });
    const { verdicts, sent } = path(4, 4).run(packet);
    expect(verdicts).toEqual(['ipip-request']);
    expect(sent[0]!.bytes).toEqual(packet.bytes);
  });

  it('an IPv6 packet of 1,280 bytes goes in whatever the way takes, and nobody is told of less', () => {
    const sized = (size: number) => datagram(6, { payload: Buffer.alloc(size - 48) });
    const one = path(6, 6, 1280);
    expect(one.run(sized(1280)).verdicts).toEqual(['ipip-request']);
    const { verdicts, sent } = one.run(sized(1281));
    expect(verdicts).toEqual(['too-big-sent']);
    expect(sent[0]!.decoded.icmp!.rest).toBe(1280);
  });

  it('no MSS is clamped to nothing', () => {
    const { sent } = path(6, 4, 90).run(request(6, { flags: SYN, options: mssOption(1460) }));
    expect(sent[0]!.decoded.tcp!.mss).toBe(88);
  });

  it('a super-packet of the smallest segments that a client may ask for is cut, not lost', () => {
    const payload = Buffer.alloc(65_535 - 40, 5);
    const { verdicts, sent } = path(4, 4, 1500, { unknown: 'hash' }, 16).run(
      request(4, { flags: ACK, payload, gsoSize: 48 }),
    );
    expect(verdicts).toEqual(['ipip-request']);
    expect(sent).toHaveLength(1365);
  });

  it('a super-packet without room for its segments is dropped whole, and counted', () => {
    const one = path(4, 4, 1500, { unknown: 'hash' }, 3);
    const packet = request(4, { flags: ACK, payload: Buffer.alloc(60_000, 5), gsoSize: 216 });
    const { sent, counts } = one.run([packet, packet]);
    expect(counts).toMatchObject({ 'ipip-request': 1, 'drop-write': 1, segmented: 1 });
    expect(sent).toHaveLength(278);
    const tiny = request(4, { flags: ACK, payload: Buffer.alloc(60_000, 5), gsoSize: 40 });
    expect(one.run(tiny).verdicts).toEqual(['drop-write']);
  });

  it('bytes behind a UDP datagram are not summed', () => {
    const plain = datagram(4, { payload: Buffer.alloc(4, 1), partial: true });
    const bytes = Buffer.concat([plain.bytes, Buffer.from([7, 7])]);
    bytes.writeUInt16BE(bytes.length, 2);
    const old = bytes.readUInt16BE(10);
    bytes.writeUInt16BE(old - 2, 10);
    const { sent } = path(4, 4).run({ bytes, vnet: plain.vnet });
    expect(sent[0]!.decoded.payload).toEqual(Buffer.alloc(4, 1));
  });

  it('replies do not pass here: what comes from a server is none of ours', () => {
    const one = path(4, 4);
    one.run(request(4, { flags: SYN }));
    expect(one.run(reply(4, 0)).verdicts).toEqual(['passed']);
    expect(one.run(answer(4, 0)).verdicts).toEqual(['passed']);
  });

  it.each([4, 6] as const)('an error about the reply of a server goes to that server, IPv%d', (family) => {
    const one = path(family, 4);
    one.run(request(family, { flags: SYN }));
    const { client, vip } = ENDS[family];
    const quoted = tcpPacket({
      source: vip,
      destination: client,
      sourcePort: 80,
      destinationPort: 40_000,
      payload: Buffer.alloc(30),
    });
    const router = family === 4 ? '203.0.113.1' : '2001:db8:e::1';
    const error = tooBig(family, router, vip, quoted.bytes, 1400);
    const { verdicts, sent } = one.run(error);
    expect(verdicts).toEqual(['icmp-to-server']);
    expect(sent[0]!.server).toBe(0);
    expect(sent[0]!.bytes).toEqual(error.bytes);
    const stranger = udpPacket({ source: vip, destination: client, sourcePort: 80, destinationPort: 1 });
    expect(one.run(tooBig(family, router, vip, stranger.bytes, 1400)).verdicts).toEqual(['drop-icmp']);
  });

  it('segments have head-room for an outer header each, and do not touch one another', () => {
    const one = path(4, 6, 1500, { unknown: 'hash' });
    const packets: BuiltPacket[] = [
      request(4, { flags: ACK, payload: Buffer.alloc(5000, 1), gsoSize: 1000 }),
      request(4, { flags: ACK, payload: Buffer.alloc(5000, 2), gsoSize: 1001, sourcePort: 7 }),
    ];
    const { sent } = one.run(packets);
    expect(sent).toHaveLength(10);
    const { batch } = one;
    const ends = Array.from({ length: 10 }, (_, at) => [batch.rawOffset[at]!, batch.rawLength[at]!] as const);
    for (const [offset] of ends) batch.bytes.fill(0xee, offset - 52, offset);
    for (const [at, [offset, length]] of ends.entries())
      expect(takePacket(batch.bytes, offset, length).bytes).toEqual(sent[at]!.bytes);
  });
});
