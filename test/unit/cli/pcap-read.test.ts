/** Reading of pcap files: what tcpdump writes on any device, in either byte order, however its bytes come. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { LatchwayError } from '../../../src/base/fault.ts';
import type { Captured } from '../../../src/cli/capture-link.ts';
import { pcapHeader, pcapRecord } from '../../../src/cli/pcap.ts';
import { readPcap } from '../../../src/cli/pcap-read.ts';

const PACKET = Buffer.from('4500001c', 'hex');

async function* inPieces(whole: Buffer, size: number): AsyncGenerator<Buffer> {
  for (let at = 0; at < whole.length; at += size) yield whole.subarray(at, at + size);
}

async function read(whole: Buffer, size = 1 << 16): Promise<Captured[]> {
  const packets: Captured[] = [];
  for await (const one of readPcap(inPieces(whole, size), 'x.pcap'))
    packets.push({ ...one, bytes: Buffer.from(one.bytes) });
  return packets;
}

/** A file of one frame, seen at 5.000007 s. */
function file(
  frame: Buffer,
  { linkType = 101, big = false, nano = false }: { linkType?: number; big?: boolean; nano?: boolean } = {},
): Buffer {
  const words = [nano ? 0xa1b23c4d : 0xa1b2c3d4, 0x0002_0004, 0, 0, 65_535, linkType];
  const record = [5, nano ? 7_999 : 7, frame.length, frame.length];
  const bytes = Buffer.alloc(40);
  for (const [index, word] of [...words, ...record].entries()) {
    if (big) bytes.writeUInt32BE(word, index * 4);
    else bytes.writeUInt32LE(word, index * 4);
  }
  return Buffer.concat([bytes, frame]);
}

const SEEN = [{ seconds: 5, microseconds: 7, bytes: PACKET }];
const ethernet = (type: string): Buffer =>
  Buffer.concat([Buffer.alloc(12), Buffer.from(type, 'hex'), PACKET]);

describe('forms of the file', () => {
  test.each([
    ['little-endian', {}],
    ['big-endian', { big: true }],
    ['nanoseconds', { nano: true }],
    ['nanoseconds, big-endian', { big: true, nano: true }],
    ['raw IP, with bits about check sequences', { linkType: 0x1400_0065 }],
  ])('%s', async (_, form) => {
    expect(await read(file(PACKET, form))).toEqual(SEEN);
  });

  test.each([
    ['Ethernet', 1, ethernet('0800')],
    ['Ethernet with a VLAN tag', 1, ethernet('8100000a0800')],
    ['Ethernet with two', 1, ethernet('88a8000a8100000b86dd')],
    ['LINUX_SLL', 113, Buffer.concat([Buffer.alloc(14), Buffer.from('0800', 'hex'), PACKET])],
    ['LINUX_SLL2', 276, Buffer.concat([Buffer.from('86dd', 'hex'), Buffer.alloc(18), PACKET])],
  ])('%s', async (_, linkType, frame) => {
    expect(await read(file(frame, { linkType }))).toEqual(SEEN);
  });

  test('frames that hold no IP packet are left out', async () => {
    expect(await read(file(ethernet('0806'), { linkType: 1 }))).toEqual([]);
    expect(await read(file(Buffer.alloc(13), { linkType: 1 }))).toEqual([]);
    expect(
      await read(file(Buffer.concat([Buffer.alloc(12), Buffer.from('8100', 'hex')]), { linkType: 1 })),
    ).toEqual([]);
  });
});

test('what `latchway capture` writes is read back, in any pieces, and a file that is cut off ends there', async () => {
  const packet = fc.record({
    seconds: fc.nat(0xffffffff),
    microseconds: fc.nat(999_999),
    bytes: fc.uint8Array({ maxLength: 60 }).map((bytes) => Buffer.from(bytes)),
  });
  await fc.assert(
    fc.asyncProperty(
      fc.array(packet, { maxLength: 6 }),
      fc.integer({ min: 1, max: 50 }),
      fc.nat(20),
      async (packets, size, cut) => {
        const whole = Buffer.concat([pcapHeader('RAW'), ...packets.map(pcapRecord)]);
        expect(await read(whole, size)).toEqual(packets);
        const shorter = await read(whole.subarray(0, Math.max(24, whole.length - cut)), size);
        expect(shorter).toEqual(packets.slice(0, shorter.length));
      },
    ),
  );
});

describe('what is no such file is said', () => {
  test.each([
    ['nothing', Buffer.alloc(0), /too short/],
    ['text', Buffer.from('# no capture, but a text of some length'), /is no pcap file/],
    ['pcapng', Buffer.concat([Buffer.from('0a0d0d0a', 'hex'), Buffer.alloc(40)]), /tcpdump -r x.pcap -w NEW/],
    ['another link', file(PACKET, { linkType: 105 }), /link type 105/],
  ])('%s', async (_, bytes, message) => {
    await expect(read(bytes)).rejects.toThrow(message);
  });

  test('a packet that is larger than any', async () => {
    const bytes = file(PACKET);
    bytes.writeUInt32LE(0x7fff_ffff, 32);
    await expect(read(bytes)).rejects.toThrow(/damaged/);
  });

  test('any bytes are either read or refused in words', async () => {
    await fc.assert(
      fc.asyncProperty(fc.uint8Array({ maxLength: 120 }), fc.boolean(), async (tail, headed) => {
        const bytes = Buffer.concat([headed ? pcapHeader('ETHERNET') : Buffer.alloc(0), Buffer.from(tail)]);
        await read(bytes, 7).catch((error: unknown) => expect(error).toBeInstanceOf(LatchwayError));
      }),
    );
  });
});
