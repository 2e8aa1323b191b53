/** The packet path allocates nothing per packet: millions of packets, and no garbage collection. */
import { execFileSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Prng } from '../../../src/base/prng.ts';
import { INLINING_FLAGS } from '../../../src/daemon/threads/inlining.ts';
import { drawTemplate, fuzzServices } from '../../fuzz/templates.ts';
import { type Compiled, compileSources } from '../../support/compiled.ts';
import type { BuiltPacket } from '../../support/packets.ts';
import { ACK, answer, datagram, reply, request, SYN, servers, service } from '../../support/path-packets.ts';
import { makeGeneration } from '../../support/services.ts';

const PACKETS = 1_600_000;
/**
 * A clock that has run for a second, and one whose numbers are above 2^31 (24.8 days), which V8 boxes: once a batch, as the argument
 * of processBatch. 25,000 batches by 16 bytes are less than half of the young generation that the child has.
 */
const CLOCKS: [number, number][] = [
  [1000, 0],
  [3_000_000_000, 1],
];

let compiled: Compiled;

beforeAll(() => {
  compiled = compileSources(['forward']);
});
afterAll(() => compiled.remove());

const encode = ({ vnet, bytes }: BuiltPacket) => Buffer.concat([vnet, bytes]).toString('base64');

interface Outcome {
  readonly packets: number;
  readonly collections: number;
  readonly joined: number;
  readonly counters: Readonly<Record<string, number>>;
}

function run(input: object, now: number, ...more: string[]): Outcome {
  const file = join(compiled.folder, 'input.json');
  writeFileSync(file, JSON.stringify(input));
  const fixture = resolve(import.meta.dirname, 'fixtures/allocation.mjs');
  const args = [
    '--expose-gc',
    '--max-semi-space-size=1',
    // It collects by the clock, eight seconds after the last collection, however little there is.
    '--no-memory-reducer',
    // What is not optimised yet allocates, and on a busy machine a compiler in the background is late.
    '--no-concurrent-recompilation',
    ...INLINING_FLAGS,
    fixture,
    compiled.folder,
    file,
    String(PACKETS),
  ];
  return JSON.parse(execFileSync(process.execPath, [...args, String(now), ...more], { encoding: 'utf8' }));
}

/** Both protocols and families, both directions. */
function hits() {
  const udp = (index: number, family: 4 | 6) =>
    service(index, family, { protocol: 17, servers: servers(family, index * 10, { endpoint: 50 + index }) });
  const families = [4, 6] as const;
  const opening = families.flatMap((family) => [
    request(family, { flags: SYN }),
    reply(family, 0, { flags: SYN | ACK }),
    request(family, { flags: ACK }),
    datagram(family),
    answer(family, 0),
  ]);
  const payload = Buffer.alloc(30, 3);
  const packets = families.flatMap((family) => [
    request(family, { payload }),
    reply(family, 0, { payload }),
    request(family, { payload, partial: true }),
    request(family, { payload, sequence: 101, identification: 1 }),
    request(family, { payload, sequence: 131, identification: 2 }),
    datagram(family, { payload }),
    answer(family, 0, { payload }),
  ]);
  return {
    generation: makeGeneration([service(0, 4), service(1, 6), udp(2, 4), udp(3, 6)]),
    opening: opening.map(encode),
    packets: packets.map(encode),
  };
}

function mix() {
  const prng = new Prng(5);
  const packets = Array.from({ length: 5000 }, () => encode(drawTemplate(prng)));
  return { generation: makeGeneration(fuzzServices(false)), opening: [], packets };
}

describe('no garbage', () => {
  it.each(CLOCKS)('hits, with a clock at %d', (now, most) => {
    const { collections, joined, counters } = run(hits(), now);
    expect(joined).toBeGreaterThan(PACKETS / 10);
    expect(counters['nat-request']! + counters['nat-reply']!).toBeGreaterThan(PACKETS);
    expect(collections).toBeLessThanOrEqual(most);
  });

  it.each(CLOCKS)('flows that open and close, answers, errors, segments: a clock at %d', (now, most) => {
    const { collections, counters } = run(mix(), now);
    for (const one of [
      'flow-opened',
      'flow-expired',
      'ipip-request',
      'segmented',
      'icmp-to-client',
      'reset-sent',
    ])
      expect(counters[one], one).toBeGreaterThan(0);
    expect(collections).toBeLessThanOrEqual(most);
  });

  it('one small object a packet shows', () => {
    expect(run(hits(), 1000, 'leak').collections).toBeGreaterThan(10);
  });
});
