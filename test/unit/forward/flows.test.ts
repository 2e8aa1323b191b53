/** The life of a flow entry: how it opens, follows TCP, ends, and what happens where it cannot be. */
import { describe, expect, it } from 'vitest';
import type { ServiceSpec } from '../../../src/balance/generation.ts';
import {
  FLAG_ASSURED,
  FLAG_CLIENT_ACKED,
  FLAG_FIN_CLIENT,
  FLAG_FIN_SERVER,
  FLAG_REPLIED,
  STATE_CLOSING,
  STATE_ESTABLISHED,
  STATE_OPENING,
  STATE_UDP,
} from '../../../src/table/flow-row.ts';
import { type BuiltPacket, icmpPacket } from '../../support/packets.ts';
import { Path } from '../../support/path.ts';
import {
  ACK,
  answer,
  datagram,
  ENDS,
  FIN,
  PSH,
  RST,
  reply,
  request,
  SYN,
  servers,
  service,
} from '../../support/path-packets.ts';
import { address } from '../../support/services.ts';

const SERVERS = ENDS[4].servers;
const syn = (changes: object = {}) => request(4, { flags: SYN, sequence: 100, ...changes });

/** Where a request went: position in SERVERS, or its verdict. */
function target(path: Path, packet: BuiltPacket): number | string {
  const { verdicts, sent } = path.run(packet);
  if (verdicts[0] !== 'nat-request') return verdicts.join();
  return (SERVERS as readonly string[]).indexOf(sent[0]!.decoded.destination);
}

function open(path: Path, changes: object = {}): void {
  path.run(syn(changes));
  path.run(reply(4, 0, { flags: SYN | ACK }));
  path.run(request(4, { flags: ACK }));
}

describe('two blind packets', () => {
  it('do not end a busy connection: a reset is believed until the flow goes on, and a SYN moves nothing', () => {
    const path = new Path([service(0, 4)]);
    open(path);
    path.run(reply(4, 0));
    expect(path.table.flags(0) & FLAG_ASSURED).toBe(FLAG_ASSURED);
    path.run(request(4, { flags: RST }));
    expect(target(path, syn({ sequence: 9999 }))).toBe(0);
    expect(target(path, request(4))).toBe(0);
    expect(path.run(reply(4, 0)).verdicts).toEqual(['nat-reply']);
    path.run(request(4, { flags: RST }));
    expect(path.run(request(4)).counts['flow-revived']).toBe(1);
    path.run(reply(4, 0));
    expect([path.table.state(0), path.table.flags(0) & FLAG_ASSURED]).toEqual([
      STATE_ESTABLISHED,
      FLAG_ASSURED,
    ]);
  });
});

it('forged packets do not fill the table: what they made gives way', () => {
  for (const mode of ['nat', 'ipip'] as const) {
    const path = new Path([service(0, 4, { mode, unknown: 'hash' })], { capacity: 4 });
    for (let port = 1; port <= 4; port++) path.run(request(4, { flags: ACK, sourcePort: port }));
    expect(path.table.state(0)).toBe(STATE_OPENING);
    expect(path.run(syn({ sourcePort: 5 })).counts['flow-evicted']).toBe(1);
  }
  const path = new Path([service(0, 4, { mode: 'ipip' })], { capacity: 4 });
  open(path);
  expect([path.table.state(0), path.table.flags(0) & FLAG_ASSURED]).toEqual([STATE_ESTABLISHED, 0]);
  path.now += 2000;
  path.run(request(4));
  expect(path.table.flags(0) & FLAG_ASSURED).toBe(FLAG_ASSURED);
});

