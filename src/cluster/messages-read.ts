/**
 * The reader of datagrams' plaintext: takes any bytes. The layout is in messages.ts.
 */

import { ByteReader } from './bytes.ts';
import { COPY_BITS, NO_ISN, WIRE_BITS } from './entry.ts';
import type { NodeId } from './identity.ts';
import {
  CAUSES,
  type ClaimPart,
  ENTRY,
  FRESH,
  FROM_SENDER,
  GENERATION,
  GRANT,
  IPV4,
  LAST,
  LOCK,
  MAX_REPORTS,
  NO,
  PREVIOUS,
  QUESTION,
  REFUSE,
  SAME,
  SESSION,
  TUPLE,
  UNLOCK,
} from './message-layout.ts';
import type { AnyRecord } from './messages.ts';
import { readControl } from './messages-control.ts';
import type { EntryRecord, LockRecord, Report } from './records.ts';
import { KIND_FLOW, KIND_SESSION, ReplyKey, SessionKey } from './session-key.ts';

/** Reads all records of a plaintext. @returns undefined when any of it cannot be read. Never throws. */
export function readRecords(plaintext: Buffer, sender: NodeId): AnyRecord[] | undefined {
  const reader = new ByteReader(plaintext);
  const records: AnyRecord[] = [];
  let before: ClaimPart | undefined;
  while (!reader.done) {
    const record = readRecord(reader, sender, before);
    if (record === undefined || reader.failed) return undefined;
    if (record.type === 'lock' || record.type === 'entry') before = record;
    else if (record.type === 'refuse') before = record.lock;
    records.push(record);
  }
  return reader.failed ? undefined : records;
}

function readRecord(
  reader: ByteReader,
  sender: NodeId,
  before: ClaimPart | undefined,
): AnyRecord | undefined {
  const type = reader.u8();
  if (type >= 32) return readControl(type, reader);
  const flags = reader.u8();
  switch (type) {
    case LOCK:
      return readLock(reader, flags, before);
    case REFUSE: {
      const attempt = reader.u32();
      const lock = readLock(reader, flags, before);
      return lock === undefined ? undefined : { type: 'refuse', attempt, lock };
    }
    case GRANT: {
      const attempt = reader.u32();
      return { type: 'grant', attempt, key: readKey(reader, flags), reports: readReports(reader) };
    }
    case UNLOCK: {
      const attempt = reader.u32();
      return { type: 'unlock', attempt, key: readKey(reader, flags) };
    }
    case QUESTION: {
      const question = reader.u32();
      return { type: 'question', question, about: readAbout(reader, flags) };
    }
    case NO: {
      const question = reader.u32();
      const about = readAbout(reader, flags);
      return { type: 'no', question, about, reports: readReports(reader), flooded: (flags & LAST) !== 0 };
    }
    default:
      return readEntry(reader, type, flags, sender, before);
  }
}

function readLock(reader: ByteReader, flags: number, before: ClaimPart | undefined): LockRecord | undefined {
  const attempt = reader.u32();
  const claim = readClaim(reader, flags, before);
  if (claim === undefined) return undefined;
  return { type: 'lock', attempt, ...claim, leaseMs: reader.u16(), confirm: (flags & LAST) !== 0 };
}

function readEntry(
  reader: ByteReader,
  type: number,
  flags: number,
  sender: NodeId,
  before: ClaimPart | undefined,
): EntryRecord | undefined {
  const cause = CAUSES[type - ENTRY];
  if (cause === undefined) return undefined;
  const attempt = (flags & LAST) !== 0 ? reader.u32() : 0;
  const claim = readClaim(reader, flags, before);
  if (claim === undefined) return undefined;
  const origin = (flags & FROM_SENDER) !== 0 ? sender : reader.u32();
  const bits = reader.u8() & (cause === 'copy' ? COPY_BITS : WIRE_BITS);
  const fresh = (flags & FRESH) !== 0;
  const ageMs = fresh ? 0 : reader.u32();
  const idleMs = fresh ? 0 : reader.u32();
  return { type: 'entry', cause, attempt, ...claim, origin, bits, ageMs, idleMs };
}

function readClaim(reader: ByteReader, flags: number, before: ClaimPart | undefined): ClaimPart | undefined {
  if ((flags & SAME) !== 0) {
    if (before === undefined) return undefined;
    const { key, isn, previousIsn, generation, server } = before;
    return { key, isn, previousIsn, generation, server };
  }
  const key = readKey(reader, flags);
  const isn = reader.u32();
  const previousIsn = (flags & PREVIOUS) !== 0 ? reader.u32() : NO_ISN;
  const generation = (flags & GENERATION) !== 0 ? reader.u16() : 0;
  return { key, isn, previousIsn, generation, server: reader.u32() };
}

function readKey(reader: ByteReader, flags: number): SessionKey {
  const service = reader.u32();
  const client = reader.address((flags & IPV4) !== 0);
  if ((flags & SESSION) !== 0) return new SessionKey(service, KIND_SESSION, client, 0, 0);
  return new SessionKey(service, KIND_FLOW, client, reader.u16(), reader.u16());
}

function readAbout(reader: ByteReader, flags: number): SessionKey | ReplyKey {
  if ((flags & TUPLE) === 0) return readKey(reader, flags & IPV4);
  const short = (flags & IPV4) !== 0;
  const protocol = reader.u8();
  const server = reader.address(short);
  const serverPort = reader.u16();
  return new ReplyKey(protocol, server, serverPort, reader.address(short), reader.u16());
}

function readReports(reader: ByteReader): Report[] {
  const reports: Report[] = [];
  const count = reader.u8();
  if (count > MAX_REPORTS) reader.failed = true;
  for (let left = count; left > 0 && !reader.failed; left--) {
    reports.push({ server: reader.u32(), holder: reader.u32(), tag: reader.u32() });
  }
  return reports;
}
