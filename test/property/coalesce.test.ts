/**
 * Joining of segments against an independent cutter and decoder: what leaves is, once it is cut, what would have left anyway,
 * byte for byte, in the order of each flow. A build that joins too much in any one way must be seen by the same property.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import * as coalesce from '../../src/forward/coalesce.ts';
import { Batch, TX_PARTS_MAX } from '../../src/wire/batch.ts';
import { type Compiled, compileSources } from '../support/compiled.ts';
import { onTheWire } from '../support/cut.ts';
import { decodePacket } from '../support/decode.ts';
import { type BuiltPacket, putPacket, tcpPacket } from '../support/packets.ts';
import { build, type Sent, steps } from '../support/segment-streams.ts';

type Stage = Pick<typeof coalesce, 'Coalescer' | 'coalesceOutput'>;

const RUNS = 3000;
const batch = new Batch(TX_PARTS_MAX + 2);

/** Runs packets through the stage. @returns frames as they are written, and how many packets joined another's. */
function run({ Coalescer, coalesceOutput }: Stage, packets: readonly BuiltPacket[], capacity = 256) {
  batch.reset();
  for (const [slot, packet] of packets.entries()) {
    putPacket(batch.bytes, batch.rxOffset[slot]!, packet);
    batch.pushTx(batch.rxOffset[slot]!, packet.bytes.length);
  }
  const joined = coalesceOutput(batch, new Coalescer(capacity));
  const frames: BuiltPacket[] = [];
  for (let at = 0; at < batch.txCount; at += batch.txParts[at]!) {
    const offset = batch.txOffset[at]!;
    frames.push({
      bytes: Buffer.from(batch.frame(at)),
      vnet: Buffer.from(batch.bytes.slice(offset - 12, offset)),
    });
  }
  return { joined, frames };
}

/** By flow (addresses, protocol; ports for all but fragments): what it is on a wire. */
function byFlow(packets: readonly BuiltPacket[]): Map<string, string[]> {
  const flows = new Map<string, string[]>();
  for (const one of packets.flatMap(onTheWire)) {
    const { source, sourcePort, protocol } = endsOf(one);
    const key = `${source} ${protocol} ${sourcePort}`;
    flows.set(key, [...(flows.get(key) ?? []), one.toString('hex')]);
  }
  return flows;
}

function endsOf(packet: Buffer) {
  const decoded = decodePacket(packet, undefined, { transportChecksums: 'ignore' });
  const { source, protocol, tcp, udp, headerLength } = decoded;
  const sourcePort = tcp?.sourcePort ?? udp?.sourcePort ?? packet.readUInt16BE(headerLength);
  return { source, protocol, sourcePort };
}

const SPOILT = new Set(['bad-payload', 'bad-checksum']);

function check(stage: Stage, sent: readonly Sent[]): number {
  const { joined, frames } = run(
    stage,
    sent.map(({ packet }) => packet),
  );
  expect(frames.length).toBe(sent.length - joined);
  for (const frame of frames) {
    const transportChecksums = sent.some(({ kind }) => SPOILT.has(kind)) ? 'ignore' : 'check';
    decodePacket(frame.bytes, frame.vnet, { transportChecksums });
  }
  expect(byFlow(frames)).toEqual(byFlow(sent.map(({ packet }) => packet)));
  return joined;
}