describe('TCP', () => {
  it('opens by SYN, SYN and ACK, ACK', () => {
    const path = new Path([service(0, 4)]);
    expect(path.run(syn()).counts).toMatchObject({ 'flow-opened': 1, 'nat-request': 1 });
    expect([path.table.state(0), path.table.flags(0), path.table.isn(0)]).toEqual([STATE_OPENING, 0, 100]);
    path.run(reply(4, 0, { flags: SYN | ACK }));
    expect([path.table.state(0), path.table.flags(0)]).toEqual([STATE_OPENING, FLAG_REPLIED]);
    path.run(request(4, { flags: ACK }));
    expect(path.table.state(0)).toBe(STATE_ESTABLISHED);
    expect(path.table.flags(0)).toBe(FLAG_REPLIED | FLAG_CLIENT_ACKED);
    expect(path.table.active[0]).toBe(1);
    expect(path.table.inactive[0]).toBe(0);
  });

  it('a SYN that is repeated, or begins anew before it was answered, stays with its server', () => {
    const path = new Path([service(0, 4)]);
    expect(target(path, syn())).toBe(0);
    expect(target(path, syn())).toBe(0);
    expect(target(path, syn({ sequence: 777 }))).toBe(0);
    expect(path.table.isn(0)).toBe(777);
    expect(path.table.size).toBe(1);
  });

  it('closes by FIN both ways, in either order, or by a RST from either side', () => {
    const ends: [string, BuiltPacket[], number][] = [
      ['client first', [request(4, { flags: FIN | ACK }), reply(4, 0, { flags: FIN | ACK })], 3],
      ['server first', [reply(4, 0, { flags: FIN | ACK }), request(4, { flags: FIN | ACK })], 3],
      ['client alone', [request(4, { flags: FIN | ACK }), reply(4, 0)], FLAG_FIN_CLIENT],
      ['server alone', [reply(4, 0, { flags: FIN | ACK }), request(4)], FLAG_FIN_SERVER],
      ['client RST', [request(4, { flags: RST })], 0],
      ['server RST', [reply(4, 0, { flags: RST })], 0],
    ];
    for (const [what, packets, fins] of ends) {
      const path = new Path([service(0, 4)]);
      open(path);
      for (const packet of packets) expect(path.run(packet).sent, what).toHaveLength(1);
      const closed = fins === 3 || packets.length === 1;
      expect(path.table.state(0), what).toBe(closed ? STATE_CLOSING : STATE_ESTABLISHED);
      expect(path.table.flags(0) & 3, what).toBe(fins);
      expect([path.table.active[0], path.table.inactive[0]], what).toEqual(closed ? [0, 1] : [1, 0]);
    }
  });

  it('in ipip the client alone tells', () => {
    const path = new Path([service(0, 4, { mode: 'ipip' })]);
    path.run(syn());
    path.run(request(4, { flags: ACK }));
    expect(path.table.state(0)).toBe(STATE_ESTABLISHED);
    path.run(request(4, { flags: FIN | ACK }));
    expect(path.table.state(0)).toBe(STATE_CLOSING);
  });

  it('a new SYN on a closing flow opens another (port reuse), the old one repeated does not', () => {
    const path = new Path([service(0, 4)]);
    open(path);
    path.run(request(4, { flags: FIN | ACK }));
    path.run(reply(4, 0, { flags: FIN | ACK }));
    expect(target(path, syn())).toBe(0);
    expect(path.table.state(0)).toBe(STATE_CLOSING);
    const { counts, sent } = path.run(syn({ sequence: 5000 }));
    expect(counts).toMatchObject({ 'flow-opened': 1, 'flow-reopened': 1 });
    expect(sent[0]!.decoded.destination).toBe(SERVERS[1]);
    expect(path.table.size).toBe(1);
    expect(path.table.state(0)).toBe(STATE_OPENING);
    expect(path.run(reply(4, 0)).verdicts).toEqual(['drop-reply-unknown']);
  });

  it('late packets of a closing flow still reach their ends', () => {
    const path = new Path([service(0, 4)]);
    open(path);
    path.run(request(4, { flags: RST }));
    expect(target(path, request(4, { flags: ACK | PSH }))).toBe(0);
    expect(path.run(reply(4, 0)).verdicts).toEqual(['nat-reply']);
  });

  it('time-outs follow the state', () => {
    const path = new Path([service(0, 4)]);
    const { table } = path;
    path.run(syn());
    expect(table.expire(path.now + 29_999, 8)).toBe(0);
    expect(table.expire(path.now + 30_000, 8)).toBe(1);
    open(path, { sourcePort: 40_000 });
    path.run(reply(4, 1, { flags: SYN | ACK }));
    path.run(request(4, { flags: ACK }));
    expect(table.expire(path.now + 899_999, 8)).toBe(0);
    path.now += 600_000;
    path.run(request(4));
    expect(table.expire(path.now + 899_999, 8)).toBe(0);
    path.run(request(4, { flags: RST }));
    expect(table.expire(path.now + 30_000, 8)).toBe(1);
    expect(path.counters.length).toBeGreaterThan(0);
    expect(table.size).toBe(0);
  });
});

