// UDP and raw sockets in batches, over loopback: sources, truncation, and destinations that are refused one by one.
import { execFileSync } from 'node:child_process';
import { constants } from 'node:os';
import { describe, expect, onTestFinished, test } from 'vitest';
import { LatchwayError } from '../../src/base/fault.ts';
import { createTally, loadNative } from '../../src/io/native.ts';
import { RawSender } from '../../src/io/raw-socket.ts';
import { openRaw, openUdp, type Socket } from '../../src/io/socket.ts';
import { openTun, TunDevice } from '../../src/io/tun.ts';
import { parseAddress } from '../../src/wire/address.ts';
import { Batch } from '../../src/wire/batch.ts';
import { PROTOCOL_IPIP, PROTOCOL_IPV6 } from '../../src/wire/protocol.ts';
import { readUntil, uniqueName } from './namespace.ts';

const { EACCES, EAFNOSUPPORT, EAGAIN, EBADF, EINVAL, EMSGSIZE } = constants.errno;

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

/** A UDP socket on loopback and its port. */
function listen(family: 4 | 6): Socket & { readonly port: number } {
  const address = parseAddress(family === 4 ? '127.0.0.1' : '::1')!;
  const socket = keep(
    openUdp(family, { local: { address, port: 0 }, receiveBytes: 1 << 20, sendBytes: 1 << 20 }),
  );
  const port = loadNative().socketPort(socket.fd);
  expect(port).toBeGreaterThan(0);
  return { ...socket, port };
}

/** Waits until the socket is readable: what was sent over loopback is there. */
function untilReadable(fd: number): void {
  expect(loadNative().poll(Int32Array.of(fd), new Int32Array(1), 20_000)).toBe(1);
}

/** `count` datagrams of 8 bytes, each with its number in front, at offsets 64 apart. */
function numbered(count: number): { bytes: Uint8Array; offsets: Uint32Array; lengths: Uint32Array } {
  const bytes = new Uint8Array(new SharedArrayBuffer(count * 64));
  const view = new DataView(bytes.buffer);
  for (let index = 0; index < count; index++) view.setUint32(index * 64, index);
  return { bytes, offsets: columns(count).map((_, index) => index * 64), lengths: columns(count).fill(8) };
}

