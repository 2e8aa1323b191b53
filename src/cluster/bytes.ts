/**
 * Reading and writing of big-endian integers in cluster datagrams. Control path.
 *
 * A reader never throws: past the end it reads zeros and says so in `failed`, which its user looks at once, at the end.
 */

import type { AddressWords } from '../wire/address.ts';

export class ByteWriter {
  readonly bytes: Buffer;
  end = 0;

  constructor(size: number) {
    this.bytes = Buffer.alloc(size);
  }

  u8(value: number): void {
    this.bytes[this.end++] = value;
  }

  u16(value: number): void {
    this.end = this.bytes.writeUInt16BE(Math.max(0, Math.min(0xffff, value)), this.end);
  }

  u32(value: number): void {
    this.end = this.bytes.writeUInt32BE(value >>> 0, this.end);
  }

  /** A count up to 2^48. */
  u48(value: number): void {
    this.end = this.bytes.writeUIntBE(value, this.end, 6);
  }

  /** A duration in ms, clamped to u32, rounded. */
  duration(ms: number): void {
    this.u32(Math.max(0, Math.min(0xffffffff, Math.round(ms))));
  }

  raw(bytes: Uint8Array): void {
    this.bytes.set(bytes, this.end);
    this.end += bytes.length;
  }

  address(words: AddressWords, short: boolean): void {
    if (!short) for (let index = 0; index < 3; index++) this.u32(words[index]!);
    this.u32(words[3]);
  }
}

export class ByteReader {
  readonly bytes: Buffer;
  at: number;
  readonly end: number;
  failed = false;

  constructor(bytes: Buffer, at = 0, end: number = bytes.length) {
    this.bytes = bytes;
    this.at = at;
    this.end = end;
  }

  get done(): boolean {
    return this.failed || this.at >= this.end;
  }

  take(size: number): number {
    const at = this.at;
    if (at + size > this.end) {
      this.failed = true;
      return -1;
    }
    this.at = at + size;
    return at;
  }

  u8(): number {
    const at = this.take(1);
    return at < 0 ? 0 : this.bytes[at]!;
  }

  u16(): number {
    const at = this.take(2);
    return at < 0 ? 0 : this.bytes.readUInt16BE(at);
  }

  u32(): number {
    const at = this.take(4);
    return at < 0 ? 0 : this.bytes.readUInt32BE(at);
  }

  u48(): number {
    const at = this.take(6);
    return at < 0 ? 0 : this.bytes.readUIntBE(at, 6);
  }

  raw(size: number): Buffer {
    const at = this.take(size);
    return at < 0 ? Buffer.alloc(0) : this.bytes.subarray(at, at + size);
  }

  address(short: boolean): AddressWords {
    if (short) return [0, 0, 0xffff, this.u32()];
    return [this.u32(), this.u32(), this.u32(), this.u32()];
  }
}