describe('UDP', () => {
  it('a reply, and a datagram of the client 2 s after the first, assure', () => {
    const path = new Path([service(0, 4, { protocol: 17 })]);
    path.run([datagram(4), answer(4, 0), datagram(4)]);
    expect(path.table.flags(0)).toBe(FLAG_REPLIED);
    path.now += 2000;
    path.run(datagram(4));
    expect(path.table.flags(0)).toBe(FLAG_REPLIED | FLAG_ASSURED);
  });

  it('any datagram opens a flow, any reply is noted', () => {
    const path = new Path([service(0, 4, { protocol: 17 })]);
    path.run(datagram(4));
    expect([path.table.state(0), path.table.flags(0)]).toEqual([STATE_UDP, 0]);
    path.run(answer(4, 0));
    expect([path.table.state(0), path.table.flags(0)]).toEqual([STATE_UDP, FLAG_REPLIED]);
    expect(path.table.expire(path.now + 120_000, 8)).toBe(1);
  });
});

describe('unknown', () => {
  const stray = request(4, { flags: ACK });
  it('drop', () => {
    const path = new Path([service(0, 4, { unknown: 'drop' })]);
    expect(path.run(stray).verdicts).toEqual(['drop-unknown']);
    expect(path.table.size).toBe(0);
  });

  it('hash: the server that the hash gives, the same every time, whatever the scheduler', () => {
    const went = new Set<number | string>();
    for (const scheduler of ['rr', 'rr', 'random', 'sh'] as const) {
      const path = new Path([service(0, 4, { unknown: 'hash', scheduler })]);
      // Something that moves the scheduler on.
      if (went.size > 0) path.run(syn({ sourcePort: 9 }));
      went.add(scheduler === 'sh' ? [...went][0]! : target(path, stray));
      expect(path.table.state(path.table.size - 1)).toBe(STATE_OPENING);
    }
    expect(went.size).toBe(1);
  });

  it('hash: a FIN that takes a flow up counts as one, a reset takes up nothing', () => {
    const path = new Path([service(0, 4, { unknown: 'hash' })]);
    const { sent } = path.run(request(4, { flags: FIN | ACK }));
    expect(path.table.flags(0)).toBe(FLAG_FIN_CLIENT | FLAG_CLIENT_ACKED);
    const server = (SERVERS as readonly string[]).indexOf(sent[0]!.decoded.destination);
    path.run(reply(4, server, { flags: FIN | ACK }));
    expect(path.table.state(0)).toBe(STATE_CLOSING);
    const other = path.run(request(4, { flags: RST, sourcePort: 5 }));
    expect(other.verdicts).toEqual(['drop-unknown']);
    expect(path.table.size).toBe(1);
  });
});

