/** What tests of native sockets share: columns to pass, datagrams to tell apart, and sockets that go with their test. */
import { expect, onTestFinished } from 'vitest';
import { loadNative } from '../../src/io/native.ts';
import type { Socket } from '../../src/io/socket.ts';
import { parseAddress } from '../../src/wire/address.ts';

/** Four words a row. */
export function addresses(...texts: string[]): Uint32Array {
  return Uint32Array.from(texts.flatMap((text) => [...parseAddress(text)!.words]));
}

export function columns(size: number): Uint32Array {
  return new Uint32Array(size);
}

export function keep(socket: Socket): Socket {
  onTestFinished(() => void loadNative().close(socket.fd));
  return socket;
}

/** Waits until the socket is readable: the first of what was sent over loopback is there, and on a busy machine not always the rest. */
export function untilReadable(fd: number): void {
  expect(loadNative().poll(Int32Array.of(fd), new Int32Array(1), 120_000)).toBe(1);
}

/** `count` datagrams of 8 bytes, each with its number in front, at offsets 64 apart. */
export function numbered(count: number): { bytes: Uint8Array; offsets: Uint32Array; lengths: Uint32Array } {
  const bytes = new Uint8Array(new SharedArrayBuffer(count * 64));
  const view = new DataView(bytes.buffer);
  for (let index = 0; index < count; index++) view.setUint32(index * 64, index);
  return { bytes, offsets: columns(count).map((_, index) => index * 64), lengths: columns(count).fill(8) };
}
