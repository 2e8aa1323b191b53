/**
 * A sealed byte stream between two dispatchers: what TCP carries for copies of a table and for questions. Without I/O: bytes in, frames out.
 *
 *     hello, both ways, in the clear     magic "LWS1" u32, node u32, incarnation 16 bytes, nonce 16 bytes
 *     frame                              size u32 (of what follows), ciphertext, tag of 16 bytes
 *
 * AES-256-GCM with a key for each direction: HKDF-SHA256 of the cluster key, salted with both nonces, over both nodes and incarnations; the GCM nonce is
 * the frame's number, the size is authenticated with it. A recorded stream is worth nothing: the other end's nonce differs. Who cannot seal a
 * first frame is refused before more than FIRST_FRAME_SIZE bytes of it were kept. Sources: NIST SP 800-38D, RFC 5869.
 */
import { createCipheriv, createDecipheriv, hkdfSync } from 'node:crypto';
import type { NodeId } from './identity.ts';
import { INCARNATION_SIZE, type Life, TAG_SIZE } from './seal.ts';

const MAGIC = 0x4c575331;
const NONCE_SIZE = 16;
export const HELLO_SIZE: number = 8 + INCARNATION_SIZE + NONCE_SIZE;
/** Bytes of the largest frame, tag included: a piece of a copy of IPv6 entries, and room. */
export const FRAME_SIZE_MAX: number = 256 * 1024;
/** The first frame of a stranger is not waited for beyond that. */
export const FIRST_FRAME_SIZE = 4096;

export type StreamFault = 'not-ours' | 'stranger' | 'oversized' | 'seal';

/** One end. `receive` and `seal` may be called once `peer` is known. */
export class SealedStream {
  /** The other end, as its hello says; it is proven with the first frame that opens. */
  peer: Life | undefined;
  proven = false;
  readonly #caller: boolean;
  readonly #self: Life;
  readonly #clusterKeys: readonly Buffer[];
  readonly #isKnown: (node: NodeId) => boolean;
  readonly #nonce: Buffer;
  #peerNonce: Buffer = Buffer.alloc(0);
  #waiting: Buffer = Buffer.alloc(0);
  #keyIndex = 0;
  #sent = 0;
  #heard = 0;

  /**
   * @param caller whether this end opened the connection
   * @param clusterKeys 32 bytes each, the one to seal with first
   * @param isKnown whether a node is a dispatcher of the cluster other than this one
   * @param nonce 16 random bytes
   */
  constructor(options: {
    readonly caller: boolean;
    readonly self: Life;
    readonly clusterKeys: readonly Buffer[];
    readonly isKnown: (node: NodeId) => boolean;
    readonly nonce: Buffer;
  }) {
    this.#caller = options.caller;
    this.#self = options.self;
    this.#clusterKeys = options.clusterKeys;
    this.#isKnown = options.isKnown;
    this.#nonce = options.nonce;
  }

  /** The first bytes that this end sends. */
  hello(): Buffer {
    const bytes = Buffer.alloc(HELLO_SIZE);
    bytes.writeUInt32BE(MAGIC, 0);
    bytes.writeUInt32BE(this.#self.node, 4);
    bytes.write(this.#self.incarnation, 8, 'hex');
    this.#nonce.copy(bytes, 8 + INCARNATION_SIZE);
    return bytes;
  }

  /** Takes bytes as they come. @returns the frames that are complete now, or what is wrong: the connection is then to be closed. Never throws. */
  receive(bytes: Buffer): readonly Buffer[] | StreamFault {
    this.#waiting = this.#waiting.length === 0 ? bytes : Buffer.concat([this.#waiting, bytes]);
    if (this.peer === undefined) {
      if (this.#waiting.length < HELLO_SIZE) return [];
      const fault = this.#readHello();
      if (fault !== undefined) return fault;
    }
    const frames: Buffer[] = [];
    while (this.#waiting.length >= 4) {
      const size = this.#waiting.readUInt32BE(0);
      if (size < TAG_SIZE || size > this.#limit) return 'oversized';
      if (this.#waiting.length < 4 + size) break;
      const frame = this.#open(this.#waiting.subarray(0, 4 + size));
      if (frame === undefined) return 'seal';
      this.#waiting = this.#waiting.subarray(4 + size);
      frames.push(frame);
    }
    // So that a small rest does not hold on to a large buffer.
    this.#waiting = Buffer.from(this.#waiting);
    return frames;
  }

  /** Seals a frame. @param plaintext at most FRAME_SIZE_MAX less the tag; the first of the caller at most FIRST_FRAME_SIZE less it */
  seal(plaintext: Uint8Array): Buffer {
    const bytes = Buffer.alloc(4 + plaintext.length + TAG_SIZE);
    bytes.writeUInt32BE(plaintext.length + TAG_SIZE, 0);
    const key = this.#key(this.#keyIndex, this.#caller);
    const cipher = createCipheriv('aes-256-gcm', key, nonceOf(++this.#sent));
    cipher.setAAD(bytes.subarray(0, 4));
    bytes.set(cipher.update(plaintext), 4);
    cipher.final();
    bytes.set(cipher.getAuthTag(), 4 + plaintext.length);
    return bytes;
  }

  /** A caller chose whom it called; who is called knows nothing of the caller yet. */
  get #limit(): number {
    return this.proven || this.#caller ? FRAME_SIZE_MAX : FIRST_FRAME_SIZE;
  }

  #readHello(): StreamFault | undefined {
    const hello = this.#waiting;
    if (hello.readUInt32BE(0) !== MAGIC) return 'not-ours';
    const node = hello.readUInt32BE(4);
    if (!this.#isKnown(node)) return 'stranger';
    this.peer = { node, incarnation: hello.toString('hex', 8, 8 + INCARNATION_SIZE) };
    this.#peerNonce = Buffer.from(hello.subarray(8 + INCARNATION_SIZE, HELLO_SIZE));
    this.#waiting = hello.subarray(HELLO_SIZE);
    return undefined;
  }

  #open(bytes: Buffer): Buffer | undefined {
    const candidates = this.proven ? [this.#keyIndex] : this.#clusterKeys.map((_, index) => index);
    for (const index of candidates) {
      const end = bytes.length - TAG_SIZE;
      const decipher = createDecipheriv(
        'aes-256-gcm',
        this.#key(index, !this.#caller),
        nonceOf(this.#heard + 1),
      );
      decipher.setAAD(bytes.subarray(0, 4));
      decipher.setAuthTag(bytes.subarray(end));
      const plaintext = decipher.update(bytes.subarray(4, end));
      try {
        decipher.final();
      } catch {
        // The tag does not fit: not this key.
        continue;
      }
      this.#heard++;
      this.proven = true;
      // The answer is sealed with the key of the question.
      this.#keyIndex = index;
      return plaintext;
    }
    return undefined;
  }

  #key(index: number, ofCaller: boolean): Buffer {
    const peer = this.peer!;
    const [caller, callee] = this.#caller ? [this.#self, peer] : [peer, this.#self];
    const [first, second] = this.#caller ? [this.#nonce, this.#peerNonce] : [this.#peerNonce, this.#nonce];
    const info = `latchway stream 1/${ofCaller ? 'call' : 'answer'}/${caller.node}/${caller.incarnation}/${callee.node}/${callee.incarnation}`;
    const salt = Buffer.concat([first, second]);
    return Buffer.from(hkdfSync('sha256', this.#clusterKeys[index]!, salt, info, 32));
  }
}

function nonceOf(count: number): Buffer {
  const bytes = Buffer.alloc(12);
  bytes.writeUIntBE(count, 6, 6);
  return bytes;
}