describe('joining of segments', () => {
  it('leaves every flow as it was, once it is cut', () => {
    let joined = 0;
    let recipes = 0;
    fc.assert(
      fc.property(steps, (recipe) => {
        joined += check(coalesce, build(recipe));
        recipes++;
      }),
      { numRuns: RUNS },
    );
    expect(joined).toBeGreaterThan(recipes);
  });

  it.each([4, 6])('makes one frame of a batch of IPv%d segments, up to 64 KiB', (family) => {
    const ends = family === 4 ? ['192.0.2.1', '198.51.100.2'] : ['2001:db8::1', '2001:db8::2'];
    const packets = Array.from({ length: 64 }, (_, index) =>
      tcpPacket({
        source: ends[0]!,
        destination: ends[1]!,
        sourcePort: 1,
        destinationPort: 2,
        sequence: index * 1448,
        identification: index,
        options: Buffer.alloc(12, 1),
        payload: Buffer.alloc(1448, index),
        flags: index === 44 ? 0x18 : 0x10,
      }),
    );
    const { joined, frames } = run(coalesce, packets);
    expect([frames.length, joined]).toEqual([2, 62]);
    const [first] = frames.map(({ bytes, vnet }) => decodePacket(bytes, vnet));
    expect(first!.vnet).toMatchObject({ needsChecksum: true, gsoType: family === 4 ? 1 : 4, gsoSize: 1448 });
    expect(first!.payload.length).toBe(45 * 1448);
    expect(first!.tcp!.flags).toBe(0x18);
  });

  it('makes frames of no more pieces than the addon takes, and leaves a list alone that is longer than its columns', () => {
    const packets = Array.from({ length: TX_PARTS_MAX + 2 }, (_, index) =>
      tcpPacket({
        source: '192.0.2.1',
        destination: '192.0.2.2',
        sourcePort: 1,
        destinationPort: 2,
        sequence: index * 8,
        identification: index,
        payload: Buffer.alloc(8),
      }),
    );
    expect(run(coalesce, packets)).toMatchObject({ joined: TX_PARTS_MAX, frames: { length: 2 } });
    expect(run(coalesce, packets, packets.length - 1)).toMatchObject({ joined: 0 });
  });
});

/** Ways to join too much: a passage of the compiled stage, and what stands there instead. */
const MUTATIONS: readonly (readonly [string, string, string])[] = [
  ['no checksum is verified', '& (VNET_NEEDS_CSUM | VNET_DATA_VALID)) !== 0)', '& 0) === 0)'],
  ['the first checksum is not', 'if (own.parts[head] === 1 && !verify(batch, head))', 'if (false)'],
  ['a gap is closed', '(((tcpSequence(view, from) + advance) | 0) ^ view.getInt32(tcp + 4)) |', ''],
  ['acknowledgments are not compared', '(view.getInt32(from + 8) ^ view.getInt32(tcp + 8)) |', ''],
  [
    'identifications are not',
    '(((view.getUint16(from + 4) + segments) & 0xffff) ^ view.getUint16(offset + 4)) |',
    '',
  ],
  ['DF is not', '(view.getUint16(from + 6) ^ view.getUint16(offset + 6)) |', ''],
  ['TTL is not', '(view.getUint16(from + 8) ^ view.getUint16(offset + 8)) |', ''],
  ['TOS is not', '(view.getUint16(from) ^ view.getUint16(offset)) |', ''],
  ['the window is not', '& ~(TCP_PSH << 16)', '& 0'],
  ['the urgent pointer is not', '(view.getUint16(from + 18) ^ view.getUint16(tcp + 18))', '0'],
  ['options are not', 'at < size; at += 4', 'at < 0; at += 4'],
  ['any flags join', '(flags & FLAGS_NOT_JOINED) !== 0 ||', ''],
  ['PSH does not end a frame', '& TCP_PSH) !== 0;', '& TCP_PSH) === 1;'],
  ['a short one does not', '&& payload % own.segmentSize[head] === 0', ''],
  ['a short end of a super-packet does not', 'payload % size !== 0 ||', ''],
  ['a longer one joins', ': size > segmentSize', ': false'],
  ['a super-packet of another size joins', 'gso ? size !== segmentSize', 'gso ? false'],
  ['what does not join does not end a frame', 'own.place[place] = NONE;', ''],
  ['fragments count as segments', 'return ANY_FLOW;\n        header', 'return OTHER;\n        header'],
  ['frames may be of any flow', '(view.getInt32(from) ^ view.getInt32(tcp)) |', ''],
];

describe('a build that joins too much is seen', () => {
  let compiled: Compiled;
  beforeAll(() => {
    compiled = compileSources(['forward']);
  });
  afterAll(() => compiled.remove());

  it.each(MUTATIONS)('%s', async (name, from, to) => {
    const folder = join(compiled.folder, 'forward');
    const pieces = readFileSync(join(folder, 'coalesce.js'), 'utf8').split(from);
    expect(pieces.length, `occurrences of ${from}`).toBe(2);
    const file = join(folder, `coalesce-${MUTATIONS.findIndex(([one]) => one === name)}.js`);
    writeFileSync(file, pieces.join(to));
    const mutant = (await import(pathToFileURL(file).href)) as Stage;
    const property = fc.property(steps, (recipe) => void check(mutant, build(recipe)));
    expect(fc.check(property, { numRuns: RUNS, seed: 1, endOnFailure: true }).failed).toBe(true);
  });
});
