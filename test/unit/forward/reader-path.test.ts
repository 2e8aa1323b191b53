/** A reader thread's path: what hits and changes nothing leaves at once, all else goes over the ring, and the table is not written. */
import { createHash } from 'node:crypto';
import { beforeEach, describe, expect, it } from 'vitest';
import type { ServiceSpec } from '../../../src/balance/generation.ts';
import { ServiceTable } from '../../../src/balance/service-table.ts';
import { counterRow, createCounters } from '../../../src/base/counters.ts';
import { HandoverRing } from '../../../src/forward/handover-ring.ts';
import { PathState } from '../../../src/forward/path-state.ts';
import { processReaderBatch } from '../../../src/forward/reader-path.ts';
import { LAST_SEEN, ROW_WORDS, VERSION } from '../../../src/table/flow-row.ts';
import { cellCount } from '../../../src/table/index.ts';
import { TableReader } from '../../../src/table/table-reader.ts';
import { Batch } from '../../../src/wire/batch.ts';
import { type BuiltPacket, icmpPacket, ipPacket, putPacket, takePacket } from '../../support/packets.ts';
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
  tooBig,
} from '../../support/path-packets.ts';
import { makeGeneration } from '../../support/services.ts';

const RING_SIZE = 256 * 1024;

/** A dispatcher's path and a reader's over the same table. */
class Pair {
  readonly dispatcher: Path;
  readonly batch = new Batch(8);
  readonly words = new Uint32Array(this.batch.arena);
  readonly ring = new HandoverRing(HandoverRing.allocate(RING_SIZE));
  readonly state: PathState;

  constructor(services: readonly ServiceSpec[], readersServices = services) {
    this.dispatcher = new Path(services);
    this.state = new PathState({
      batch: this.batch,
      table: new TableReader(this.dispatcher.table.buffers),
      services: new ServiceTable(makeGeneration(readersServices)),
      balancer: this.dispatcher.state.balancer,
      counters: counterRow(createCounters(1), 0),
    });
  }

  run(...packets: BuiltPacket[]) {
    const { batch } = this;
    batch.reset();
    for (const packet of packets) {
      const slot = batch.rxCount++;
      putPacket(batch.bytes, batch.rxOffset[slot]!, packet);
      batch.rxLength[slot] = packet.bytes.length;
    }
    const before = this.state.counters.slice();
    const handed = processReaderBatch(this.state, this.ring, this.words, this.dispatcher.now);
    const counts = this.dispatcher.countsSince.call({ counters: this.state.counters } as Path, before);
    this.dispatcher.checkVerdicts(counts, packets.length);
    const sent = Array.from({ length: batch.txCount }, (_, at) =>
      takePacket(batch.bytes, batch.txOffset[at]!, batch.txLength[at]!),
    );
    return { handed, counts, sent };
  }

  /** A digest of the table without the times that readers may store. */
  rows(): string {
    const { memory, capacity } = this.dispatcher.table.buffers;
    const words = new Int32Array(memory).slice();
    const rows = words.length - capacity * ROW_WORDS;
    for (let at = rows + LAST_SEEN; at < words.length; at += ROW_WORDS) words[at] = 0;
    return createHash('sha256').update(words).digest('hex');
  }
}

const all = [service(0, 4), service(1, 4, { protocol: 17, servers: servers(4, 10, { endpoint: 9 }) })];
let pair: Pair;

beforeEach(() => {
  pair = new Pair(all);
  pair.dispatcher.run(request(4, { flags: SYN }));
  pair.dispatcher.run(reply(4, 0, { flags: SYN | ACK }));
  pair.dispatcher.run(request(4, { flags: ACK }));
  pair.dispatcher.run(reply(4, 0));
  pair.dispatcher.run(datagram(4));
});

describe('leaves at once', () => {
  const rows: [string, BuiltPacket, string][] = [
    [
      'request of an established flow',
      request(4, { flags: ACK | PSH, payload: Buffer.alloc(9) }),
      'nat-request',
    ],
    ['reply to it', reply(4, 0, { payload: Buffer.alloc(9), partial: true }), 'nat-reply'],
    ['super-packet', request(4, { payload: Buffer.alloc(9000), gsoSize: 1000 }), 'nat-request'],
    ['datagram of a known flow', datagram(4), 'nat-request'],
    [
      'none of ours',
      ipPacket({ source: '203.0.113.1', destination: ENDS[4].client }, 47, Buffer.alloc(8)),
      'passed',
    ],
  ];
  it.each(rows)('%s', (_, packet, verdict) => {
    const same = pair.dispatcher.run(packet).sent[0]!;
    const rowsBefore = pair.rows();
    pair.dispatcher.now += 1234;
    const { handed, counts, sent } = pair.run(packet);
    expect(handed).toBe(0);
    expect(counts).toEqual({ [verdict]: 1 });
    expect(sent[0]!.bytes).toEqual(same.bytes);
    expect(sent[0]!.vnet).toEqual(same.vnet);
    expect(pair.rows()).toEqual(rowsBefore);
  });

  it('and makes its entry young', () => {
    pair.dispatcher.now += 5000;
    pair.run(request(4));
    pair.run(datagram(4));
    expect([pair.dispatcher.table.lastSeen(0), pair.dispatcher.table.lastSeen(1)]).toEqual(
      [0, 0].map(() => pair.dispatcher.now),
    );
  });

  it('after a FIN both ways too: late packets change nothing', () => {
    pair.dispatcher.run(request(4, { flags: FIN | ACK }));
    pair.dispatcher.run(reply(4, 0, { flags: FIN | ACK }));
    expect(pair.run(request(4)).counts).toEqual({ 'nat-request': 1 });
    expect(pair.run(reply(4, 0)).counts).toEqual({ 'nat-reply': 1 });
  });
});

