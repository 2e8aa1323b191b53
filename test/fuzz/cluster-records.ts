/**
 * What an insider may say: plaintexts of datagrams, from noise to sound records about few keys, so that they meet what is there.
 */
import type { Prng } from '../../src/base/prng.ts';
import type { NodeId } from '../../src/cluster/identity.ts';
import { type AnyRecord, RecordWriter } from '../../src/cluster/messages.ts';
import { DIGEST_RANGES } from '../../src/cluster/messages-control.ts';
import type { EntryCause, LockRecord, Report } from '../../src/cluster/records.ts';
import { KIND_FLOW, KIND_SESSION, ReplyKey, SessionKey } from '../../src/cluster/session-key.ts';
import type { AddressWords } from '../../src/wire/address.ts';

const CAUSES: readonly EntryCause[] = [
  'selected',
  'changed',
  'refresh',
  'answer',
  'repair',
  'correction',
  'copy',
];
/** Room for records that fill a datagram of 1,500 bytes, and for one more. */
const ROOM = 4_096;
const FULL = 1_300;

/** What records may be about. */
export interface Vocabulary {
  readonly nodes: readonly NodeId[];
  readonly services: readonly number[];
  readonly servers: readonly number[];
  /** Addresses of clients and servers. */
  readonly addresses: readonly AddressWords[];
  /** First 32 bits of the incarnation of the dispatcher that is spoken to. */
  readonly tag: number;
}

export class RecordDraw {
  readonly #prng: Prng;
  readonly #words: Vocabulary;

  constructor(prng: Prng, words: Vocabulary) {
    this.#prng = prng;
    this.#words = words;
  }

  /** A plaintext of sound records. @param sealed datagrams that may ride in a repair */
  plaintext(sender: NodeId, sealed: readonly Buffer[]): Buffer {
    const writer = new RecordWriter(ROOM, sender);
    const most = this.#once(3) ? 200 : 1 + this.#prng.below(4);
    for (let left = most; left > 0 && writer.end < FULL; left--) {
      const record = this.record(sealed);
      if (record.type === 'repair' && writer.end + record.datagram.length > FULL) continue;
      writer.write(record);
    }
    return Buffer.from(writer.writer.bytes.subarray(0, writer.end));
  }

