/** What is sent again, what is too old for it, and what a copy can promise of a stream that has gaps. */
import { describe, expect, it } from 'vitest';
import { BIT_CLOSING, BIT_ESTABLISHED } from '../../../src/cluster/entry.ts';
import { HeardStream, RING_SIZE } from '../../../src/cluster/streams.ts';
import { datagram, FLOW, Pair } from '../../support/cluster-pair.ts';

/** Bits that a client's FIN and a server's show, each at the dispatcher that sees it. */
const FIN_CLIENT = 2;
const FIN_SERVER = 4;

describe('a repair', () => {
  it('does not bring back what was closed and forgotten while two did not hear each other', () => {
    const three = new Pair('auto', 3, false);
    const held = () => three.nodes.map(({ core }) => core.context.store.find(FLOW)?.bits);
    three.run(3_000);
    three.step(1, { kind: 'packet', packet: { ...datagram(1), isn: 111 } });
    three.step(1, { kind: 'note', key: FLOW, bits: BIT_ESTABLISHED });
    three.run(1_000);
    three.apart = [1, 3];
    three.run(100);
    three.step(1, { kind: 'note', key: FLOW, bits: FIN_CLIENT });
    three.run(10);
    three.step(2, { kind: 'note', key: FLOW, bits: FIN_SERVER });
    three.run(100);
    expect(held().map((bits) => (bits ?? 0) & BIT_CLOSING)).toEqual([BIT_CLOSING, BIT_CLOSING, BIT_CLOSING]);
    three.run(150_000);
    expect(held()).toEqual([undefined, undefined, undefined]);
    three.apart = [];
    const { lost } = three.nodes[2]!.membership.members.get(1)!.stream;
    three.run(20_000);
    // Dispatcher 3 did ask for what it had missed.
    expect(three.nodes[2]!.membership.members.get(1)!.stream.lost).toBeGreaterThan(lost);
    expect(held()).toEqual([undefined, undefined, undefined]);
  });

  it('brings what was missed a while ago', () => {
    const three = new Pair('auto', 3, false);
    three.run(3_000);
    three.apart = [1, 3];
    three.run(1_000);
    three.step(1, { kind: 'packet', packet: { ...datagram(1), isn: 111 } });
    three.run(10_000);
    three.apart = [];
    three.run(1_000);
    const { stream } = three.nodes[2]!.membership.members.get(1)!;
    expect([stream.lost, stream.repaired > 0]).toEqual([0, true]);
    expect(three.nodes[2]!.core.context.store.find(FLOW)).toBeDefined();
  });
});

/** All of 1 was heard, and of what follows up to 5,000 what the ring still had. */
function withHole(): HeardStream {
  const stream = new HeardStream(9);
  stream.heard(1, 0);
  stream.tail(5_000, 10);
  for (let sequence = 2; sequence <= 5_000 - RING_SIZE; sequence++) stream.gone(sequence);
  for (let sequence = 5_001 - RING_SIZE; sequence <= 1 + RING_SIZE; sequence++) stream.heard(sequence, 20);
  expect(stream.missing.size).toBe(0);
  return stream;
}

describe('what a dispatcher says that its table includes of a stream', () => {
  it('ends before what was lost for good, whatever came after it', () => {
    const stream = withHole();
    expect(stream.contiguous).toBe(1);
    for (let sequence = 5_001; sequence <= 5_100; sequence++) stream.heard(sequence, 30);
    expect(stream.contiguous).toBe(1);
  });

  it('goes on when the table of the sender has come whole, and not when it has not', () => {
    const stream = withHole();
    const behindTo = stream.refresh();
    expect([behindTo, stream.behindTo, stream.contiguous]).toEqual([5_000, 0, 1]);
    stream.refreshed(false, behindTo);
    expect([stream.behindTo, stream.contiguous]).toEqual([5_000, 1]);
    stream.refreshed(true, stream.refresh());
    expect([stream.behindTo, stream.contiguous]).toEqual([0, 5_000]);
  });

  it('ends before what is lost while that table is on its way', () => {
    const stream = withHole();
    const behindTo = stream.refresh();
    stream.heard(5_010, 40);
    for (let sequence = 5_001; sequence < 5_010; sequence++) stream.gone(sequence);
    stream.refreshed(true, behindTo);
    expect([stream.behindTo, stream.contiguous]).toEqual([5_009, 5_000]);
  });

  it('is what a copy brought, at the least', () => {
    const stream = withHole();
    stream.copied(3_000);
    expect([stream.behindTo, stream.contiguous]).toEqual([5_000, 3_000]);
    stream.copied(5_000);
    expect([stream.behindTo, stream.contiguous]).toEqual([0, 5_000]);
  });
});
