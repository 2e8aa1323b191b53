/**
 * Gaps in the broadcast streams: asked for at their sender, answered out of the ring of sent datagrams, opened again as they were sealed.
 *
 * What has left the ring, or is so old that what it opened may be closed and forgotten, is `gone`: digests bring it, or a new copy while joining (rules 13 and 16 of PROTOCOL.md).
 */

import type { NodeId } from './identity.ts';
import type { Link } from './link.ts';
import type { Member } from './membership.ts';
import { isControl } from './messages.ts';
import { readRecords } from './messages-read.ts';
import type { SessionRecord } from './records.ts';
import { type Life, readHeader, STREAM_BROADCAST } from './seal.ts';

/** How often gaps are looked at while there are any. */
const REPAIR_TICK_MS = 2;
/** Records queued toward a peer beyond which nothing more is repaired in this turn; it asks again. A request of 6 bytes a datagram must not fill the memory. */
const MAX_QUEUED = 512;

export class Repairs {
  /** When gaps are to be looked at, ms; Infinity: there are none. */
  askAt = 0;
  readonly link: Link;
  readonly self: Life;
  /** Nothing that was sent longer ago is sent again, ms. */
  readonly maxHeldMs: number;

  /** @param tombstoneMs how long the end of a session is remembered at the least: what is older could bring it back (rule 13) */
  constructor(link: Link, self: Life, tombstoneMs: number) {
    this.link = link;
    this.self = self;
    this.maxHeldMs = tombstoneMs / 2;
  }

  /** Something of this sender may be missing. */
  missing({ stream }: Member, now: number): void {
    if (stream.missing.size > 0) this.askAt = Math.min(this.askAt, now + REPAIR_TICK_MS);
  }

  /** Asks a sender for what is missing of its stream and due. */
  ask({ peer, stream }: Member, now: number): void {
    if (stream.missing.size === 0 || !peer.up) return;
    const sequences = stream.toAsk(now);
    if (sequences.length > 0) this.link.unicast(peer.node, { type: 'repair-request', sequences });
    this.askAt = now + REPAIR_TICK_MS;
  }

  answer(to: NodeId, sequences: readonly number[], now: number): void {
    const gone: number[] = [];
    for (const sequence of sequences) {
      const sent = this.link.ring.get(sequence);
      if (sent === undefined || now - sent.sentAt > this.maxHeldMs) gone.push(sequence);
      else if (this.link.queued(to) >= MAX_QUEUED) this.link.counters.limitedRepairs++;
      else this.link.unicast(to, { type: 'repair', heldMs: now - sent.sentAt, datagram: sent.datagram });
    }
    if (gone.length > 0) this.link.unicast(to, { type: 'gone', sequences: gone });
  }

  /** A datagram of the broadcast stream, sealed as it was, out of its sender's ring. @returns what is in it, if it is sound and new */
  open(member: Member, datagram: Buffer, now: number): SessionRecord[] | undefined {
    const header = readHeader(datagram);
    if (header === undefined || header.stream !== STREAM_BROADCAST) return undefined;
    const { sender } = header;
    if (sender.node !== member.peer.node || sender.incarnation !== member.incarnation) return undefined;
    const plaintext = this.link.sealer.open(header, this.self, datagram);
    const records = plaintext && readRecords(plaintext, sender.node);
    if (records === undefined || !member.stream.heard(header.sequence, now)) return undefined;
    member.stream.repaired++;
    return records.filter((record): record is SessionRecord => !isControl(record));
  }
}
