/**
 * Sealed datagrams: AES-256-GCM, with a key per sender, incarnation and stream (PROTOCOL.md, "nobody else speaks").
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

/** AES-256-GCM under one key, over datagrams: header, which is authenticated, text, tag. */
export interface Aead {
  /** Fills what is behind the header. */
  seal(nonce: Buffer, datagram: Buffer, plaintext: Uint8Array): void;
  /** @returns undefined when the tag does not fit. Never throws. */
  open(nonce: Buffer, datagram: Buffer): Buffer | undefined;
}

/** @param key 32 bytes */
export type AeadOf = (key: Buffer) => Aead;

/** By Node's own interface, which makes an object for each datagram; where speed matters another is given. */
export const nodeAead: AeadOf = (key) => ({
  seal(nonce, datagram, plaintext) {
    const cipher = createCipheriv('aes-256-gcm', key, nonce);
    cipher.setAAD(datagram.subarray(0, HEADER_SIZE));
    datagram.set(cipher.update(plaintext), HEADER_SIZE);
    cipher.final();
    datagram.set(cipher.getAuthTag(), HEADER_SIZE + plaintext.length);
  },
  open(nonce, datagram) {
    const end = datagram.length - TAG_SIZE;
    const decipher = createDecipheriv('aes-256-gcm', key, nonce);
    decipher.setAAD(datagram.subarray(0, HEADER_SIZE));
    decipher.setAuthTag(datagram.subarray(end));
    const plaintext = decipher.update(datagram.subarray(HEADER_SIZE, end));
    try {
      decipher.final();
    } catch {
      return undefined;
    }
    return plaintext;
  },
});

/** Seals and opens with the keys of one cluster: the first seals, all open (two during a rotation). */
export class Sealer {
  readonly clusterKeys: readonly Buffer[];
  readonly aeadOf: AeadOf;
  /** By what they were derived for. */
  readonly derived = new Map<string, Aead>();
  readonly nonce = Buffer.alloc(12);

  /** @param clusterKeys 32 bytes each, the one to seal with first */
  constructor(clusterKeys: readonly Buffer[], aeadOf: AeadOf = nodeAead) {
    this.clusterKeys = clusterKeys;
    this.aeadOf = aeadOf;
  }

  /** The key for a name, whether it is kept or not. */
  aead(index: number, info: string, name: string): Aead {
    const kept = this.derived.get(name);
    if (kept !== undefined) return kept;
    const key = hkdfSync('sha256', this.clusterKeys[index]!, Buffer.alloc(0), info, 32);
    return this.aeadOf(Buffer.from(key));
  }

  keep(name: string, aead: Aead): void {
    if (this.derived.has(name)) return;
    if (this.derived.size >= MAX_KEYS) this.derived.clear();
    this.derived.set(name, aead);
  }

  seal(header: Header, receiver: Life | undefined, plaintext: Uint8Array): Buffer {
    const bytes = Buffer.alloc(HEADER_SIZE + plaintext.length + TAG_SIZE);
    bytes.writeUInt16BE(MAGIC, 0);
    bytes[2] = PROTOCOL_VERSION;
    bytes[3] = header.stream;
    bytes.writeUInt32BE(header.sender.node, 4);
    bytes.write(header.sender.incarnation, 8, 'hex');
    bytes.writeUIntBE(header.sequence, 26, 6);
    const info = keyInfo(header.stream, header.sender, receiver);
    const name = `0 ${info}`;
    const aead = this.aead(0, info, name);
    this.keep(name, aead);
    this.nonce.writeUIntBE(header.sequence, 6, 6);
    aead.seal(this.nonce, bytes, plaintext);
    return bytes;
  }

  /** @returns undefined when no key opens it. Never throws. */
  open(header: Header, receiver: Life, bytes: Buffer): Buffer | undefined {
    const info = keyInfo(header.stream, header.sender, receiver);
    this.nonce.writeUIntBE(header.sequence, 6, 6);
    for (let index = 0; index < this.clusterKeys.length; index++) {
      const name = `${index} ${info}`;
      const aead = this.aead(index, info, name);
      const plaintext = aead.open(this.nonce, bytes);
      if (plaintext === undefined) continue; // The tag does not fit: not this key.
      this.keep(name, aead);
      return plaintext;
    }
    return undefined;
  }
}

/** What a key is derived for. */
function keyInfo(stream: StreamKind, sender: Life, receiver: Life | undefined): string {
  const to =
    stream === STREAM_UNICAST && receiver !== undefined ? `${receiver.node}/${receiver.incarnation}` : 'all';
  return `latchway 1/${stream}/${sender.node}/${sender.incarnation}/${to}`;
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
