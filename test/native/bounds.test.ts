// Hostile numbers: whatever JavaScript hands over, the addon answers -EINVAL or works inside the arena.
import { closeSync, openSync } from 'node:fs';
import { constants } from 'node:os';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { Prng } from '../../src/base/prng.ts';
import { createTally, loadNative, type Native } from '../../src/io/native.ts';
import { openUdp } from '../../src/io/socket.ts';
import { openTun } from '../../src/io/tun.ts';
import { parseAddress } from '../../src/wire/address.ts';
import { TX_PARTS_MAX } from '../../src/wire/batch.ts';
import { uniqueName } from './namespace.ts';

const { EINVAL } = constants.errno;
const SEED = 0x1a7c;
const ROUNDS = 20_000;
const ARENA_SIZE = 16_384;
const COLUMN_SIZE = 32;
const MARGIN = 70_000;
const POISON = 0xa5;

/** Numbers around every edge that matters, and some without meaning. */
const EDGES = [
  0,
  1,
  11,
  12,
  13,
  COLUMN_SIZE - 1,
  COLUMN_SIZE,
  COLUMN_SIZE + 1,
  ARENA_SIZE - 13,
  ARENA_SIZE - 12,
  ARENA_SIZE - 1,
  ARENA_SIZE,
  ARENA_SIZE + 1,
  65_535,
  65_536,
  0x7fff_ffff,
  0x8000_0000,
  0xffff_fff0,
  0xffff_ffff,
];

describe('random columns and ranges', () => {
  let native: Native;
  let tun: number;
  let udp: number;
  let domain: number;
  let port: number;
  // The arena lies between two margins, which nothing may touch.
  const memory = new Uint8Array(new SharedArrayBuffer(MARGIN + ARENA_SIZE + MARGIN)).fill(POISON);
  const arena = memory.subarray(MARGIN, MARGIN + ARENA_SIZE);
  const prng = new Prng(SEED);
  const any = (): number => (prng.below(4) === 0 ? prng.next() : EDGES[prng.below(EDGES.length)]!);
  const likely = (bound: number): number => (prng.below(8) === 0 ? any() : prng.below(bound));
  const column = (bound: number): Uint32Array =>
    new Uint32Array(new SharedArrayBuffer(COLUMN_SIZE * 4)).map(() => likely(bound));

  beforeAll(() => {
    native = loadNative();
    tun = openTun({ name: uniqueName('lwt'), multiQueue: false, exclusive: true }).fd;
    const socket = openUdp(4, { local: { address: parseAddress('127.0.0.1')!, port: 0 } });
    udp = socket.fd;
    domain = socket.domain;
    port = native.socketPort(udp);
  });

  afterAll(() => {
    native.close(tun);
    native.close(udp);
  });

  function expectMarginsIntact(): void {
    expect(memory.subarray(0, MARGIN).every((byte) => byte === POISON)).toBe(true);
    expect(memory.subarray(MARGIN + ARENA_SIZE).every((byte) => byte === POISON)).toBe(true);
  }

  /** Sends itself datagrams of up to 9,000 bytes, so that there is something to read. */
  function feed(count: number): void {
    const one = Uint32Array.of(0);
    const place = Uint32Array.of(0, 0, 0xffff, 0x7f000001);
    const ports = Uint32Array.of(port);
    const payload = new Uint8Array(9000).fill(0x11);
    for (let turn = 0; turn < count; turn++) {
      const length = Uint32Array.of(prng.below(9000));
      native.sendBatch(udp, domain, payload, one, length, one, place, ports, 0, 1, createTally());
    }
  }

  /** Every result is a count within the range asked for, or -errno; a tally never says more than was asked. */
  function expectSane(result: number, asked: number, tally: Int32Array): void {
    expect(result).toBeGreaterThan(-200);
    if (result >= 0) expect(result).toBeLessThanOrEqual(asked);
    if (result >= 0) expect(tally[0]! + tally[1]!).toBe(result);
  }

  test('reading writes inside the arena only', () => {
    const tally = createTally();
    let filled = 0;
    for (let round = 0; round < ROUNDS; round++) {
      if (round % 8 === 0) feed(4);
      const max = likely(COLUMN_SIZE);
      const [offsets, lengths] = [column(ARENA_SIZE), column(ARENA_SIZE)];
      const [first, header, room] = [likely(COLUMN_SIZE), likely(14), likely(ARENA_SIZE)];
      const fd = prng.below(2) === 0 ? udp : tun;
      const result = native.readPackets(fd, arena, offsets, lengths, first, max, header, room, tally);
      expectSane(result, max, tally);
      filled += Math.max(result, 0);
    }
    expectMarginsIntact();
    expect(filled).toBeGreaterThan(ROUNDS / 10);
  });

  test('receiving writes inside the arena and the columns only', () => {
    const tally = createTally();
    let filled = 0;
    for (let round = 0; round < ROUNDS; round++) {
      if (round % 8 === 0) feed(4);
      const max = likely(COLUMN_SIZE);
      const from = new Uint32Array(likely(2) === 0 ? COLUMN_SIZE * 4 : prng.below(COLUMN_SIZE * 4));
      const [offsets, lengths, ports] = [column(ARENA_SIZE), column(9), column(9)];
      const [first, room] = [likely(COLUMN_SIZE), likely(ARENA_SIZE)];
      const result = native.receiveBatch(udp, arena, offsets, lengths, from, ports, first, max, room, tally);
      expectSane(result, max, tally);
      filled += Math.max(result, 0);
    }
    expectMarginsIntact();
    expect(filled).toBeGreaterThan(ROUNDS / 10);
  });

  test('a frame has as many pieces in TypeScript as in the addon', () => {
    expect(native.layout.partsMax).toBe(TX_PARTS_MAX);
  });

  test('writing and sending read inside the arena only', () => {
    // An allocation of its own size: a read beyond it is what the sanitizers see.
    const arena = new Uint8Array(new SharedArrayBuffer(ARENA_SIZE));
    const tally = createTally();
    // It takes all, so that each byte counts as read; what a TUN refuses would not.
    const sink = openSync('/dev/null', 'w');
    let used = 0;
    for (let round = 0; round < ROUNDS; round++) {
      const count = likely(COLUMN_SIZE);
      const [offsets, lengths, parts] = [column(ARENA_SIZE), column(2000), column(4)];
      const [first, header] = [likely(COLUMN_SIZE), likely(14)];
      const joined = prng.below(2) === 0 ? [parts] : [];
      const written = native.writePackets(
        sink,
        arena,
        offsets,
        lengths,
        first,
        count,
        header,
        tally,
        ...joined,
      );
      expectSane(written, count, tally);
      // Row 0 is our own host, port 9, where nothing listens; row 1 is never IPv4, so that nothing leaves the host.
      const places = new Uint32Array(4 + prng.below(5)).map(() => any());
      places.set(places.length > 4 ? [0, 0, 0xffff, 0x7f000001, 1] : [0, 0, 0xffff, 0x7f000001]);
      const ports = new Uint32Array(prng.below(3)).fill(9);
      const targets = column(2);
      const sent = native.sendBatch(
        udp,
        domain,
        arena,
        offsets,
        lengths,
        targets,
        places,
        ports,
        first,
        count,
        tally,
      );
      expectSane(sent, count, tally);
      used += Math.max(written, 0) + Math.max(sent, 0);
    }
    closeSync(sink);
    expect(used).toBeGreaterThan(ROUNDS / 10);
  });
});

