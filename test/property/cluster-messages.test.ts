/** Cluster datagrams: what is written is read back; whatever is read never throws; what is forged does not open. */

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Link } from '../../src/cluster/link.ts';
import { type AnyRecord, RecordWriter } from '../../src/cluster/messages.ts';
import { readRecords } from '../../src/cluster/messages-read.ts';
import type { EntryCause } from '../../src/cluster/records.ts';
import { ReplayWindow, readHeader, Sealer, STREAM_BROADCAST } from '../../src/cluster/seal.ts';
import { ReplyKey, SessionKey } from '../../src/cluster/session-key.ts';

const SENDER = 77;
const u32 = fc.integer({ min: 0, max: 0xffffffff });
const u16 = fc.integer({ min: 0, max: 0xffff });
const words = fc.oneof(
  fc.tuple(fc.constant(0), fc.constant(0), fc.constant(0xffff), u32),
  fc.tuple(u32, u32, u32, u32),
);
const flow = fc
  .tuple(u32, words, u16, u16)
  .map(([service, client, port, vipPort]) => new SessionKey(service, 0, client, port, vipPort));
const session = fc.tuple(u32, words).map(([service, client]) => new SessionKey(service, 1, client, 0, 0));
const key = fc.oneof(flow, session);
const tuple = fc
  .tuple(fc.constantFrom(6, 17), words, u16, words, u16)
  .map(
    ([protocol, server, port, client, clientPort]) =>
      new ReplyKey(protocol, server, port, client, clientPort),
  );
const reports = fc.array(fc.record({ server: u32, holder: u32, tag: u32 }), { maxLength: 3 });
const claim = {
  key,
  isn: u32,
  previousIsn: fc.oneof(fc.constant(-1), u32),
  generation: fc.integer({ min: 0, max: 65_535 }),
  server: u32,
};
const lock = fc.record({
  type: fc.constant('lock' as const),
  attempt: u32,
  ...claim,
  leaseMs: u16,
  confirm: fc.boolean(),
});
const causes: EntryCause[] = ['selected', 'changed', 'refresh', 'answer', 'repair', 'correction', 'copy'];
const record: fc.Arbitrary<AnyRecord> = fc.oneof(
  lock,
  fc.record({ type: fc.constant('grant' as const), key, attempt: u32, reports }),
  fc.record({ type: fc.constant('refuse' as const), attempt: u32, lock }),
  fc.record({ type: fc.constant('unlock' as const), key, attempt: u32 }),
  fc.record({ type: fc.constant('question' as const), question: u32, about: fc.oneof(flow, tuple) }),
  fc.record({
    type: fc.constant('no' as const),
    question: u32,
    about: fc.oneof(flow, tuple),
    reports,
    flooded: fc.boolean(),
  }),
  fc.record({
    type: fc.constant('entry' as const),
    cause: fc.constantFrom(...causes),
    attempt: u32,
    ...claim,
    origin: fc.oneof(fc.constant(SENDER), u32),
    bits: fc.integer({ min: 0, max: 15 }),
    ageMs: fc.oneof(fc.constant(0), u32),
    idleMs: fc.oneof(fc.constant(0), u32),
  }),
  fc.record({
    type: fc.constant('entry' as const),
    cause: fc.constant('copy' as const),
    attempt: fc.constant(0),
    ...claim,
    origin: u32,
    // A copy says what is over.
    bits: fc.integer({ min: 0, max: 31 }),
    ageMs: u32,
    idleMs: u32,
  }),
  fc.record({
    type: fc.constant('heartbeat' as const),
    ready: fc.boolean(),
    flooding: fc.boolean(),
    flooded: fc.boolean(),
    lastSequence: fc.integer({ min: 0, max: 2 ** 48 - 1 }),
    configuration: u32,
    version: fc.integer({ min: 0, max: 255 }),
    hears: fc.array(fc.record({ node: u32, tag: u32 }), { maxLength: 20 }),
  }),
  fc.record({
    type: fc.constantFrom('repair-request' as const, 'gone' as const),
    sequences: fc.array(fc.integer({ min: 1, max: 2 ** 48 - 1 }), { maxLength: 20 }),
  }),
);