describe('UDP', () => {
  test.each([4, 6] as const)(
    'IPv%i: 200 datagrams in one batch arrive in order with their source',
    (family) => {
      const native = loadNative();
      const sender = listen(family);
      const receiver = listen(family);
      const { bytes, offsets, lengths } = numbered(200);
      const target = addresses(family === 4 ? '127.0.0.1' : '::1');
      const tally = createTally();
      const ports = Uint32Array.of(receiver.port);
      const { fd, domain } = sender;
      const args = [fd, domain, bytes, offsets, lengths, columns(200), target, ports] as const;
      expect(native.sendBatch(...args, 0, 200, tally)).toBe(200);
      expect([...tally]).toEqual([200, 0, 0, 0]);

      untilReadable(receiver.fd);
      const into = numbered(256);
      into.bytes.fill(0xa5);
      const from = columns(256 * 4);
      const fromPorts = columns(256);
      const room = 64;
      const rest = [from, fromPorts, 0, 256, room, tally] as const;
      expect(native.receiveBatch(receiver.fd, into.bytes, into.offsets, into.lengths, ...rest)).toBe(200);
      expect([...tally]).toEqual([200, 0, 0, EAGAIN]);
      const view = new DataView(into.bytes.buffer);
      for (let index = 0; index < 200; index++) {
        expect(view.getUint32(index * 64)).toBe(index);
        expect(into.lengths[index]).toBe(8);
        expect([...from.subarray(index * 4, index * 4 + 4)]).toEqual([...target]);
        expect(fromPorts[index]).toBe(sender.port);
      }
      expect(native.receiveBatch(receiver.fd, into.bytes, into.offsets, into.lengths, ...rest)).toBe(0);
    },
  );

  test('a datagram longer than the room is seen, and does not spoil its neighbours', () => {
    const native = loadNative();
    const sender = listen(4);
    const receiver = listen(4);
    const { bytes, offsets } = numbered(4);
    const lengths = Uint32Array.of(32, 33, 0, 31);
    const tally = createTally();
    const target = addresses('127.0.0.1');
    const ports = Uint32Array.of(receiver.port);
    const { fd, domain } = sender;
    native.sendBatch(fd, domain, bytes, offsets, lengths, columns(4), target, ports, 0, 4, tally);
    untilReadable(receiver.fd);
    const into = new Uint8Array(256).fill(0xa5);
    const got = columns(4).fill(99);
    const from = columns(16);
    expect(native.receiveBatch(receiver.fd, into, offsets, got, from, columns(4), 0, 4, 32, tally)).toBe(4);
    expect([...tally]).toEqual([3, 1, EMSGSIZE, 0]);
    expect([...got]).toEqual([32, 0, 0, 31]);
    expect(into[64 + 32]).toBe(0xa5);
  });

  test('destinations that are refused do not stop the others', () => {
    const native = loadNative();
    const sender = listen(4);
    const receiver = listen(4);
    const { bytes, offsets, lengths } = numbered(300);
    const targets = columns(300).map((_, index) => index % 3);
    const places = addresses('127.0.0.1', '255.255.255.255', '2001:db8::1');
    const ports = Uint32Array.of(receiver.port, 9, 9);
    const tally = createTally();
    const { fd, domain } = sender;
    expect(native.sendBatch(fd, domain, bytes, offsets, lengths, targets, places, ports, 0, 300, tally)).toBe(
      300,
    );
    expect([...tally]).toEqual([100, 200, EAFNOSUPPORT, 0]);
    // Broadcast without SO_BROADCAST is the kernel's own refusal.
    expect(native.sendBatch(fd, domain, bytes, offsets, lengths, targets, places, ports, 1, 1, tally)).toBe(
      1,
    );
    expect([...tally]).toEqual([0, 1, EACCES, 0]);
    untilReadable(receiver.fd);
    const into = numbered(300);
    native.receiveBatch(
      receiver.fd,
      into.bytes,
      offsets,
      into.lengths,
      columns(1200),
      columns(300),
      0,
      300,
      64,
      tally,
    );
    expect(tally[0]).toBe(100);
    expect(new DataView(into.bytes.buffer).getUint32(99 * 64)).toBe(297);
  });

  test('a batch stops at an entry out of bounds, after what came before it', () => {
    const native = loadNative();
    const { fd, domain, port } = listen(4);
    const { bytes, offsets, lengths } = numbered(4);
    const tally = createTally();
    const place = addresses('127.0.0.1');
    const send = (targets: Uint32Array, first: number): number =>
      native.sendBatch(
        fd,
        domain,
        bytes,
        offsets,
        lengths,
        targets,
        place,
        Uint32Array.of(port),
        first,
        4 - first,
        tally,
      );
    expect(send(Uint32Array.of(0, 0, 1, 0), 0)).toBe(2);
    expect([...tally]).toEqual([2, 0, 0, EINVAL]);
    expect(send(Uint32Array.of(0, 0, 1, 0), 2)).toBe(-EINVAL);
    offsets[1] = bytes.length - 7;
    expect(send(columns(4), 0)).toBe(1);
    expect([...tally]).toEqual([1, 0, 0, EINVAL]);
  });

  test('a descriptor that is no socket is an error', () => {
    const native = loadNative();
    const { bytes, offsets, lengths } = numbered(1);
    const tally = createTally();
    const { AF_INET } = native.socketConstants;
    const one = columns(1);
    const place = addresses('127.0.0.1');
    expect(native.sendBatch(-1, AF_INET, bytes, offsets, lengths, one, place, one, 0, 1, tally)).toBe(-EBADF);
    expect(native.receiveBatch(-1, bytes, offsets, lengths, columns(4), one, 0, 1, 64, tally)).toBe(-EBADF);
  });

  test('options that the kernel refuses are typed faults, and leave nothing open', () => {
    const native = loadNative();
    const wrong = (): unknown => openUdp(4, { device: 'no-such-device' });
    expect(wrong).toThrow(LatchwayError);
    expect(() => openUdp(4, { ttl: 256 })).toThrow(/IP_TTL/);
    const local = { address: parseAddress('::1')!, port: 0 };
    expect(() => openUdp(4, { local })).toThrow(/bind failed: EAFNOSUPPORT/);
    expect(() => openUdp(6, { local: { address: parseAddress('2001:db8::77')!, port: 0 } })).toThrow(
      /EADDRNOTAVAIL/,
    );
    // The numbers that those had are given out again, in order: none is held.
    const fd = native.eventOpen();
    native.close(fd);
    expect(wrong).toThrow(LatchwayError);
    const again = native.eventOpen();
    native.close(again);
    expect(again).toBe(fd);
  });
});

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
    expect(batch.rawCount).toBe(0);

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
