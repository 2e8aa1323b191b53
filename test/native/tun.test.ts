// The TUN device against the real kernel: packets in, packets out, queues, offloads, and names that are taken.
import { existsSync } from 'node:fs';
import { constants } from 'node:os';
import { describe, expect, onTestFinished, test } from 'vitest';
import { LatchwayError } from '../../src/base/fault.ts';
import { createTally, loadNative, OFFLOAD } from '../../src/io/native.ts';
import { openTun, TunDevice } from '../../src/io/tun.ts';
import { Batch, PACKET_START, VNET_SIZE } from '../../src/wire/batch.ts';
import { foldSum, pseudoSum4, sumBytes } from '../../src/wire/checksum.ts';
import { GSO_TCPV4, vnetClear, vnetGsoSize, vnetGsoType, vnetNeedsChecksum } from '../../src/wire/virtio.ts';
import { readUntil, setStage, uniqueName } from './namespace.ts';

const ICMP = 1;
const TCP = 6;
const UDP = 17;

/** Whether the packet at `offset` is IPv4 of this protocol from the namespace to 10.77.0.2. */
function isFromStage(batch: Batch, offset: number, protocol: number): boolean {
  const { view } = batch;
  return (
    view.getUint8(offset) === 0x45 &&
    view.getUint8(offset + 9) === protocol &&
    view.getUint32(offset + 16) === 0x0a4d0002
  );
}

/** Exchanges source and destination; the checksum of the IPv4 header does not change. */
function swapAddresses(view: DataView, offset: number): void {
  const source = view.getUint32(offset + 12);
  view.setUint32(offset + 12, view.getUint32(offset + 16));
  view.setUint32(offset + 16, source);
}

describe('a queue', () => {
  test('reads what the kernel routes to it, and what is written arrives', async () => {
    const { namespace, queues } = setStage(1);
    const batch = new Batch(16);
    const answer = namespace.run('echo.mjs');
    await readUntil(queues[0]!, batch, (offset, length) => {
      if (!isFromStage(batch, offset, ICMP)) return false;
      const { view } = batch;
      expect(view.getUint16(offset + 2)).toBe(length);
      expect(sumBytes(view, offset, 20)).toBe(0xffff);
      swapAddresses(view, offset);
      view.setUint8(offset + 20, 0);
      view.setUint16(offset + 22, 0);
      view.setUint16(offset + 22, ~sumBytes(view, offset + 20, length - 20) & 0xffff);
      vnetClear(view, offset);
      batch.pushTx(offset, length);
      return true;
    });
    expect(queues[0]!.write(batch)).toBe(0);
    expect(batch.txCount).toBe(0);
    expect(await answer).toBe('are you there?!!');
  });

  test('returns 0 when nothing is there', () => {
    const { queues } = setStage(1);
    const batch = new Batch(4);
    while (queues[0]!.read(batch) > 0); // router solicitations
    expect(queues[0]!.read(batch)).toBe(0);
    expect(batch.rxCount).toBe(0);
  });

  test('counts a frame that does not fit, and writes nothing behind its room', async () => {
    const { native, namespace, queues } = setStage(1);
    const fd = queues[0]!.fd;
    const batch = new Batch(4);
    while (queues[0]!.read(batch) > 0);
    await namespace.run('udp-send.mjs', 1000, 3);
    const size = 20 + 8 + 1000;
    const tally = createTally();
    // One slot: exactly one byte more than the packet, exactly the packet, far less.
    for (const [room, length] of [
      [size + 1, size],
      [size, 0],
      [100, 0],
    ] as const) {
      batch.bytes.fill(0xa5);
      let got = native.readPackets(
        fd,
        batch.bytes,
        batch.rxOffset,
        batch.rxLength,
        0,
        1,
        VNET_SIZE,
        room,
        tally,
      );
      while (got === 1 && batch.view.getUint8(PACKET_START) === 0x60) {
        got = native.readPackets(
          fd,
          batch.bytes,
          batch.rxOffset,
          batch.rxLength,
          0,
          1,
          VNET_SIZE,
          room,
          tally,
        );
      }
      expect(got).toBe(1);
      expect(batch.rxLength[0]).toBe(length);
      expect([...tally]).toEqual(length > 0 ? [1, 0, 0, 0] : [0, 1, constants.errno.EMSGSIZE, 0]);
      expect(batch.bytes[PACKET_START + room]).toBe(0xa5);
      expect(batch.bytes[PACKET_START - VNET_SIZE - 1]).toBe(0xa5);
    }
  });

  test('steps over packets that the kernel refuses', () => {
    const { queues } = setStage(1);
    const batch = new Batch(4);
    for (const version of [0x45, 0xf5, 0x45]) {
      const offset = batch.allocScratch();
      vnetClear(batch.view, offset);
      batch.bytes.fill(0, offset, offset + 28);
      batch.view.setUint8(offset, version);
      batch.pushTx(offset, 28);
    }
    expect(queues[0]!.write(batch)).toBe(1);
  });

  test('is an error once its interface is gone', () => {
    const { namespace, device, queues } = setStage(1);
    namespace.ip('link', 'del', device);
    const batch = new Batch(4);
    expect(queues[0]!.read(batch)).toBe(-77); // EBADFD, which Node has no name for
    batch.pushTx(PACKET_START, 28);
    expect(queues[0]!.write(batch)).toBe(1);
  });
});