  /** One datagram full of locks of keys that nobody has heard of. */
  manyLocks(sender: NodeId): Buffer {
    const writer = new RecordWriter(ROOM, sender);
    while (writer.end < FULL) {
      const client: AddressWords = [0, 0, 0xffff, this.#prng.next()];
      const key = new SessionKey(this.#of(this.#words.services), KIND_FLOW, client, this.#port(), 80);
      writer.write({ ...this.#lock(), key, leaseMs: 65_535 });
    }
    return Buffer.from(writer.writer.bytes.subarray(0, writer.end));
  }

  /** As a peer sends that is up and hears the one it speaks to. */
  goodHeartbeat(sender: NodeId): Buffer {
    const writer = new RecordWriter(ROOM, sender);
    const hears = this.#words.nodes.map((node) => ({ node, tag: this.#words.tag }));
    const flags = { ready: true, flooding: false, flooded: false };
    writer.write({ type: 'heartbeat', ...flags, lastSequence: 0, configuration: 1, version: 1, hears });
    return Buffer.from(writer.writer.bytes.subarray(0, writer.end));
  }

  record(sealed: readonly Buffer[]): AnyRecord {
    const prng = this.#prng;
    switch (prng.below(16)) {
      case 0:
      case 1:
        return this.#lock();
      case 2:
        return { type: 'grant', key: this.#key(), attempt: this.#small(), reports: this.#reports() };
      case 3:
        return { type: 'refuse', attempt: this.#small(), lock: this.#lock() };
      case 4:
        return { type: 'unlock', key: this.#key(), attempt: this.#small() };
      case 5:
        return { type: 'question', question: this.#small(), about: this.#about() };
      case 6:
        return {
          type: 'no',
          question: this.#small(),
          about: this.#about(),
          reports: this.#reports(),
          flooded: this.#once(8),
        };
      case 7:
        return this.#control(sealed);
      default:
        return this.#entry();
    }
  }

  #control(sealed: readonly Buffer[]): AnyRecord {
    const prng = this.#prng;
    const sequences = (): number[] => Array.from({ length: prng.below(128) }, () => this.#sequence());
    switch (prng.below(12)) {
      case 0:
        return { type: 'repair-request', sequences: sequences() };
      case 1:
        return { type: 'gone', sequences: sequences() };
      case 2:
        return { type: 'digest', ranges: Uint32Array.from({ length: DIGEST_RANGES }, () => prng.below(3)) };
      case 3:
        return this.#once(20)
          ? { type: 'leave' }
          : { type: 'hello', challenge: Buffer.alloc(16, prng.next()) };
      case 4:
        return { type: 'hello-ack', echo: Buffer.alloc(16, prng.next()), lastSequence: this.#sequence() };
      case 5:
      case 6:
        return { type: 'repair', heldMs: this.#age(), datagram: this.#of(sealed) };
      default:
        return {
          type: 'heartbeat',
          ready: !this.#once(8),
          flooding: this.#once(50),
          flooded: this.#once(20),
          lastSequence: this.#sequence(),
          configuration: prng.next(),
          version: 1,
          hears: this.#words.nodes.map((node) => ({
            node,
            tag: this.#once(8) ? prng.next() : this.#words.tag,
          })),
        };
    }
  }

  #entry(): AnyRecord {
    const prng = this.#prng;
    return {
      type: 'entry',
      cause: this.#of(CAUSES),
      attempt: this.#once(3) ? this.#small() : 0,
      key: this.#key(),
      isn: this.#isn(),
      previousIsn: this.#once(2) ? -1 : this.#isn(),
      generation: this.#once(4) ? prng.below(256) : 0,
      server: this.#server(),
      origin: this.#once(8) ? prng.next() : this.#of(this.#words.nodes),
      bits: prng.below(16),
      ageMs: this.#age(),
      idleMs: this.#age(),
    };
  }

  #lock(): LockRecord {
    return {
      type: 'lock',
      key: this.#key(),
      attempt: this.#small(),
      isn: this.#isn(),
      previousIsn: this.#once(2) ? -1 : this.#isn(),
      generation: this.#once(4) ? this.#prng.below(256) : 0,
      server: this.#server(),
      leaseMs: this.#prng.below(this.#once(2) ? 300 : 65_536),
      confirm: this.#once(2),
    };
  }

  #key(): SessionKey {
    const service = this.#once(20) ? this.#prng.next() : this.#of(this.#words.services);
    const client = this.#address();
    if (this.#once(4)) return new SessionKey(service, KIND_SESSION, client, 0, 0);
    return new SessionKey(service, KIND_FLOW, client, this.#port(), 80 + this.#prng.below(5));
  }

  #about(): SessionKey | ReplyKey {
    if (this.#once(2)) {
      const client = this.#address();
      return new SessionKey(this.#of(this.#words.services), KIND_FLOW, client, this.#port(), 80);
    }
    const protocol = this.#once(2) ? 6 : 17;
    return new ReplyKey(protocol, this.#address(), 8080, this.#address(), this.#port());
  }

  #reports(): Report[] {
    return Array.from({ length: this.#prng.below(9) }, () => ({
      server: this.#server(),
      holder: this.#of(this.#words.nodes),
      tag: this.#prng.next(),
    }));
  }

  #address(): AddressWords {
    if (!this.#once(10)) return this.#of(this.#words.addresses);
    const prng = this.#prng;
    return this.#once(2) ? [0, 0, 0xffff, prng.next()] : [prng.next(), prng.next(), prng.next(), prng.next()];
  }

  #server(): number {
    return this.#once(12) ? this.#prng.next() : this.#of(this.#words.servers);
  }

  /** As attempts and questions are numbered: the current ones are hit now and then. */
  #small(): number {
    return this.#once(10) ? this.#prng.next() : this.#prng.below(5_000);
  }

  #isn(): number {
    return this.#once(4) ? this.#prng.next() : this.#prng.below(4);
  }

  #port(): number {
    return 1024 + this.#prng.below(64);
  }

  #age(): number {
    return this.#once(10) ? this.#prng.next() : this.#prng.below(60_000);
  }

  #sequence(): number {
    return this.#once(40) ? this.#prng.next() * 4_096 : this.#prng.below(20_000);
  }

  #of<Value>(values: readonly Value[]): Value {
    return values[this.#prng.below(values.length)]!;
  }

  #once(times: number): boolean {
    return this.#prng.below(times) === 0;
  }
}