describe('servers that go', () => {
  const down = (changes: Partial<ServiceSpec> = {}) =>
    service(0, 4, {
      ...changes,
      servers: servers(4, 0).map((one) => (one.index === 0 ? { ...one, up: false } : one)),
    });

  it('nobody is up', () => {
    const path = new Path([service(0, 4, { servers: servers(4, 0, { up: false }) })]);
    expect(path.run(syn()).verdicts).toEqual(['drop-no-server']);
    path.apply([service(0, 4, { servers: servers(4, 0, { weight: 0 }) })]);
    expect(path.run(syn()).verdicts).toEqual(['drop-no-server']);
    path.apply([service(0, 4, { servers: servers(4, 0, { leaving: true }) })]);
    expect(path.run(syn()).verdicts).toEqual(['drop-no-server']);
  });

  it('down before it answered: the repeated SYN gets another', () => {
    const path = new Path([service(0, 4)]);
    expect(target(path, syn())).toBe(0);
    path.apply([down()]);
    expect(target(path, syn())).toBe(1);
    expect(path.table.size).toBe(1);
  });

  it('keep: its flows stay', () => {
    const path = new Path([service(0, 4)]);
    open(path);
    path.apply([down()]);
    expect(target(path, request(4))).toBe(0);
    expect(target(path, syn({ sequence: 9 }))).toBe(0);
    expect(path.run(reply(4, 0)).verdicts).toEqual(['nat-reply']);
  });

  it('reset: the client is told, and its next SYN opens a flow elsewhere', () => {
    const path = new Path([service(0, 4, { onServerDown: 'reset' })]);
    open(path);
    path.apply([down({ onServerDown: 'reset' })]);
    const { verdicts, sent } = path.run(request(4, { flags: ACK, acknowledgment: 555 }));
    expect(verdicts).toEqual(['reset-sent']);
    expect(sent[0]!.decoded.tcp).toMatchObject({ flags: RST, sequence: 555 });
    expect(path.table.size).toBe(0);
    expect(target(path, syn())).not.toBe(0);
    open(path, { sourcePort: 40_000 });
  });

  it('reset: a RST is not answered, a SYN and a datagram go to another server', () => {
    for (const [packet, verdict] of [
      [request(4, { flags: RST }), 'drop-server-down'],
      [syn({ sequence: 9 }), 1],
    ] as const) {
      const path = new Path([service(0, 4, { onServerDown: 'reset' })]);
      open(path);
      path.apply([down({ onServerDown: 'reset' })]);
      expect(target(path, packet)).toBe(verdict);
      expect(path.table.size).toBe(verdict === 1 ? 1 : 0);
    }
    const udp = new Path([service(0, 4, { protocol: 17, onServerDown: 'reset' })]);
    expect(target(udp, datagram(4))).toBe(0);
    udp.apply([down({ protocol: 17, onServerDown: 'reset' })]);
    expect(target(udp, datagram(4))).toBe(1);
  });

  it('a server that is gone altogether: its flows are unknown, no packet goes to nowhere', () => {
    const gone = (changes: Partial<ServiceSpec>) =>
      service(0, 4, { ...changes, servers: servers(4, 0).slice(1) });
    const path = new Path([service(0, 4)]);
    open(path);
    path.apply([gone({})]);
    expect(path.run(request(4)).verdicts).toEqual(['reset-sent']);
    expect(path.table.size).toBe(0);
    const udp = new Path([service(0, 4, { protocol: 17 })]);
    expect(target(udp, datagram(4))).toBe(0);
    udp.apply([gone({ protocol: 17 })]);
    expect(target(udp, datagram(4))).toBe(1);
  });

  it('a service that has just left: a reply does not leave without its name', () => {
    const path = new Path([service(0, 4)]);
    open(path);
    // The same server serves somebody else, so that its packets are still replies.
    path.apply([service(3, 4, { vip: address('192.0.2.99'), servers: servers(4, 0) })]);
    expect(path.run(reply(4, 0)).verdicts).toEqual(['drop-reply-unknown']);
    path.apply([]);
    expect(path.run(reply(4, 0)).verdicts).toEqual(['passed']);
  });
});

describe('two flows that would be one at a server', () => {
  const vips = (count: number) => [
    service(0, 4, { servers: servers(4, 0).slice(0, count) }),
    service(1, 4, {
      vip: address('192.0.2.11'),
      servers: servers(4, 10)
        .map((one, at) => ({ ...one, endpoint: at + 1 }))
        .slice(0, count),
    }),
  ];

  it('one client port to two VIPs: the second gets another server', () => {
    const path = new Path(vips(2));
    expect(target(path, syn())).toBe(0);
    const { counts, sent } = path.run(syn({ destination: '192.0.2.11' }));
    expect(counts).toMatchObject({ 'nat-request': 1, 'reply-tuple-avoided': 1 });
    expect(sent[0]!.decoded.destination).toBe(SERVERS[1]);
    expect(path.run(reply(4, 0)).sent[0]!.decoded.source).toBe('192.0.2.10');
    expect(path.run(reply(4, 1)).sent[0]!.decoded.source).toBe('192.0.2.11');
  });

  it('no other server: refused', () => {
    const path = new Path(vips(1));
    expect(target(path, syn())).toBe(0);
    expect(target(path, syn({ destination: '192.0.2.11' }))).toBe('drop-reply-taken');
    expect(path.table.size).toBe(1);
    path.table.remove(0);
    expect(target(path, syn({ destination: '192.0.2.11' }))).toBe(0);
  });

  it('two ports that map to one', () => {
    const path = new Path([
      service(0, 4, {
        ports: [
          [80, 80],
          [81, 81],
        ],
      }),
    ]);
    expect(target(path, syn())).toBe(0);
    // The turn is server 1's; then 2's, then 0's, which is taken.
    expect(target(path, syn({ destinationPort: 81 }))).toBe(1);
    expect(target(path, syn({ sourcePort: 1 }))).toBe(2);
    expect(target(path, syn({ sourcePort: 1, destinationPort: 81 }))).toBe(0);
    expect(path.run(reply(4, 1)).sent[0]!.decoded.tcp!.sourcePort).toBe(81);
    expect(path.run(reply(4, 0, { destinationPort: 1 })).sent[0]!.decoded.tcp!.sourcePort).toBe(81);
  });
});

