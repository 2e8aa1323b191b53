import { expect, test } from 'vitest';
import { MemoryDevice } from '../../../src/io/memory-device.ts';
import { TraceDevice } from '../../../src/io/trace-device.ts';
import { Batch, PACKET_START, VNET_SIZE } from '../../../src/wire/batch.ts';
import { foldSum, pseudoSum4, sumBytes } from '../../../src/wire/checksum.ts';
import { PROTOCOL_UDP } from '../../../src/wire/protocol.ts';
import { vnetClear } from '../../../src/wire/virtio.ts';

const TIME_US = 1_700_000_000_123_456;

/** A traced device, and the file that it has written so far. */
function traced(): { inner: MemoryDevice; device: TraceDevice; file: () => DataView } {
  const chunks: Uint8Array[] = [];
  const inner = new MemoryDevice('m0', 8);
  let nowUs = TIME_US;
  const device = new TraceDevice(
    inner,
    (chunk) => chunks.push(chunk.slice()),
    () => nowUs++,
  );
  const file = (): DataView => {
    const bytes = Buffer.concat(chunks);
    return new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  };
  return { inner, device, file };
}

/** The records of a pcap file, read as its specification says. */
function records(file: DataView): { seconds: number; micros: number; length: number; bytes: number[] }[] {
  const found = [];
  for (let at = 24; at < file.byteLength; ) {
    const kept = file.getUint32(at + 8, true);
    const bytes = Array.from({ length: kept }, (_, index) => file.getUint8(at + 16 + index));
    found.push({
      seconds: file.getUint32(at, true),
      micros: file.getUint32(at + 4, true),
      length: file.getUint32(at + 12, true),
      bytes,
    });
    at += 16 + kept;
  }
  return found;
}

test('the file begins with the pcap header: microseconds, 2.4, 65,535 bytes, raw IP', () => {
  const { file } = traced();
  const view = file();
  expect(view.byteLength).toBe(24);
  expect(view.getUint32(0, true)).toBe(0xa1b2c3d4);
  expect([view.getUint16(4, true), view.getUint16(6, true)]).toEqual([2, 4]);
  expect([view.getUint32(8), view.getUint32(12)]).toEqual([0, 0]);
  expect(view.getUint32(16, true)).toBe(65_535);
  expect(view.getUint32(20, true)).toBe(101);
});

test('what passes in both directions is recorded in order, without its vnet header, and still passes', () => {
  const { inner, device, file } = traced();
  inner.deliver(new Uint8Array(20).fill(0x45));
  inner.deliver(new Uint8Array(30).fill(0x60));
  const batch = new Batch(4);
  expect(device.read(batch)).toBe(2);
  batch.pushTx(batch.rxOffset[1]!, 30);
  expect(device.write(batch)).toBe(0);
  expect(inner.takeWritten().map((one) => one.bytes[0])).toEqual([0x60]);
  expect(records(file())).toEqual([
    { seconds: 1_700_000_000, micros: 123_456, length: 20, bytes: new Array(20).fill(0x45) },
    { seconds: 1_700_000_000, micros: 123_456, length: 30, bytes: new Array(30).fill(0x60) },
    { seconds: 1_700_000_000, micros: 123_457, length: 30, bytes: new Array(30).fill(0x60) },
  ]);
  expect([device.name, device.fd]).toEqual(['m0', -1]);
});

/** IPv4 and UDP with 9 bytes of payload at PACKET_START; the checksum field holds the pseudo-header sum only. */
function partialDatagram(batch: Batch): number {
  const { view, bytes } = batch;
  const length = 20 + 8 + 9;
  bytes.fill(0x31, PACKET_START, PACKET_START + length);
  view.setUint8(PACKET_START, 0x45);
  view.setUint16(PACKET_START + 24, 17);
  view.setUint16(PACKET_START + 26, foldSum(pseudoSum4(view, PACKET_START, PROTOCOL_UDP, 17)));
  vnetClear(view, PACKET_START);
  view.setUint8(PACKET_START - VNET_SIZE, 1);
  view.setUint16(PACKET_START - VNET_SIZE + 6, 20, true);
  view.setUint16(PACKET_START - VNET_SIZE + 8, 6, true);
  return length;
}

test('a checksum that is left to do is complete in the file, and untouched in the packet', () => {
  const { device, file } = traced();
  const batch = new Batch(1);
  const length = partialDatagram(batch);
  const field = batch.view.getUint16(PACKET_START + 26);
  batch.pushTx(PACKET_START, length);
  device.write(batch);
  expect(batch.view.getUint16(PACKET_START + 26)).toBe(field);
  const bytes = Uint8Array.from(records(file())[0]!.bytes);
  const view = new DataView(bytes.buffer);
  expect(foldSum(pseudoSum4(view, 0, PROTOCOL_UDP, 17) + sumBytes(view, 20, 17))).toBe(0xffff);
});

test('a vnet header that points outside the packet changes nothing in the record', () => {
  const { device, file } = traced();
  const batch = new Batch(1);
  const length = partialDatagram(batch);
  batch.view.setUint16(PACKET_START - VNET_SIZE + 6, 0xffff, true);
  batch.pushTx(PACKET_START, length);
  device.write(batch);
  const packet = [...batch.bytes.subarray(PACKET_START, PACKET_START + length)];
  expect(records(file())[0]!.bytes).toEqual(packet);
});
