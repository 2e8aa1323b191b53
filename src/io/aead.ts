/**
 * AES-256-GCM of datagrams by the addon, in one call each. By `node:crypto`, which makes an object for every datagram, it is eight times as dear
 * (measured: 8.5 µs and 1).
 */
import { checkCall, loadNative, type Native } from './native.ts';

const TAG_SIZE = 16;

export class NativeAead {
  readonly #native: Native = loadNative();
  readonly #key: Uint8Array;
  readonly #headerSize: number;

  /** @param key 32 bytes. @param headerSize bytes before the text, authenticated */
  constructor(key: Uint8Array, headerSize: number) {
    this.#key = key;
    this.#headerSize = headerSize;
  }

  /** Fills what is behind the header. @param datagram header, room for the text, and for a tag of 16 bytes */
  seal(nonce: Uint8Array, datagram: Uint8Array, text: Uint8Array): void {
    checkCall('AES-GCM', this.#native.aeadSeal(this.#key, nonce, datagram, text, this.#headerSize));
  }

  /** @returns undefined when the tag does not fit, or there is none. Never throws. */
  open(nonce: Uint8Array, datagram: Uint8Array): Buffer | undefined {
    const size = datagram.length - this.#headerSize - TAG_SIZE;
    if (size < 0) return undefined;
    const text = Buffer.allocUnsafe(size);
    return this.#native.aeadOpen(this.#key, nonce, datagram, text, this.#headerSize) === 0 ? text : undefined;
  }
}