describe('a full table', () => {
  it('a new flow takes the place of a young one, and is dropped where none is young', () => {
    const path = new Path([service(0, 4)], { capacity: 4 });
    for (let port = 1; port <= 4; port++) {
      path.now++;
      path.run(syn({ sourcePort: port }));
    }
    const { counts, verdicts } = path.run(syn({ sourcePort: 5 }));
    expect(verdicts).toEqual(['nat-request']);
    expect(counts).toMatchObject({ 'flow-evicted': 1, 'flow-opened': 1 });
    for (const port of [2, 3, 4, 5]) {
      expect(target(path, request(4, { flags: ACK, sourcePort: port }))).toBe((port - 1) % 3);
      path.run(reply(4, (port - 1) % 3, { flags: SYN | ACK, destinationPort: port }));
      path.run(reply(4, (port - 1) % 3, { destinationPort: port }));
    }
    expect(path.table.active.slice(0, 3)).toEqual(Uint32Array.of(1, 2, 1));
    const full = path.run(syn({ sourcePort: 6 }));
    expect(full.verdicts).toEqual(['drop-table-full']);
    expect(full.counts['flow-evicted']).toBeUndefined();
    expect(path.table.size).toBe(4);
    expect(target(path, request(4, { sourcePort: 2 }))).toBe(1);
  });
});

describe('while the daemon stops', () => {
  const path = new Path([service(0, 4), service(1, 4, { protocol: 17 })]);
  open(path);
  path.run(datagram(4));
  path.state.quiescing = true;
  const rows: [string, BuiltPacket, string][] = [
    ['bare ACK', request(4, { flags: ACK }), 'nat-request'],
    ['RST', request(4, { flags: RST }), 'nat-request'],
    ['data', request(4, { flags: ACK, payload: Buffer.alloc(1) }), 'drop-stopping'],
    ['FIN', request(4, { flags: FIN | ACK }), 'drop-stopping'],
    ['SYN', syn({ sourcePort: 2 }), 'drop-stopping'],
    ['datagram', datagram(4), 'drop-stopping'],
    ['reply', reply(4, 0), 'nat-reply'],
    ['echo', icmpPacket({ source: ENDS[4].client, destination: ENDS[4].vip, type: 8 }), 'echo-answered'],
  ];
  it.each(rows)('%s', (_, packet, verdict) => {
    expect(path.run(packet).verdicts).toEqual([verdict]);
  });
});

it('a client on the subnet of its server is counted: its replies will not pass here', () => {
  const subnet = { address: address('198.51.100.0'), bits: 24 };
  const path = new Path([service(0, 4, { servers: servers(4, 0, { subnet }) })]);
  expect(path.run(syn()).counts['client-on-server-subnet']).toBe(1);
  expect(path.run(syn({ source: '198.51.101.1' })).counts['client-on-server-subnet']).toBeUndefined();
});

it('one batch of many kinds: each gets what it would alone, in order', () => {
  const path = new Path([service(0, 4), service(1, 4, { protocol: 17 })]);
  const { counts, sent } = path.run([
    syn(),
    reply(4, 0, { flags: SYN | ACK }),
    request(4, { flags: ACK }),
    datagram(4),
    answer(4, 0, { destinationPort: 3 }),
    request(4, { flags: ACK, sourcePort: 3 }),
    request(4, { flags: RST }),
    syn({ sequence: 200 }),
  ]);
  expect(counts).toMatchObject({
    'nat-request': 5,
    'nat-reply': 1,
    'drop-reply-unknown': 1,
    'reset-sent': 1,
    'flow-reopened': 1,
  });
  expect(sent).toHaveLength(7);
});
