/**
 * Content that both ends of a transfer can make by themselves and compare byte for byte: the 32-bit word at word
 * number i is a mix of i, so that a lost, repeated or moved stretch shows at its first byte.
 */

export const CHUNK_BYTES = 1 << 16;

/**
 * One chunk of the content.
 * @param {number} number from 0; the chunk covers bytes number * 65,536 onward
 * @returns {Buffer} 65,536 bytes, fresh
 */
export function chunk(number) {
  const words = new Uint32Array(CHUNK_BYTES / 4);
  const first = (number * words.length) >>> 0;
  for (let index = 0; index < words.length; index++) {
    const mixed = Math.imul((first + index) ^ 0x5bd1e995, 0x9e3779b1);
    words[index] = mixed ^ (mixed >>> 15);
  }
  return Buffer.from(words.buffer);
}

/** Compares a stream of buffers with the content, in whatever pieces they come. */
export class ContentCheck {
  bytes = 0;
  /** Offset of the first byte that is wrong, -1 as long as none is. */
  firstDifference = -1;
  #chunk = chunk(0);

  /** @param {Buffer} data the next bytes */
  push(data) {
    let offset = 0;
    while (offset < data.length) {
      const within = this.bytes % CHUNK_BYTES;
      if (within === 0) this.#chunk = chunk(this.bytes / CHUNK_BYTES);
      const count = Math.min(CHUNK_BYTES - within, data.length - offset);
      const same = data.compare(this.#chunk, within, within + count, offset, offset + count) === 0;
      if (!same && this.firstDifference < 0) {
        let wrong = 0;
        while (data[offset + wrong] === this.#chunk[within + wrong]) wrong++;
        this.firstDifference = this.bytes + wrong;
      }
      this.bytes += count;
      offset += count;
    }
  }
}

/**
 * Writes content to a stream, no faster than it takes it.
 * @param {import('node:stream').Writable} stream
 * @param {number} bytes
 */
export async function writeContent(stream, bytes) {
  let wake = () => {};
  stream.on('drain', () => wake());
  stream.on('close', () => wake());
  for (let sent = 0; sent < bytes && !stream.destroyed; sent += CHUNK_BYTES) {
    const data = chunk(sent / CHUNK_BYTES).subarray(0, Math.min(CHUNK_BYTES, bytes - sent));
    if (!stream.write(data)) {
      await new Promise((resolve) => {
        wake = () => resolve(undefined);
      });
    }
  }
  stream.end();
}