describe('offloads', () => {
  test('bring TCP as super-packets with a checksum left to do', async () => {
    const { namespace, queues } = setStage(1);
    const batch = new Batch(32);
    void namespace.run('tcp-send.mjs').catch(() => undefined);
    await readUntil(queues[0]!, batch, (offset) => acceptConnection(batch, offset));
    expect(queues[0]!.write(batch)).toBe(0);
    let largest = 0;
    await readUntil(queues[0]!, batch, (offset, length) => {
      if (!isFromStage(batch, offset, TCP) || length <= 1500) return false;
      largest = length;
      expect(batch.view.getUint16(offset + 2)).toBe(length);
      expect(vnetGsoType(batch.view, offset)).toBe(GSO_TCPV4);
      expect(vnetGsoSize(batch.view, offset)).toBe(1460);
      expect(vnetNeedsChecksum(batch.view, offset)).toBe(true);
      return true;
    });
    expect(largest).toBeGreaterThan(1500);
  });

  test('can be turned off: every packet within the MTU, its checksum full', async () => {
    const { native, namespace, queues } = setStage(1);
    expect(native.tunSetOffload(queues[0]!.fd, 0)).toBe(0);
    const batch = new Batch(32);
    void namespace.run('tcp-send.mjs').catch(() => undefined);
    await readUntil(queues[0]!, batch, (offset) => acceptConnection(batch, offset));
    expect(queues[0]!.write(batch)).toBe(0);
    let full = 0;
    await readUntil(queues[0]!, batch, (offset, length) => {
      expect(length).toBeLessThanOrEqual(1500);
      if (!isFromStage(batch, offset, TCP) || length < 1500) return false;
      expect(vnetNeedsChecksum(batch.view, offset)).toBe(false);
      expect(vnetGsoType(batch.view, offset)).toBe(0);
      full++;
      return full === 5;
    });
  });

  test('report what holds, and refuse bits that are none', () => {
    const native = loadNative();
    const queue = openTun({ name: uniqueName('lwt'), multiQueue: false, exclusive: true });
    onTestFinished(() => void native.close(queue.fd));
    const classic = OFFLOAD.CSUM | OFFLOAD.TSO4 | OFFLOAD.TSO6 | OFFLOAD.TSO_ECN;
    expect(queue.offloads & classic).toBe(classic);
    expect(native.tunSetOffload(queue.fd, OFFLOAD.CSUM)).toBe(OFFLOAD.CSUM);
    expect(native.tunSetOffload(queue.fd, 0x80)).toBe(-constants.errno.EINVAL);
    expect(native.tunSetOffload(-1, 0)).toBe(-constants.errno.EBADF);
  });
});

