/**
 * The bytes of session records, and of a datagram's plaintext: records one after another, to its end.
 *
 *     type   flags   body (big-endian)
 *      1 lock     attempt u32, [key, isn u32, [previous isn u32], [generation u16], server u32], lease ms u16
 *      2 grant    attempt u32, key, reports
 *      3 refuse   attempt u32, then the body of a lock
 *      4 unlock   attempt u32, key
 *      5 question number u32, key or reply tuple
 *      6 no       number u32, key or reply tuple, reports
 *      8-14 entry by cause: [attempt u32], [key, isn, [previous], [generation], server], [origin u32], bits u8, [age, idle ms u32]
 *     key: service u32, client 4 or 16 bytes, and of a flow client port u16, VIP port u16
 *     reply tuple: protocol u8, server 4 or 16, port u16, client 4 or 16, port u16
 *     reports: count u8, count x (server u32, holder u32, tag u32)
 *     flags: 1 same claim (key, isn, previous, generation, server) as in the record before; 2 IPv4; 4 session key, of
 *     question and no: reply tuple; 8 fresh: both ages below a millisecond; 16 origin is the sender; 32 previous isn
 *     there; 64 generation there; 128 lock: wants a grant, entry: attempt
 *     there, no: a flood is remembered
 *
 * An IPv4 flow under `announce` is a lock of 28 bytes and, in the same datagram, its entry of 7 (same claim, fresh, of the sender, with attempt);
 * a datagram has 48 bytes of header and tag, shared by up to 40 of them. Under `confirm`: 28, a grant of 19 or more, and an entry of 27.
 *
 * The decoder takes any bytes: what it cannot read ends the datagram, and all of it is refused.
 */

import { ByteWriter } from './bytes.ts';
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
  MAX_RECORD_SIZE,
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
import { type ControlRecord, controlSize, writeControl } from './messages-control.ts';
import type { EntryRecord, LockRecord, Report, SessionRecord } from './records.ts';
import { KIND_SESSION, type ReplyKey, SessionKey } from './session-key.ts';

export type AnyRecord = SessionRecord | ControlRecord;

/** Bytes that the record may take. */
export function recordSize(record: AnyRecord): number {
  return isControl(record) ? controlSize(record) : MAX_RECORD_SIZE;
}

export function isControl(record: AnyRecord): record is ControlRecord {
  switch (record.type) {
    case 'lock':
    case 'grant':
    case 'refuse':
    case 'unlock':
    case 'question':
    case 'no':
    case 'entry':
      return false;
    default:
      return true;
  }
}

/** Writes records one after another into a plaintext. */
export class RecordWriter {
  readonly writer: ByteWriter;
  readonly sender: NodeId;
  before: ClaimPart | undefined;

  /** @param size room in bytes; keep MAX_RECORD_SIZE free for the next record. */
  constructor(size: number, sender: NodeId) {
    this.writer = new ByteWriter(size);
    this.sender = sender;
  }

  get end(): number {
    return this.writer.end;
  }

  /** Begins anew in the same room: what was written must have been copied. */
  reset(): void {
    this.writer.end = 0;
    this.before = undefined;
  }

  write(record: AnyRecord): void {
    const { writer } = this;
    switch (record.type) {
      case 'lock':
        writer.u8(LOCK);
        this.lock(record, undefined);
        break;
      case 'refuse':
        writer.u8(REFUSE);
        this.lock(record.lock, record.attempt);
        break;
      case 'grant':
        writer.u8(GRANT);
        writer.u8(keyFlags(record.key));
        writer.u32(record.attempt);
        this.key(record.key);
        this.reports(record.reports);
        break;
      case 'unlock':
        writer.u8(UNLOCK);
        writer.u8(keyFlags(record.key));
        writer.u32(record.attempt);
        this.key(record.key);
        break;
      case 'question':
      case 'no':
        writer.u8(record.type === 'no' ? NO : QUESTION);
        this.about(record.about, record.question, record.type === 'no' && record.flooded ? LAST : 0);
        if (record.type === 'no') this.reports(record.reports);
        break;
      case 'entry':
        this.entry(record);
        break;
      default:
        writeControl(writer, record);
    }
  }

