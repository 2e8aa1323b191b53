/**
 * Sealed datagrams: AES-256-GCM, with a key per sender, incarnation and stream (design section 3, "nobody else speaks").
 *
 *      0  magic u16 = 0x4c57          8  incarnation of the sender, 16 bytes
 *      2  version u8 = 1             24  0 u16, sequence u48
 *      3  stream u8                  32  ciphertext, then the tag of 16 bytes
 *      4  sender u32
 *
 * The header is authenticated. The key is HKDF-SHA256 of the cluster key over stream, sender and its incarnation, and for
 * the unicast stream over receiver and its incarnation too: what was sent to an earlier life of ours does not open. The
 * nonce is the sequence, which never repeats under one key. Sources: NIST SP 800-38D, RFC 5869, RFC 6479 (the window).
 */

import { createCipheriv, createDecipheriv, hkdfSync } from 'node:crypto';
import type { NodeId } from './identity.ts';

export const PROTOCOL_VERSION = 1;
export const HEADER_SIZE = 32;
export const TAG_SIZE = 16;
export const INCARNATION_SIZE = 16;
const MAGIC = 0x4c57;

export const STREAM_HELLO = 0;
export const STREAM_BROADCAST = 1;
export const STREAM_UNICAST = 2;
export type StreamKind = typeof STREAM_HELLO | typeof STREAM_BROADCAST | typeof STREAM_UNICAST;

/** A dispatcher in one of its lives. */
export interface Life {
  readonly node: NodeId;
  /** 128 random bits as 32 hex digits. */
  readonly incarnation: string;
}

export interface Header {
  readonly stream: StreamKind;
  readonly sender: Life;
  readonly sequence: number;
}

/** First 32 bits of an incarnation: tells lives apart in heartbeats and reports. Never 0. */
export function tagOf(incarnation: string): number {
  return Number.parseInt(incarnation.slice(0, 8), 16) || 1;
}

/** Reads the header of anything. @returns undefined when it is not ours or of another version. */
export function readHeader(bytes: Buffer): Header | undefined {
  if (bytes.length < HEADER_SIZE + TAG_SIZE || bytes.readUInt16BE(0) !== MAGIC) return undefined;
  if (bytes[2] !== PROTOCOL_VERSION) return undefined;
  const stream = bytes[3];
  if (stream !== STREAM_HELLO && stream !== STREAM_BROADCAST && stream !== STREAM_UNICAST) return undefined;
  const incarnation = bytes.toString('hex', 8, 24);
  return { stream, sender: { node: bytes.readUInt32BE(4), incarnation }, sequence: bytes.readUIntBE(26, 6) };
}

/** Derived keys that are kept, at most so many; a life has three. Only of what they opened or sealed: a forger's are not. */
const MAX_KEYS = 1_024;

interface DerivedKey {
  /** What it was derived for. */
  readonly name: string;
  readonly key: Buffer;
}

/** Seals and opens with the keys of one cluster: the first seals, all open (two during a rotation). */
export class Sealer {
  readonly clusterKeys: readonly Buffer[];
  readonly derived = new Map<string, DerivedKey>();

  /** @param clusterKeys 32 bytes each, the one to seal with first. */
  constructor(clusterKeys: readonly Buffer[]) {
    this.clusterKeys = clusterKeys;
  }

  key(index: number, stream: StreamKind, sender: Life, receiver: Life | undefined): DerivedKey {
    const to =
      stream === STREAM_UNICAST && receiver !== undefined
        ? `${receiver.node}/${receiver.incarnation}`
        : 'all';
    const info = `latchway 1/${stream}/${sender.node}/${sender.incarnation}/${to}`;
    const name = `${index} ${info}`;
    return (
      this.derived.get(name) ?? {
        name,
        key: Buffer.from(hkdfSync('sha256', this.clusterKeys[index]!, Buffer.alloc(0), info, 32)),
      }
    );
  }

  keep(derived: DerivedKey): void {
    if (this.derived.has(derived.name)) return;
    if (this.derived.size >= MAX_KEYS) this.derived.clear();
    this.derived.set(derived.name, derived);
  }

  seal(header: Header, receiver: Life | undefined, plaintext: Uint8Array): Buffer {
    const bytes = Buffer.alloc(HEADER_SIZE + plaintext.length + TAG_SIZE);
    bytes.writeUInt16BE(MAGIC, 0);
    bytes[2] = PROTOCOL_VERSION;
    bytes[3] = header.stream;
    bytes.writeUInt32BE(header.sender.node, 4);
    bytes.write(header.sender.incarnation, 8, 'hex');
    bytes.writeUIntBE(header.sequence, 26, 6);
    const derived = this.key(0, header.stream, header.sender, receiver);
    this.keep(derived);
    const cipher = createCipheriv('aes-256-gcm', derived.key, nonce(header.sequence));
    cipher.setAAD(bytes.subarray(0, HEADER_SIZE));
    bytes.set(cipher.update(plaintext), HEADER_SIZE);
    cipher.final();
    bytes.set(cipher.getAuthTag(), HEADER_SIZE + plaintext.length);
    return bytes;
  }

  /** @returns undefined when no key opens it. Never throws. */
  open(header: Header, receiver: Life, bytes: Buffer): Buffer | undefined {
    const end = bytes.length - TAG_SIZE;
    for (let index = 0; index < this.clusterKeys.length; index++) {
      const derived = this.key(index, header.stream, header.sender, receiver);
      const decipher = createDecipheriv('aes-256-gcm', derived.key, nonce(header.sequence));
      decipher.setAAD(bytes.subarray(0, HEADER_SIZE));
      decipher.setAuthTag(bytes.subarray(end));
      const plaintext = decipher.update(bytes.subarray(HEADER_SIZE, end));
      try {
        decipher.final();
      } catch {
        // The tag does not fit: not this key.
        continue;
      }
      this.keep(derived);
      return plaintext;
    }
    return undefined;
  }
}

function nonce(sequence: number): Buffer {
  const bytes = Buffer.alloc(12);
  bytes.writeUIntBE(sequence, 6, 6);
  return bytes;
}

const WINDOW_BITS = 2_048;

/** Which sequences of a stream were seen: each is taken once, those too far back never. */
export class ReplayWindow {
  readonly words = new Uint32Array(WINDOW_BITS / 32);
  highest = 0;

  /** Marks a sequence (from 1). @returns whether it is new. Only for what was authenticated. */
  take(sequence: number): boolean {
    if (sequence <= 0 || sequence <= this.highest - WINDOW_BITS) return false;
    if (sequence > this.highest) {
      const from = Math.max(this.highest + 1, sequence - WINDOW_BITS + 1);
      for (let at = from; at <= sequence; at++) this.words[(at % WINDOW_BITS) >>> 5]! &= ~(1 << (at % 32));
      this.highest = sequence;
    }
    const word = (sequence % WINDOW_BITS) >>> 5;
    const bit = 1 << (sequence % 32);
    if ((this.words[word]! & bit) !== 0) return false;
    this.words[word]! |= bit;
    return true;
  }
}
