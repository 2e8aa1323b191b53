/** Datagrams that were recorded between two dispatchers, opened from outside. */
import { randomBytes } from 'node:crypto';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { Link } from '../../../src/cluster/link.ts';
import { Recording } from '../../../src/cluster/recording.ts';
import type { UnlockRecord } from '../../../src/cluster/records.ts';
import { type Life, readHeader, Sealer } from '../../../src/cluster/seal.ts';
import { KIND_FLOW, SessionKey } from '../../../src/cluster/session-key.ts';

const KEY = Buffer.alloc(32, 7);
const A: Life = { node: 1, incarnation: 'aa'.repeat(16) };
const B: Life = { node: 2, incarnation: 'bb'.repeat(16) };
const B_LATER: Life = { node: 2, incarnation: 'cc'.repeat(16) };
const FLOW = new SessionKey(9, KIND_FLOW, [0, 0, 0xffff, 0xc6336402], 40_000, 80);

const unlock = (attempt: number): UnlockRecord => ({ type: 'unlock', key: FLOW, attempt });

/** One datagram of a stream. */
function sent(from: Life, to: Life, stream: 'unicast' | 'broadcast', attempt: number, key = KEY): Buffer {
  const link = new Link(from, new Sealer([key]), 1500, []);
  if (stream === 'unicast') link.unicast(to.node, unlock(attempt));
  else link.broadcast(unlock(attempt));
  return link.flush(0, () => to)[0]!.bytes;
}

const recording = (keys = [KEY]): Recording => new Recording(new Sealer(keys), [A.node, B.node]);

/** Numbers of the attempts that a datagram speaks of; undefined: sealed. */
function attempts(from: Recording, bytes: Buffer, to = B): number[] | undefined {
  return from
    .open(bytes, to.node)
    ?.records?.map((record) => (record.type === 'unlock' ? record.attempt : -1));
}

test('a broadcast opens by itself, and one to a peer when that one is known', () => {
  const outside = recording();
  expect(attempts(outside, sent(A, B, 'broadcast', 3))).toEqual([3]);
  const toB = sent(A, B, 'unicast', 4);
  expect(attempts(outside, toB)).toBeUndefined();
  outside.note(sent(B, A, 'unicast', 0));
  expect(attempts(outside, toB)).toEqual([4]);
});

test('of several lives of the receiver the right one is found', () => {
  const outside = recording();
  outside.note(sent(B, A, 'broadcast', 0));
  outside.note(sent(B_LATER, A, 'broadcast', 0));
  expect(attempts(outside, sent(A, B, 'unicast', 5))).toEqual([5]);
  expect(attempts(outside, sent(A, B_LATER, 'unicast', 6))).toEqual([6]);
});

test('both keys of a change of keys open, another key does not', () => {
  const older = Buffer.alloc(32, 8);
  expect(attempts(recording([KEY, older]), sent(A, B, 'broadcast', 1, older))).toEqual([1]);
  const other = recording().open(sent(A, B, 'broadcast', 1, older), B.node);
  expect(other).toEqual({ header: { stream: 1, sender: A, sequence: 1 }, records: undefined });
});

test('forged headers do not push out a life that was proven', () => {
  const outside = recording();
  const fromB = sent(B, A, 'broadcast', 0);
  expect(attempts(outside, fromB, A)).toEqual([0]);
  for (let count = 0; count < 1000; count++) {
    const forged = Buffer.from(fromB);
    randomBytes(16).copy(forged, 8);
    outside.note(forged);
  }
  expect(attempts(outside, sent(A, B, 'unicast', 7))).toEqual([7]);
});

test('takes any bytes', () => {
  const outside = recording();
  const good = sent(A, B, 'broadcast', 1);
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), fc.nat(good.length), (bytes, at) => {
      const cut = Buffer.concat([good.subarray(0, at), bytes]);
      outside.note(cut);
      const opened = outside.open(cut, B.node);
      expect(opened === undefined).toBe(readHeader(cut) === undefined);
      if (!cut.equals(good)) expect(opened?.records).toBeUndefined();
    }),
  );
});