/** Keys cache their text, which says nothing about equality. */
function plain(value: unknown): unknown {
  return JSON.parse(
    JSON.stringify(value, (name, part) => (name === 'key' || name === 'about' ? part.text : part)),
  );
}

function write(records: readonly AnyRecord[]): Buffer {
  const writer = new RecordWriter(8_192, SENDER);
  writer.writer.bytes.fill(0xa5);
  for (const one of records) writer.write(one);
  return writer.writer.bytes.subarray(0, writer.end);
}

describe('cluster records', () => {
  it('are read as they were written', () => {
    fc.assert(
      fc.property(fc.array(record, { maxLength: 12 }), (records) => {
        expect(plain(readRecords(write(records), SENDER))).toEqual(plain(records));
      }),
    );
  });

  it('a lock and the entry that ends it cost 35 bytes for IPv4', () => {
    const flowKey = new SessionKey(5, 0, [0, 0, 0xffff, 0x0a000001], 4_000, 80);
    const same = { key: flowKey, isn: 99, previousIsn: -1, generation: 0, server: 8 };
    const records: AnyRecord[] = [
      { type: 'lock', attempt: 1, ...same, leaseMs: 250, confirm: false },
      { type: 'entry', cause: 'selected', attempt: 1, ...same, origin: SENDER, bits: 0, ageMs: 0, idleMs: 0 },
    ];
    expect(write(records).length).toBe(35);
  });

  it('any bytes are taken, cut ones refused', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
        readRecords(Buffer.from(bytes), SENDER);
      }),
    );
    fc.assert(
      fc.property(record, fc.nat(), (one, cut) => {
        const bytes = write([one]);
        const short = bytes.subarray(0, cut % bytes.length);
        if (short.length > 0) expect(readRecords(short, SENDER)).toBeUndefined();
      }),
    );
  });
});

const LIFE = { node: 1, incarnation: 'aa'.repeat(16) };
const OTHER = { node: 2, incarnation: 'bb'.repeat(16) };
const KEY = Buffer.alloc(32, 1);
const NEW_KEY = Buffer.alloc(32, 2);

describe('sealed datagrams', () => {
  it('open for who holds the key, in either half of a rotation, and for nobody else', () => {
    const header = { stream: STREAM_BROADCAST, sender: LIFE, sequence: 7 } as const;
    const bytes = new Sealer([KEY]).seal(header, undefined, Buffer.from('hello'));
    expect(readHeader(bytes)).toEqual(header);
    expect(new Sealer([NEW_KEY, KEY]).open(header, OTHER, bytes)?.toString()).toBe('hello');
    expect(new Sealer([NEW_KEY]).open(header, OTHER, bytes)).toBeUndefined();
  });

  it('any changed bit is found', () => {
    const bytes = new Sealer([KEY]).seal(
      { stream: 1, sender: LIFE, sequence: 7 },
      undefined,
      Buffer.from('hello'),
    );
    fc.assert(
      fc.property(fc.nat({ max: bytes.length * 8 - 1 }), (bit) => {
        const forged = Buffer.from(bytes);
        forged[bit >> 3]! ^= 1 << (bit & 7);
        expect(new Link(OTHER, new Sealer([KEY]), 1_500, [SENDER]).open(forged)).toBeUndefined();
      }),
    );
  });

  it('what was sent to an earlier life of the receiver does not open', () => {
    const header = { stream: 2, sender: LIFE, sequence: 1 } as const;
    const bytes = new Sealer([KEY]).seal(header, OTHER, Buffer.from('grant'));
    expect(new Sealer([KEY]).open(header, OTHER, bytes)?.toString()).toBe('grant');
    const later = { node: 2, incarnation: 'cc'.repeat(16) };
    expect(new Sealer([KEY]).open(header, later, bytes)).toBeUndefined();
  });

  it('each sequence is taken once', () => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 1, max: 6_000 }), { maxLength: 300 }), (sequences) => {
        const window = new ReplayWindow();
        const taken = new Set<number>();
        let highest = 0;
        for (const sequence of sequences) {
          const expected = !taken.has(sequence) && sequence > highest - 2_048;
          expect(window.take(sequence)).toBe(expected);
          if (expected) taken.add(sequence);
          highest = Math.max(highest, sequence);
        }
      }),
    );
  });
});
