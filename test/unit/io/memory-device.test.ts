import { describe, expect, test } from 'vitest';
import { MemoryDevice } from '../../../src/io/memory-device.ts';
import { Batch, PACKET_SIZE_MAX, PACKET_START, VNET_SIZE } from '../../../src/wire/batch.ts';

/** A packet of `length` bytes of one value. */
function packet(value: number, length: number): Uint8Array {
  return new Uint8Array(length).fill(value);
}

describe('reading', () => {
  test('fills slots in order, at most the capacity of the batch', () => {
    const device = new MemoryDevice('m0', 8);
    const vnet = packet(0x77, VNET_SIZE);
    for (let value = 1; value <= 3; value++)
      expect(device.deliver(packet(value, value * 10), vnet)).toBe(true);
    const batch = new Batch(2);
    batch.bytes.fill(0xa5);
    expect(device.read(batch)).toBe(2);
    expect(batch.rxCount).toBe(2);
    for (const index of [0, 1]) {
      const offset = batch.rxOffset[index]!;
      const length = (index + 1) * 10;
      expect(batch.rxLength[index]).toBe(length);
      expect([...batch.bytes.subarray(offset, offset + length)]).toEqual([...packet(index + 1, length)]);
      expect([...batch.bytes.subarray(offset - VNET_SIZE, offset)]).toEqual([...vnet]);
      expect(batch.bytes[offset - VNET_SIZE - 1]).toBe(0xa5);
      expect(batch.bytes[offset + length]).toBe(0xa5);
    }
    expect(device.read(batch)).toBe(1);
    expect(batch.rxLength[0]).toBe(30);
    expect(device.read(batch)).toBe(0);
    expect(batch.rxCount).toBe(0);
  });

  test('keeps a copy of what was delivered, with a cleared vnet header unless one is given', () => {
    const device = new MemoryDevice('m0', 8);
    const bytes = packet(1, 20);
    device.deliver(bytes);
    bytes.fill(2);
    const batch = new Batch(1);
    batch.bytes.fill(0xa5);
    device.read(batch);
    expect(batch.bytes[PACKET_START]).toBe(1);
    expect([...batch.bytes.subarray(PACKET_START - VNET_SIZE, PACKET_START)]).toEqual(
      new Array(VNET_SIZE).fill(0),
    );
  });

  test('the largest packet fits, a larger one is refused, a full queue refuses', () => {
    const device = new MemoryDevice('m0', 1);
    expect(device.deliver(packet(1, PACKET_SIZE_MAX + 1))).toBe(false);
    expect(device.deliver(packet(1, PACKET_SIZE_MAX))).toBe(true);
    expect(device.deliver(packet(1, 20))).toBe(false);
    const batch = new Batch(1);
    expect(device.read(batch)).toBe(1);
    expect(batch.rxLength[0]).toBe(PACKET_SIZE_MAX);
  });
});

describe('writing', () => {
  test('keeps the tx list in order, empties it, and counts what the queue has no room for', () => {
    const device = new MemoryDevice('m0', 2);
    const batch = new Batch(3);
    for (const index of [2, 0, 1]) {
      const offset = batch.rxOffset[index]!;
      batch.bytes.fill(index, offset - VNET_SIZE, offset + 40);
      batch.pushTx(offset, 40);
    }
    expect(device.write(batch)).toBe(1);
    expect(batch.txCount).toBe(0);
    batch.bytes.fill(0xff);
    const written = device.takeWritten();
    expect(written.map((one) => [one.bytes[0], one.bytes.length, one.vnet[11]])).toEqual([
      [2, 40, 2],
      [0, 40, 0],
    ]);
    expect(device.takeWritten()).toEqual([]);
    batch.pushTx(PACKET_START, 40);
    expect(device.write(batch)).toBe(0);
  });
});