describe('arguments of the wrong kind', () => {
  const junk: readonly unknown[] = [
    undefined,
    null,
    'text',
    {},
    [],
    Number.NaN,
    Number.POSITIVE_INFINITY,
    -1,
    0.5,
    2 ** 40,
    5n,
    Symbol('s'),
    () => 0,
    new ArrayBuffer(8),
    new SharedArrayBuffer(8),
    new DataView(new ArrayBuffer(8)),
    new Float64Array(4),
    new Uint8Array(0),
    // Not open: poll reports it at once, whatever the time-out.
    Int32Array.of(1_000_000, 1_000_000),
    new Uint32Array(2),
    detached(),
  ];
  const prng = new Prng(SEED);
  type Verb = (...values: unknown[]) => unknown;

  function detached(): Uint8Array {
    const buffer = new ArrayBuffer(64);
    const view = new Uint8Array(buffer);
    structuredClone(buffer, { transfer: [buffer] });
    return view;
  }

  test.each([
    'readPackets',
    'writePackets',
    'poll',
    'eventWake',
    'eventDrain',
    'socketOption',
    'socketDevice',
    'socketBind',
    'socketJoin',
    'socketGroupInterface',
    'socketPort',
    'sendBatch',
    'receiveBatch',
    'tunSetOffload',
    'close',
    'adopt',
  ] as const)('%s answers with a negative errno', (name) => {
    const verb = loadNative()[name] as Verb;
    expect(verb()).toBe(-EINVAL);
    for (let round = 0; round < 3000; round++) {
      const values = Array.from({ length: prng.below(13) }, () => junk[prng.below(junk.length)]);
      // The first argument is a descriptor or a list of them; none of these is one that is open.
      const result = verb(...values);
      expect(typeof result).toBe('number');
      if (name !== 'poll') expect(result).toBeLessThan(0);
    }
  });

  test.each(['tunOpen', 'socketOpen'] as const)('%s throws its errno', (name) => {
    const verb = loadNative()[name] as Verb;
    for (let round = 0; round < 1000; round++) {
      const values = Array.from({ length: prng.below(5) }, () => junk[prng.below(junk.length)]);
      expect(() => verb(...values)).toThrow(expect.objectContaining({ errno: EINVAL }));
    }
  });

  test('a tally that is too short is never written', () => {
    const native = loadNative();
    const whole = new Int32Array(8).fill(7);
    native.readPackets(
      -1,
      new Uint8Array(64),
      new Uint32Array(1),
      new Uint32Array(1),
      0,
      1,
      0,
      8,
      whole.subarray(0, 3),
    );
    expect([...whole]).toEqual(new Array(8).fill(7));
  });
});
