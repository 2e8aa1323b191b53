import { describe, expect, it } from 'vitest';
import {
  Batch,
  NO_ROOM,
  PACKET_SIZE_MAX,
  PACKET_START,
  SCRATCH_PACKET_MAX,
  SCRATCH_SIZE,
  SLOT_SIZE,
} from '../../../src/wire/batch.ts';

describe('batch', () => {
  it('lays out slots, scratch areas and segments without overlap', () => {
    const batch = new Batch(4, 2);
    expect(SLOT_SIZE % 64).toBe(0);
    expect(PACKET_START + PACKET_SIZE_MAX).toBeLessThanOrEqual(SLOT_SIZE);
    expect([...batch.rxOffset]).toEqual([0, 1, 2, 3].map((slot) => slot * SLOT_SIZE + PACKET_START));
    const first = batch.allocScratch();
    const second = batch.allocScratch();
    expect(first).toBe(4 * SLOT_SIZE + PACKET_START);
    expect(second).toBe(first + SCRATCH_SIZE);
    // An ICMPv6 error of 1,280 bytes, and an outer IPv6 header.
    expect(SCRATCH_PACKET_MAX).toBeGreaterThanOrEqual(1280 + 40);
    expect(batch.allocScratch()).toBe(NO_ROOM);
    expect(batch.segmentOffset).toBe(second - PACKET_START + SCRATCH_SIZE);
    expect(batch.segmentEnd).toBe(batch.arena.byteLength);
    batch.resetScratch();
    expect(batch.allocScratch()).toBe(first);
  });

  it('fills its lists to their capacity and says when they are full', () => {
    const batch = new Batch(1, 1);
    let pushed = 0;
    while (batch.pushTx(PACKET_START, 20)) pushed++;
    expect(pushed).toBe(batch.txOffset.length);
    expect(batch.txCount).toBe(pushed);
    while (batch.pushRaw(PACKET_START, 20, 7));
    expect(batch.rawCount).toBe(batch.rawServer.length);
    expect(batch.rawServer[batch.rawCount - 1]).toBe(7);
    batch.reset();
    expect([batch.txCount, batch.rawCount, batch.rxCount]).toEqual([0, 0, 0]);
    expect(batch.pushTx(PACKET_START, 20)).toBe(true);
  });

  it('keeps segments on cache lines until it is reset', () => {
    const batch = new Batch(1);
    const start = batch.segmentOffset;
    batch.keepSegments(start + 65);
    expect(batch.segmentOffset).toBe(start + 128);
    batch.keepSegments(batch.segmentEnd);
    expect(batch.segmentOffset).toBe(batch.segmentEnd);
    batch.resetOutput();
    expect(batch.segmentOffset).toBe(start);
  });
});