  lock(record: LockRecord, refused: number | undefined): void {
    const { writer } = this;
    writer.u8(this.claimFlags(record) | (record.confirm ? LAST : 0));
    if (refused !== undefined) writer.u32(refused);
    writer.u32(record.attempt);
    this.claim(record);
    // Rounded up: the granter's time must not end before the holder's.
    writer.u16(Math.ceil(record.leaseMs));
  }

  entry(record: EntryRecord): void {
    const { writer } = this;
    const fresh = record.ageMs < 1 && record.idleMs < 1;
    writer.u8(ENTRY + CAUSES.indexOf(record.cause));
    writer.u8(
      this.claimFlags(record) |
        (fresh ? FRESH : 0) |
        (record.origin === this.sender ? FROM_SENDER : 0) |
        (record.attempt !== 0 ? LAST : 0),
    );
    if (record.attempt !== 0) writer.u32(record.attempt);
    this.claim(record);
    if (record.origin !== this.sender) writer.u32(record.origin);
    writer.u8(record.bits & (record.cause === 'copy' ? COPY_BITS : WIRE_BITS));
    if (!fresh) {
      writer.duration(record.ageMs);
      writer.duration(record.idleMs);
    }
  }

  claimFlags(claim: ClaimPart): number {
    if (this.before !== undefined && sameClaim(this.before, claim)) return SAME;
    const previous = claim.previousIsn === NO_ISN ? 0 : PREVIOUS;
    return keyFlags(claim.key) | previous | (claim.generation === 0 ? 0 : GENERATION);
  }

  claim(claim: ClaimPart): void {
    const { writer } = this;
    const same = this.before !== undefined && sameClaim(this.before, claim);
    this.before = claim;
    if (same) return;
    this.key(claim.key);
    writer.u32(claim.isn);
    if (claim.previousIsn !== NO_ISN) writer.u32(claim.previousIsn);
    if (claim.generation !== 0) writer.u16(claim.generation);
    writer.u32(claim.server);
  }

  key(key: SessionKey): void {
    const { writer } = this;
    writer.u32(key.service);
    writer.address(key.client, isShort(key.client));
    if (key.kind === KIND_SESSION) return;
    writer.u16(key.clientPort);
    writer.u16(key.vipPort);
  }

  about(about: SessionKey | ReplyKey, question: number, flags: number): void {
    const { writer } = this;
    if (about instanceof SessionKey) {
      // Sessions are never asked about: the bit says reply tuple.
      writer.u8(flags | (isShort(about.client) ? IPV4 : 0));
      writer.u32(question);
      this.key(about);
      return;
    }
    const short = isShort(about.client) && isShort(about.server);
    writer.u8(flags | TUPLE | (short ? IPV4 : 0));
    writer.u32(question);
    writer.u8(about.protocol);
    writer.address(about.server, short);
    writer.u16(about.serverPort);
    writer.address(about.client, short);
    writer.u16(about.clientPort);
  }

  reports(reports: readonly Report[]): void {
    const told = reports.slice(-MAX_REPORTS);
    this.writer.u8(told.length);
    for (const one of told) {
      this.writer.u32(one.server);
      this.writer.u32(one.holder);
      this.writer.u32(one.tag);
    }
  }
}

function isShort(words: readonly [number, number, number, number]): boolean {
  return words[0] === 0 && words[1] === 0 && words[2] === 0xffff;
}

function keyFlags(key: SessionKey): number {
  return (isShort(key.client) ? IPV4 : 0) | (key.kind === KIND_SESSION ? SESSION : 0);
}

function sameClaim(a: ClaimPart, b: ClaimPart): boolean {
  if (a.isn !== b.isn || a.server !== b.server || a.generation !== b.generation) return false;
  return a.previousIsn === b.previousIsn && (a.key === b.key || a.key.text === b.key.text);
}
