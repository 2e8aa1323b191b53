// UDP sockets in batches, over loopback: sources, truncation, and destinations that are refused one by one.
import { constants } from 'node:os';
import { describe, expect, test } from 'vitest';
import { LatchwayError } from '../../src/base/fault.ts';
import { createTally, loadNative } from '../../src/io/native.ts';
import { openUdp, type Socket } from '../../src/io/socket.ts';
import { parseAddress } from '../../src/wire/address.ts';
import { addresses, columns, keep, numbered, untilReadable } from '../support/sockets.ts';

const { EACCES, EAFNOSUPPORT, EAGAIN, EBADF, EINVAL, EMSGSIZE } = constants.errno;

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

/** Receives until `count` datagrams have come, in as many batches as that takes. @returns the tallies, added up */
function receiveAll(
  fd: number,
  count: number,
  ...[bytes, offsets, lengths, from, ports, room]: Columns
): number[] {
  const native = loadNative();
  const total = [0, 0, 0, 0];
  for (let got = 0; got < count; ) {
    untilReadable(fd);
    const tally = createTally();
    got += native.receiveBatch(
      fd,
      bytes,
      offsets,
      lengths,
      from,
      ports,
      got,
      offsets.length - got,
      room,
      tally,
    );
    total[0]! += tally[0]!;
    total[1]! += tally[1]!;
    // The last error is that of the batch in which there was one.
    total[2] = tally[2]! || total[2]!;
    total[3] = tally[3]!;
  }
  return total;
}

type Columns = [
  bytes: Uint8Array,
  offsets: Uint32Array,
  lengths: Uint32Array,
  from: Uint32Array,
  ports: Uint32Array,
  room: number,
];

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

      const into = numbered(256);
      into.bytes.fill(0xa5);
      const from = columns(256 * 4);
      const fromPorts = columns(256);
      const room = 64;
      const rest = [into.bytes, into.offsets, into.lengths, from, fromPorts, room] as const;
      expect(receiveAll(receiver.fd, 200, ...rest)).toEqual([200, 0, 0, EAGAIN]);
      const view = new DataView(into.bytes.buffer);
      for (let index = 0; index < 200; index++) {
        expect(view.getUint32(index * 64)).toBe(index);
        expect(into.lengths[index]).toBe(8);
        expect([...from.subarray(index * 4, index * 4 + 4)]).toEqual([...target]);
        expect(fromPorts[index]).toBe(sender.port);
      }
      const none = [from, fromPorts, 0, 256, room, tally] as const;
      expect(native.receiveBatch(receiver.fd, into.bytes, into.offsets, into.lengths, ...none)).toBe(0);
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
    const into = new Uint8Array(256).fill(0xa5);
    const got = columns(4).fill(99);
    const rest = [columns(16), columns(4), 32] as const;
    expect(receiveAll(receiver.fd, 4, into, offsets, got, ...rest)).toEqual([3, 1, EMSGSIZE, 0]);
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
    const into = numbered(300);
    const rest = [columns(1200), columns(300), 64] as const;
    expect(receiveAll(receiver.fd, 100, into.bytes, offsets, into.lengths, ...rest)[0]).toBe(100);
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
