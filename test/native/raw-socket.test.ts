// The IPIP sender against the real kernel: outer headers in all four pairs of families, refusals, fragments.
import { execFileSync } from 'node:child_process';
import { describe, expect, onTestFinished, test } from 'vitest';
import { createTally, loadNative } from '../../src/io/native.ts';
import { RawSender } from '../../src/io/raw-socket.ts';
import { openRaw, type Socket } from '../../src/io/socket.ts';
import { openTun, TunDevice } from '../../src/io/tun.ts';
import { parseAddress } from '../../src/wire/address.ts';
import { Batch } from '../../src/wire/batch.ts';
import { PROTOCOL_IPIP, PROTOCOL_IPV6 } from '../../src/wire/protocol.ts';
import { readUntil, uniqueName } from './namespace.ts';

/** Four words a row. */
function addresses(...texts: string[]): Uint32Array {
  return Uint32Array.from(texts.flatMap((text) => [...parseAddress(text)!.words]));
}

function columns(size: number): Uint32Array {
  return new Uint32Array(size);
}

function keep(socket: Socket): Socket {
  onTestFinished(() => void loadNative().close(socket.fd));
  return socket;
}

/** Waits until the socket is readable: what was sent over loopback is there. */
function untilReadable(fd: number): void {
  expect(loadNative().poll(Int32Array.of(fd), new Int32Array(1), 20_000)).toBe(1);
}

/** An IP packet of this family that says nothing but its version and a mark at its end. */
function innerPacket(batch: Batch, family: number, length: number, mark: number): number {
  const offset = batch.allocScratch();
  batch.bytes.fill(0, offset, offset + length);
  batch.bytes[offset] = family === 4 ? 0x45 : 0x60;
  batch.bytes[offset + length - 1] = mark;
  return offset;
}

/** Receives one packet of a raw socket whose last byte is `mark`; others belong to somebody else's test. */
function receiveMarked(socket: Socket, mark: number): Uint8Array {
  const native = loadNative();
  const bytes = new Uint8Array(70_000);
  const length = columns(1);
  for (;;) {
    untilReadable(socket.fd);
    native.receiveBatch(
      socket.fd,
      bytes,
      columns(1),
      length,
      columns(4),
      columns(1),
      0,
      1,
      bytes.length,
      createTally(),
    );
    if (bytes[length[0]! - 1] === mark) return bytes.slice(0, length[0]);
  }
}

describe('the IPIP sender', () => {
  test('puts each packet into the outer header of its server, in all four pairs of families', () => {
    const options = { receiveBytes: 1 << 20 };
    const receivers = {
      '4 in 4': keep(openRaw(4, PROTOCOL_IPIP, options)),
      '6 in 4': keep(openRaw(4, PROTOCOL_IPV6, options)),
      '4 in 6': keep(openRaw(6, PROTOCOL_IPIP, options)),
      '6 in 6': keep(openRaw(6, PROTOCOL_IPV6, options)),
    };
    const sender = new RawSender({ ttl: 17 });
    onTestFinished(() => sender.close());
    const batch = new Batch(1, 8);
    const servers = addresses('::1', '127.0.0.1');
    batch.pushRaw(innerPacket(batch, 4, 100, 0x44), 100, 1);
    batch.pushRaw(innerPacket(batch, 6, 101, 0x64), 101, 1);
    batch.pushRaw(innerPacket(batch, 4, 102, 0x46), 102, 0);
    batch.pushRaw(innerPacket(batch, 6, 103, 0x66), 103, 0);
    batch.pushRaw(innerPacket(batch, 4, 104, 0), 104, 2); // no such server
    expect(sender.send(batch, servers)).toBe(1);
    // The list is the batch's: what other senders have to send is still on it.
    expect(batch.rawCount).toBe(5);

    // A raw IPv4 socket shows the outer header, a raw IPv6 socket does not.
    const fourInFour = receiveMarked(receivers['4 in 4'], 0x44);
    expect([fourInFour.length, fourInFour[8], fourInFour[9], fourInFour[20]]).toEqual([120, 17, 4, 0x45]);
    const sixInFour = receiveMarked(receivers['6 in 4'], 0x64);
    expect([sixInFour.length, sixInFour[8], sixInFour[9], sixInFour[20]]).toEqual([121, 17, 41, 0x60]);
    const fourInSix = receiveMarked(receivers['4 in 6'], 0x46);
    expect([fourInSix.length, fourInSix[0]]).toEqual([102, 0x45]);
    const sixInSix = receiveMarked(receivers['6 in 6'], 0x66);
    expect([sixInSix.length, sixInSix[0]]).toEqual([103, 0x60]);
  });

  test('counts a packet that no outer header can hold, and sends the next', () => {
    const receiver = keep(openRaw(4, PROTOCOL_IPIP, { receiveBytes: 1 << 20 }));
    const sender = new RawSender({});
    onTestFinished(() => sender.close());
    const batch = new Batch(2);
    batch.bytes[batch.rxOffset[0]!] = 0x45;
    batch.pushRaw(batch.rxOffset[0]!, 65_535, 0);
    batch.pushRaw(innerPacket(batch, 4, 60, 0x99), 60, 0);
    expect(sender.send(batch, addresses('127.0.0.1'))).toBe(1);
    expect(receiveMarked(receiver, 0x99).length).toBe(80);
  });

  test('a packet larger than the path is fragmented outside', async () => {
    const name = uniqueName('lwt');
    const queue = openTun({ name, multiQueue: false, exclusive: true });
    const device = new TunDevice(name, queue.fd);
    onTestFinished(() => device.close());
    execFileSync('ip', ['link', 'set', name, 'mtu', '1500', 'up']);
    // Bound to a device, a socket needs no route: the destination is taken to be on the link.
    const sender = new RawSender({ device: name });
    onTestFinished(() => sender.close());
    const batch = new Batch(8);
    const offset = batch.rxOffset[7]!;
    batch.bytes.fill(0x77, offset, offset + 4000);
    batch.bytes[offset] = 0x45;
    batch.pushRaw(offset, 4000, 0);
    expect(sender.send(batch, addresses('192.0.2.77'))).toBe(0);

    let payload = 0;
    let fragments = 0;
    await readUntil(device, batch, (at, length) => {
      if (batch.bytes[at] !== 0x45 || batch.bytes[at + 9] !== PROTOCOL_IPIP) return false;
      expect(length).toBeLessThanOrEqual(1500);
      expect(batch.view.getUint16(at + 6) & 0x4000).toBe(0);
      payload += length - 20;
      fragments++;
      return payload >= 4000;
    });
    expect([fragments, payload]).toEqual([3, 4000]);
  });
});
