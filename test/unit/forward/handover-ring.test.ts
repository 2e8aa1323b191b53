import * as fc from 'fast-check';
import { expect, test } from 'vitest';
import { HandoverRing } from '../../../src/forward/handover-ring.ts';
import { Batch, VNET_SIZE } from '../../../src/wire/batch.ts';

const SIZE = 256 * 1024;

function fill(batch: Batch, slot: number, length: number, tag: number): void {
  batch.rxLength[slot] = length;
  const start = batch.rxOffset[slot]! - VNET_SIZE;
  for (let at = 0; at < VNET_SIZE + length; at++) batch.bytes[start + at] = (tag + at * 7) & 0xff;
}

function holds(batch: Batch, slot: number, length: number, tag: number): boolean {
  if (batch.rxLength[slot] !== length) return false;
  const start = batch.rxOffset[slot]! - VNET_SIZE;
  for (let at = 0; at < VNET_SIZE + length; at++)
    if (batch.bytes[start + at] !== ((tag + at * 7) & 0xff)) return false;
  return true;
}

test('what goes in comes out, in order and whole, whatever the sizes and the wrap', () => {
  const from = new Batch(1);
  const to = new Batch(4);
  const fromWords = new Uint32Array(from.arena);
  const toWords = new Uint32Array(to.arena);
  fc.assert(
    fc.property(
      fc.array(fc.oneof(fc.integer({ min: 0, max: 200 }), fc.integer({ min: 0, max: 65_535 })), {
        maxLength: 60,
      }),
      fc.integer({ min: 1, max: 7 }),
      (lengths, period) => {
        const ring = new HandoverRing(HandoverRing.allocate(SIZE));
        const waiting: { length: number; tag: number }[] = [];
        const takeOut = (): void => {
          to.reset();
          ring.drain(to, toWords);
          for (let slot = 0; slot < to.rxCount; slot++) {
            const expected = waiting.shift()!;
            expect(holds(to, slot, expected.length, expected.tag)).toBe(true);
          }
        };
        for (const [tag, length] of lengths.entries()) {
          fill(from, 0, length, tag);
          if (ring.push(from, fromWords, 0)) waiting.push({ length, tag });
          else takeOut();
          if (tag % period === 0) takeOut();
        }
        while (!ring.isEmpty) takeOut();
        expect(waiting).toEqual([]);
      },
    ),
    { numRuns: 60 },
  );
});

test('a full ring refuses and keeps what it has', () => {
  const batch = new Batch(8);
  const words = new Uint32Array(batch.arena);
  const ring = new HandoverRing(HandoverRing.allocate(SIZE));
  fill(batch, 0, 65_000, 1);
  let pushed = 0;
  while (ring.push(batch, words, 0)) pushed++;
  expect(pushed).toBe(4);
  batch.reset();
  expect(ring.drain(batch, words)).toBe(4);
  for (let slot = 0; slot < 4; slot++) expect(holds(batch, slot, 65_000, 1)).toBe(true);
});