describe('goes to the dispatcher', () => {
  const { client, vip } = ENDS[4];
  const rows: [string, BuiltPacket][] = [
    ['SYN', request(4, { flags: SYN })],
    ['SYN and ACK', reply(4, 0, { flags: SYN | ACK })],
    ['FIN', request(4, { flags: FIN | ACK })],
    ['FIN of a server', reply(4, 0, { flags: FIN | ACK })],
    ['RST', request(4, { flags: RST })],
    ['RST of a server', reply(4, 0, { flags: RST })],
    ['a miss', request(4, { sourcePort: 1 })],
    ['a datagram that misses', datagram(4, { sourcePort: 1 })],
    ['a reply that misses', reply(4, 1)],
    ['the first datagram of a server', answer(4, 0)],
    ['echo', icmpPacket({ source: client, destination: vip, type: 8 })],
    ['an ICMP error', tooBig(4, '203.0.113.1', vip, reply(4, 0).bytes, 1300)],
    ['an ICMP error to a client', tooBig(4, '203.0.113.1', client, request(4).bytes, 1300)],
  ];
  it.each(rows)('%s', (_, packet) => {
    const before = pair.rows();
    const { handed, counts, sent } = pair.run(packet);
    expect([handed, counts, sent]).toEqual([1, { 'to-dispatcher': 1 }, []]);
    expect(pair.rows()).toEqual(before);
    const { batch } = pair.dispatcher;
    batch.reset();
    expect(pair.ring.drain(batch, new Uint32Array(batch.arena))).toBe(1);
    expect(takePacket(batch.bytes, batch.rxOffset[0]!, batch.rxLength[0]!)).toEqual(packet);
  });

  it('whatever hits a flow that is not assured, or closing by a reset', () => {
    pair.dispatcher.run(request(4, { flags: RST }));
    expect(pair.run(request(4)).counts).toEqual({ 'to-dispatcher': 1 });
    pair.dispatcher.run(request(4));
    expect(pair.run(reply(4, 0)).counts).toEqual({ 'to-dispatcher': 1 });
    pair.dispatcher.run(reply(4, 0));
    expect(pair.run(reply(4, 0)).counts).toEqual({ 'nat-reply': 1 });
  });

  it('a datagram that shows that its flow lasts', () => {
    pair.dispatcher.run(answer(4, 0));
    pair.dispatcher.now += 1999;
    expect(pair.run(datagram(4)).counts).toEqual({ 'nat-request': 1 });
    pair.dispatcher.now += 1;
    expect(pair.run(datagram(4)).counts).toEqual({ 'to-dispatcher': 1 });
    pair.dispatcher.run(datagram(4));
    expect(pair.run(datagram(4)).counts).toEqual({ 'nat-request': 1 });
  });

  it('whatever hits an opening flow', () => {
    pair.dispatcher.run(request(4, { flags: SYN, sourcePort: 5 }));
    expect(pair.run(request(4, { sourcePort: 5 })).counts).toEqual({ 'to-dispatcher': 1 });
    expect(pair.run(reply(4, 1, { destinationPort: 5 })).counts).toEqual({ 'to-dispatcher': 1 });
  });

  it('a hit on a row that is just being written, and it is counted', () => {
    const { memory, capacity } = pair.dispatcher.table.buffers;
    const words = new Int32Array(memory);
    const version = words.length - capacity * ROW_WORDS + VERSION;
    expect(words.length).toBeGreaterThan(cellCount(capacity));
    words[version]!++;
    expect(pair.run(request(4)).counts).toEqual({ 'to-dispatcher': 1, 'read-retried': 1 });
    expect(pair.run(reply(4, 0)).counts).toEqual({ 'to-dispatcher': 1, 'read-retried': 1 });
    words[version]!++;
    expect(pair.run(request(4)).counts).toEqual({ 'nat-request': 1 });
  });

  it('flows of a server that this thread does not know yet, or whose flows are reset', () => {
    const late = new Pair(all, [service(0, 4, { servers: servers(4, 0).slice(1) })]);
    const down = new Pair(all, [
      service(0, 4, { onServerDown: 'reset', servers: servers(4, 0, { up: false }) }),
    ]);
    for (const other of [late, down]) {
      other.dispatcher.run(request(4, { flags: SYN }));
      other.dispatcher.run(reply(4, 0, { flags: SYN | ACK }));
      other.dispatcher.run(request(4, { flags: ACK }));
      expect(other.run(request(4)).counts).toEqual({ 'to-dispatcher': 1 });
    }
  });

  it('replies of a service that this thread does not know yet', () => {
    const others = [all[1]!, service(5, 4, { ports: [[99, 99]] })];
    const late = new Pair(all, others);
    late.dispatcher.run(request(4, { flags: SYN }));
    late.dispatcher.run(reply(4, 0, { flags: SYN | ACK }));
    expect(late.run(reply(4, 0)).counts).toEqual({ 'to-dispatcher': 1 });
  });
});

it('drops are counted here, and need no ring', () => {
  const broken = { bytes: Buffer.alloc(10, 0x45), vnet: Buffer.alloc(12) };
  expect(pair.run(broken).counts).toEqual({ 'drop-truncated': 1 });
  expect(pair.run(request(4, { destinationPort: 9 })).counts).toEqual({ 'drop-no-service': 1 });
});

it('a full ring is a counted drop, what fits goes', () => {
  const big = datagram(4, { sourcePort: 1, payload: Buffer.alloc(60_000), partial: true });
  const { handed, counts } = pair.run(big, big, big, big, big, request(4));
  expect(handed).toBe(4);
  expect(counts).toEqual({ 'to-dispatcher': 4, 'drop-ring-full': 1, 'nat-request': 1 });
});
