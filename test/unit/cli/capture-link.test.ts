import fc from 'fast-check';
import { expect, test } from 'vitest';
import { type Captured, readRecords } from '../../../src/cli/capture-link.ts';
import { pcapHeader, pcapRecord } from '../../../src/cli/pcap.ts';

function encode({ seconds, microseconds, bytes }: Captured): Buffer {
  const header = Buffer.alloc(12);
  header.writeUInt32LE(bytes.length, 0);
  header.writeUInt32LE(seconds, 4);
  header.writeUInt32LE(microseconds, 8);
  return Buffer.concat([header, bytes]);
}

async function* inPieces(whole: Buffer, sizes: readonly number[]): AsyncGenerator<Buffer> {
  let at = 0;
  for (const size of sizes) {
    yield whole.subarray(at, at + size);
    at += size;
  }
  yield whole.subarray(at);
}

test('records arrive as they were, however they are cut', async () => {
  const record = fc.record({
    seconds: fc.nat(0xffffffff),
    microseconds: fc.nat(999_999),
    bytes: fc.uint8Array({ maxLength: 60 }).map((bytes) => Buffer.from(bytes)),
  });
  await fc.assert(
    fc.asyncProperty(
      fc.array(record, { maxLength: 8 }),
      fc.array(fc.nat(40), { maxLength: 20 }),
      async (records, sizes) => {
        const whole = Buffer.concat(records.map(encode));
        const read: Captured[] = [];
        for await (const one of readRecords(inPieces(whole, sizes)))
          read.push({ ...one, bytes: Buffer.from(one.bytes) });
        expect(read).toEqual(records);
      },
    ),
  );
});

test('a record that is not whole is left out', async () => {
  const whole = encode({ seconds: 1, microseconds: 2, bytes: Buffer.from('packet') });
  const read: Captured[] = [];
  for await (const one of readRecords(inPieces(Buffer.concat([whole, whole.subarray(0, 15)]), [])))
    read.push(one);
  expect(read).toHaveLength(1);
});

test('a pcap file is what its format says', () => {
  expect(pcapHeader('RAW').toString('hex')).toBe('d4c3b2a1020004000000000000000000ffff000065000000');
  expect(pcapHeader('ETHERNET').readUInt32LE(20)).toBe(1);
  const record = pcapRecord({ seconds: 0x01020304, microseconds: 5, bytes: Buffer.from('4500', 'hex') });
  expect(record.toString('hex')).toBe('040302010500000002000000020000004500');
});
