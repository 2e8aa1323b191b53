/** The token bucket: never more than the burst at once, never more than the rate in the long run, whatever the clock reads. */
import fc from 'fast-check';
import { expect, it } from 'vitest';
import { RateLimit } from '../../../src/forward/rate-limit.ts';

function drain(limit: RateLimit, now: number): number {
  let taken = 0;
  while (limit.take(now)) taken++;
  return taken;
}

it('begins with a whole burst and fills at its rate', () => {
  const limit = new RateLimit(1000, 50);
  expect(drain(limit, 5000)).toBe(50);
  expect(drain(limit, 5000)).toBe(0);
  expect(drain(limit, 5001)).toBe(1);
  expect(drain(limit, 5011)).toBe(10);
  expect(drain(limit, 9000)).toBe(50);
});

it('keeps parts of tokens: a rate below one a millisecond comes true', () => {
  const limit = new RateLimit(10, 5);
  drain(limit, 0);
  let taken = 0;
  for (let now = 1; now <= 1000; now++) if (limit.take(now)) taken++;
  expect(taken).toBeGreaterThanOrEqual(9);
  expect(taken).toBeLessThanOrEqual(10);
});

it('goes on over the wrap of the clock', () => {
  const limit = new RateLimit(1000, 50);
  expect(drain(limit, 0xfffffffe)).toBe(50);
  expect(drain(limit, 3)).toBe(5);
});

it('never gives more than burst and rate allow', () => {
  fc.assert(
    fc.property(fc.array(fc.tuple(fc.nat(40), fc.nat(30)), { maxLength: 100 }), (steps) => {
      const limit = new RateLimit(500, 20);
      let now = 0xfffffff0;
      let passed = 0;
      let taken = 0;
      for (const [ms, wants] of steps) {
        now = (now + ms) >>> 0;
        passed += ms;
        for (let left = wants; left > 0; left--) if (limit.take(now)) taken++;
        expect(taken).toBeLessThanOrEqual(20 + passed / 2);
      }
    }),
  );
});
