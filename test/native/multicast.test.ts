// Groups of multicast over loopback: who joined hears them, by the interface that was named.
import { readFileSync } from 'node:fs';
import { constants } from 'node:os';
import { describe, expect, test } from 'vitest';
import { createTally, loadNative } from '../../src/io/native.ts';
import { openGroup, openUdp, sendGroupsBy } from '../../src/io/socket.ts';
import { parseAddress } from '../../src/wire/address.ts';
import { addresses, columns, keep, numbered, untilReadable } from '../support/sockets.ts';

const { EAFNOSUPPORT, EINVAL, ENODEV } = constants.errno;

describe('multicast', () => {
  /** Loopback brings back what is sent over it, whatever the socket says of its own copies. */
  const LOOPBACK = { device: 'lo', interfaceIndex: 1 };

  test('IPv4: those who joined the group hear it, and nothing else', () => {
    const [local, group, other] = ['127.0.0.1', '239.1.2.3', '239.1.2.4'];
    const native = loadNative();
    const sender = keep(
      openUdp(parseAddress(local)!.family, { local: { address: parseAddress(local)!, port: 0 } }),
    );
    sendGroupsBy(sender, LOOPBACK.interfaceIndex);
    const member = keep(openGroup({ group: parseAddress(group)!, ...LOOPBACK }, 0, 1 << 16));
    const port = native.socketPort(member.fd);
    const stranger = keep(openGroup({ group: parseAddress(other)!, ...LOOPBACK }, port, 1 << 16));

    const { bytes, offsets, lengths } = numbered(3);
    const places = addresses(group, other, local);
    const tally = createTally();
    const { fd, domain } = sender;
    // The third goes to the host itself, at the group's port.
    const targets = Uint32Array.of(0, 1, 2);
    native.sendBatch(
      fd,
      domain,
      bytes,
      offsets,
      lengths,
      targets,
      places,
      columns(3).fill(port),
      0,
      3,
      tally,
    );
    for (const [socket, number] of [
      [member, 0],
      [stranger, 1],
    ] as const) {
      untilReadable(socket.fd);
      const into = numbered(4);
      const from = columns(16);
      const rest = [from, columns(4), 0, 4, 64, tally] as const;
      expect(native.receiveBatch(socket.fd, into.bytes, into.offsets, into.lengths, ...rest)).toBe(1);
      expect(new DataView(into.bytes.buffer).getUint32(0)).toBe(number);
      expect([...from.subarray(0, 4)]).toEqual([...parseAddress(local)!.words]);
    }
  });

  test('IPv6: a group of a link is joined and sent to on that link', () => {
    const native = loadNative();
    const socket = keep(openUdp(6, { local: { address: parseAddress('::1')!, port: 0 } }));
    sendGroupsBy(socket, LOOPBACK.interfaceIndex);
    const group = keep(openGroup({ group: parseAddress('ff12::7373')!, ...LOOPBACK }, 0, 1 << 16));
    expect(native.socketPort(group.fd)).toBeGreaterThan(0);
    const joined = readFileSync('/proc/net/igmp6', 'utf8').split('\n');
    expect(joined.some((line) => /^1 +lo +ff120000000000000000000000007373 /.test(line))).toBe(true);
  });

  test('what cannot be joined is a typed fault, and leaves nothing open', () => {
    const native = loadNative();
    const group = parseAddress('239.1.2.3')!;
    const { fd, domain } = keep(openUdp(4, {}));
    const words = Uint32Array.from(group.words);
    expect(native.socketJoin(fd, domain, words, 0)).toBe(-EINVAL);
    expect(native.socketJoin(fd, domain, words.subarray(1), 1)).toBe(-EINVAL);
    expect(native.socketJoin(fd, domain, words, 0x7fff_ffff)).toBe(-ENODEV);
    expect(native.socketJoin(fd, domain, addresses('ff12::1'), 1)).toBe(-EAFNOSUPPORT);
    expect(native.socketJoin(fd, domain, addresses('192.0.2.1'), 1)).toBe(-EINVAL);
    expect(native.socketGroupInterface(fd, domain, 0)).toBe(-EINVAL);
    expect(native.socketGroupInterface(fd, 99, 1)).toBe(-EAFNOSUPPORT);
    const join = () => openGroup({ group, device: 'lo', interfaceIndex: 0x7fff_ffff }, 0, 1 << 16);
    const before = native.eventOpen();
    native.close(before);
    expect(join).toThrow(/joining the group failed: ENODEV/);
    const after = native.eventOpen();
    native.close(after);
    expect(after).toBe(before);
  });
});
