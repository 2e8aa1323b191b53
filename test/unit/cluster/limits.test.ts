/** What an insider can make grow, and where it ends: each limit has its counter, and the dispatcher goes on. */
import { expect, it } from 'vitest';
import { addReports, MAX_REMEMBERED, Remembered } from '../../../src/cluster/lock-state.ts';
import { MAX_LEARNT_LOCKS } from '../../../src/cluster/locks.ts';
import type { LockRecord, SessionRecord } from '../../../src/cluster/records.ts';
import { Sealer, STREAM_BROADCAST } from '../../../src/cluster/seal.ts';
import { SessionKey } from '../../../src/cluster/session-key.ts';
import { FLOW, Pair } from '../../support/cluster-pair.ts';

const keyOf = (port: number): SessionKey =>
  new SessionKey(1, 0, [0, 0, 0xffff, port >>> 16], port & 0xffff, 53);

function lock(port: number, attempt = 1): LockRecord {
  const claim = { key: keyOf(port), isn: 0, previousIsn: -1, generation: 0, server: 4 };
  return { type: 'lock', attempt, ...claim, leaseMs: 250, confirm: true };
}

function ready(): Pair {
  const pair = new Pair();
  pair.run(2_500);
  return pair;
}

function hear(pair: Pair, records: readonly SessionRecord[]): ReturnType<Pair['nodes'][0]['core']['step']> {
  const event = { kind: 'records', from: 1, records, repaired: false, heldMs: 0 } as const;
  return pair.nodes[1].core.step(pair.now, event);
}

it('locks of others beyond the limit are neither learnt nor granted', () => {
  const pair = ready();
  const { core } = pair.nodes[1];
  for (let port = 0; port < MAX_LEARNT_LOCKS; port++) hear(pair, [lock(port)]);
  expect(core.locks.table.size).toBe(MAX_LEARNT_LOCKS);
  expect(hear(pair, [lock(MAX_LEARNT_LOCKS)])).toEqual([]);
  expect(core.context.counters.locksRefused).toBe(1);
  pair.run(300);
  expect(core.locks.table.size).toBe(0);
  expect(core.locks.remembered.byKey.size).toBe(MAX_REMEMBERED);
  const [grant] = hear(pair, [lock(MAX_LEARNT_LOCKS)]);
  expect(grant).toMatchObject({ kind: 'send', record: { type: 'grant' } });
});

it('attempts after attempts for one key do not fill the deadlines', () => {
  const pair = ready();
  const { locks } = pair.nodes[1].core;
  for (let attempt = 1; attempt <= 300_000; attempt++) hear(pair, [lock(1, attempt)]);
  expect(locks.table.size).toBe(1);
  expect(locks.deadlines.size).toBeLessThanOrEqual(262_144);
});

it('intentions are forgotten oldest first', () => {
  const remembered = new Remembered();
  const told = { server: 4, holder: 1, tag: 1 };
  const report = { ...told, generation: 0, attempt: 1, replaced: false };
  for (let at = 0; at < MAX_REMEMBERED; at++) expect(remembered.add(`${at}`, report, 100)).toBe(false);
  expect(remembered.add('one more', report, 100)).toBe(true);
  expect(remembered.byKey.size).toBe(MAX_REMEMBERED);
  expect(remembered.of('0', 0)).toEqual([]);
  expect(remembered.of('one more', 0)).toMatchObject([told]);
});

it('reports are held once each, and not without end', () => {
  const report = { server: 4, holder: 1, tag: 1 };
  expect(addReports([report], [report, { ...report, tag: 2 }])).toHaveLength(2);
  const many = Array.from({ length: 1_000 }, (_, tag) => ({ ...report, tag }));
  expect(addReports([], many).length).toBeLessThanOrEqual(64);
});

it('one small request does not have the whole ring sent, and what is put off comes later', () => {
  const pair = ready();
  const [first] = pair.nodes;
  for (let at = 0; at < 1_000; at++) first.link.ring.add(Buffer.alloc(1_300), pair.now);
  const sequences = Array.from({ length: 128 }, (_, at) => first.link.ring.last - at);
  for (let times = 0; times < 20; times++) first.repairs.answer(2, sequences, pair.now);
  expect(first.link.queued(2)).toBe(512);
  expect(first.link.counters.limitedRepairs).toBe(20 * 128 - 512);
  first.flush(pair.now);
  first.repairs.answer(2, sequences, pair.now);
  expect(first.link.queued(2)).toBe(128);
});

it('keys that open nothing are not kept', () => {
  const sealer = new Sealer([Buffer.alloc(32, 9)]);
  const self = { node: 2, incarnation: 'aa'.repeat(16) };
  const forged = Buffer.alloc(100);
  for (let at = 0; at < 2_000; at++) {
    const incarnation = at.toString(16).padStart(32, '0');
    const header = { stream: STREAM_BROADCAST, sender: { node: 1, incarnation }, sequence: 1 } as const;
    expect(sealer.open(header, self, forged)).toBeUndefined();
  }
  expect(sealer.derived.size).toBe(0);
});

it('a recording of a dispatcher that still runs is worth nothing to one that started anew', () => {
  const pair = ready();
  pair.nodes[0].core.step(pair.now, { kind: 'note', key: FLOW, bits: 0 });
  pair.recorded.length = 0;
  pair.step(1, { kind: 'deadline' });
  const entry = {
    type: 'entry',
    cause: 'selected',
    attempt: 1,
    key: FLOW,
    isn: 0,
    previousIsn: -1,
    generation: 0,
    server: 4,
    origin: 1,
    bits: 0,
    ageMs: 0,
    idleMs: 0,
  } as const;
  pair.nodes[0].link.broadcast(entry);
  pair.step(1, { kind: 'deadline' });
  const old = pair.sent.filter(({ to, bytes }) => to === 2 && bytes[3] === STREAM_BROADCAST);
  expect(old).toHaveLength(1);
  pair.sent = [];
  pair.nodes[1] = pair.make(2);
  const joiner = pair.nodes[1];
  // Just believed, before the first heartbeat: the moment at which nothing of the stream was heard yet.
  while (joiner.membership.members.get(1)!.incarnation === '') pair.run(1);
  const { heardAt } = joiner.membership.members.get(1)!;
  const before = joiner.link.counters.refusedReplay;
  joiner.step(pair.now + 400, { kind: 'datagram', bytes: old[0]!.bytes });
  expect(joiner.link.counters.refusedReplay).toBe(before + 1);
  expect(joiner.core.context.store.find(FLOW)).toBeUndefined();
  expect(joiner.membership.members.get(1)!.heardAt).toBe(heardAt);
});
