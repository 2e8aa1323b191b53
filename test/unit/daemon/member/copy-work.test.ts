/** Copies of a table in small steps, and what does not belong into one. */
import { describe, expect, test } from 'vitest';
import type { ServiceSpec } from '../../../../src/balance/generation.ts';
import { BIT_ESTABLISHED, type Entry } from '../../../../src/cluster/entry.ts';
import { RecordWriter } from '../../../../src/cluster/messages.ts';
import type { EntryRecord } from '../../../../src/cluster/records.ts';
import { KIND_FLOW, KIND_SESSION, SessionKey } from '../../../../src/cluster/session-key.ts';
import { CopyWork } from '../../../../src/daemon/member/copy-work.ts';
import { wireId } from '../../../../src/daemon/member/ids.ts';
import { Members } from '../../../support/members.ts';
import * as pathPackets from '../../../support/path-packets.ts';

const HEX = (index: number): string => `${(index + 16).toString(16).padStart(8, '0')}00000000`;

function members(changes: Partial<ServiceSpec> = {}): Members {
  const made = pathPackets.service(0, 4, changes);
  const servers = made.servers.map((server) => ({ ...server, id: HEX(server.index + 100) }));
  return new Members(2, [{ ...made, id: HEX(1), servers }]);
}

const SERVICE = wireId(HEX(1));
const SERVER = wireId(HEX(100));

function record(port: number, changes: Partial<EntryRecord> = {}): EntryRecord {
  const key = new SessionKey(SERVICE, KIND_FLOW, [0, 0, 0xffff, 0xc6336407], port, 80);
  const claim = { key, isn: port, previousIsn: -1, generation: 0, server: SERVER };
  const ages = { bits: BIT_ESTABLISHED, ageMs: 5_000, idleMs: 10 };
  return { type: 'entry', cause: 'copy', attempt: 0, ...claim, origin: 1, ...ages, ...changes };
}

function bytesOf(records: readonly EntryRecord[]): Uint8Array {
  const writer = new RecordWriter(64 * (records.length + 4), 1);
  for (const one of records) writer.write(one);
  return Uint8Array.from(writer.writer.bytes.subarray(0, writer.end));
}

/** Takes a piece in. @returns the steps that it took */
function take(work: CopyWork, bytes: Uint8Array): number {
  let steps = 0;
  let done = false;
  work.takeIn({ what: 'take', from: 1, bytes }, () => {
    done = true;
  });
  for (; !done; steps++) work.step();
  expect(work.isIdle).toBe(true);
  return steps;
}

/** The whole table, in pieces. */
function copyOut(member: Members['dispatchers'][number]['member']): Uint8Array[] {
  const out = new CopyWork(member);
  const pieces: Uint8Array[] = [];
  let cursor = 0;
  do {
    out.copyOut(cursor, (answer) => {
      pieces.push(answer.bytes);
      cursor = answer.cursor;
    });
    while (!out.isIdle) out.step();
  } while (cursor !== 0);
  return pieces;
}

describe('a copy', () => {
  test('goes in by steps and comes out whole', () => {
    const both = members();
    const [source, joiner] = both.dispatchers;
    const some = Array.from({ length: 900 }, (_, at) => record(1_000 + at));
    expect(take(new CopyWork(source!.member), bytesOf(some))).toBe(2);
    expect(source!.path.table.size).toBe(900);
    for (const piece of copyOut(source!.member)) take(new CopyWork(joiner!.member), piece);
    expect(joiner!.path.table.size).toBe(900);
    const entry = joiner!.member.store.find(some[7]!.key) as Entry;
    expect(entry).toMatchObject({ isn: 1_007, server: SERVER, bits: BIT_ESTABLISHED });
  });

  test('brings sessions before the flows that hold them, whatever their rows', () => {
    const client = [0, 0, 0xffff, 0xc6336407] as const;
    const session = record(0, { key: new SessionKey(SERVICE, KIND_SESSION, client, 0, 0), isn: 0 });
    const both = members({ affinity: { kind: 'client', prefix: 32 } });
    const [source, joiner] = both.dispatchers;
    const holders = ({ path, member }: (typeof both.dispatchers)[number]): number =>
      path.table.isn(member.store.keys.rowOf(session.key));
    // The flow is in a row before its session's: it came first, and has taken hold when it was refreshed.
    for (const one of [record(1_000), session, record(1_000, { idleMs: 0 })])
      take(new CopyWork(source!.member), bytesOf([one]));
    expect(holders(source!)).toBe(1);
    for (const piece of copyOut(source!.member)) take(new CopyWork(joiner!.member), piece);
    expect(joiner!.path.table.size).toBe(2);
    expect(holders(joiner!)).toBe(1);
  });

  test('has no answers, repairs or noise in it', () => {
    const both = members();
    const { member, path } = both.dispatchers[1]!;
    const sent: unknown[] = [];
    member.onDatagram = (peer) => sent.push(peer);
    const work = new CopyWork(member);
    take(work, bytesOf([record(1), record(2, { cause: 'repair' }), record(3, { cause: 'answer' })]));
    expect(path.table.size).toBe(1);
    take(
      work,
      Uint8Array.from({ length: 100 }, (_, at) => at),
    );
    expect(path.table.size).toBe(1);
    member.flush();
    expect(sent).toEqual([]);
  });

  test('has what this configuration does not know, and that ages like the rest', () => {
    const both = members();
    const { member } = both.dispatchers[0]!;
    const key = new SessionKey(77, KIND_FLOW, [0, 0, 0xffff, 9], 1, 80);
    take(new CopyWork(member), bytesOf([record(1), record(2, { key, server: 78, bits: 0 })]));
    expect(member.store.aside).toBe(1);
    const seen: number[] = [];
    let cursor = 0;
    do cursor = member.store.scan(cursor, 64, (entry) => seen.push(entry.key.service));
    while (cursor !== 0);
    expect(seen).toEqual([SERVICE, 77]);
    both.run(31_000);
    expect(member.store.aside).toBe(0);
  });
});