/** Answers a SYN with a SYN-ACK (MSS 1460, window 65,535) and puts it on the tx list. */
function acceptConnection(batch: Batch, offset: number): boolean {
  const { view } = batch;
  if (!isFromStage(batch, offset, TCP) || view.getUint8(offset + 33) !== 0x02) return false;
  const tcp = offset + 20;
  const clientPort = view.getUint16(tcp);
  const clientSequence = view.getUint32(tcp + 4);
  swapAddresses(view, offset);
  view.setUint16(offset + 2, 44);
  view.setUint16(offset + 10, 0);
  view.setUint16(offset + 10, ~sumBytes(view, offset, 20) & 0xffff);
  view.setUint16(tcp, 80);
  view.setUint16(tcp + 2, clientPort);
  view.setUint32(tcp + 4, 7);
  view.setUint32(tcp + 8, (clientSequence + 1) >>> 0);
  view.setUint16(tcp + 12, 0x6012);
  view.setUint16(tcp + 14, 0xffff);
  view.setUint32(tcp + 16, 0);
  view.setUint32(tcp + 20, 0x020405b4);
  const sum = foldSum(pseudoSum4(view, offset, TCP, 24) + sumBytes(view, tcp, 24));
  view.setUint16(tcp + 16, ~sum & 0xffff);
  vnetClear(view, offset);
  batch.pushTx(offset, 44);
  return true;
}

describe('several queues', () => {
  test('share the flows of one device', async () => {
    const { namespace, queues } = setStage(2);
    await namespace.run('udp-send.mjs', 100, 64);
    const batch = new Batch(128);
    const counts = queues.map((queue) => {
      let seen = 0;
      const count = queue.read(batch);
      for (let index = 0; index < count; index++) if (isFromStage(batch, batch.rxOffset[index]!, UDP)) seen++;
      return seen;
    });
    expect(counts[0]! + counts[1]!).toBe(64);
    expect(Math.min(...counts)).toBeGreaterThan(0);
  });

  test('the device lives until the last is closed', () => {
    const native = loadNative();
    const name = uniqueName('lwt');
    const queues = [true, false, false].map((exclusive) => openTun({ name, multiQueue: true, exclusive }).fd);
    for (const fd of queues) {
      expect(existsSync(`/sys/class/net/${name}`)).toBe(true);
      expect(native.close(fd)).toBe(0);
    }
    expect(existsSync(`/sys/class/net/${name}`)).toBe(false);
  });
});

/** The fault that opening ends in. */
function faultOf(name: string, multiQueue: boolean, exclusive: boolean): unknown {
  try {
    loadNative().close(openTun({ name, multiQueue, exclusive }).fd);
    return undefined;
  } catch (error) {
    return error instanceof LatchwayError ? error.fault : error;
  }
}

describe('a name', () => {
  test('that is taken is a typed fault', () => {
    const native = loadNative();
    const name = uniqueName('lwt');
    const single = openTun({ name, multiQueue: false, exclusive: true });
    const taken = { code: 'device-taken', device: name };
    expect(faultOf(name, false, true)).toEqual(taken);
    expect(faultOf(name, true, true)).toEqual(taken);
    expect(faultOf(name, false, false)).toEqual(taken);
    expect(faultOf(name, true, false)).toEqual(taken);
    native.close(single.fd);
    expect(faultOf(name, true, true)).toBeUndefined();
    expect(faultOf('lo', false, true)).toEqual({ code: 'device-taken', device: 'lo' });
    expect(faultOf('lo', true, false)).toEqual({ code: 'device-taken', device: 'lo' });
  });

  test('that no interface can have is a fault of the system call', () => {
    expect(faultOf('a/b', true, true)).toMatchObject({ code: 'system-call', name: 'EINVAL' });
    expect(faultOf('sixteen-letters-', true, true)).toMatchObject({ code: 'system-call', call: 'tunOpen' });
    expect(faultOf('nul\0inside', true, true)).toMatchObject({ code: 'system-call', call: 'tunOpen' });
  });

  test('with a pattern is completed by the kernel', () => {
    const queue = openTun({ name: 'lwp%d', multiQueue: false, exclusive: true });
    const device = new TunDevice(queue.name, queue.fd);
    expect(device.name).toMatch(/^lwp\d+$/);
    expect(existsSync(`/sys/class/net/${device.name}`)).toBe(true);
    device.close();
    device.close();
    expect(existsSync(`/sys/class/net/${device.name}`)).toBe(false);
  });
});
