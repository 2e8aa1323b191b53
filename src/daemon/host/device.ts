/**
 * The device's own settings: size, queue, state, address, sysctls. All of them vanish with the device.
 */

import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { cpus } from 'node:os';
import { ipBatch } from './command.ts';
import type { HostPlan } from './plan.ts';
import { changeOf, deviceWishes, readSysctl, writeSysctl } from './sysctl.ts';

/** As large as an IP packet gets: the kernel never answers "too big" before the dispatcher has seen the packet. */
const DEVICE_MTU_BYTES = 65_535;
/** Packets that wait in the device's ring (TUN sizes it by txqueuelen): a burst of SYNs must not be lost. */
const DEVICE_QUEUE_LENGTH = 10_000;
/**
 * The device's only address: the IPv4 dummy address (RFC 7600 section 4.8), of scope host, so that nothing ever takes
 * it for a source. A loose reverse path filter accepts what comes in on an interface without any address only if the
 * route back leads out of that interface (`no_addr` in net/ipv4/fib_frontend.c): whatever the dispatcher wrote back
 * with a client's address would be dropped.
 */
const DEVICE_ADDRESS = '192.0.0.8';

/**
 * Sizes the device and brings it up; the same again changes nothing.
 * @throws host-command when there is no such device.
 */
export async function setUpDevice(plan: HostPlan): Promise<void> {
  const { device } = plan.input;
  for (const wish of deviceWishes(device, plan.families))
    if (changeOf(wish) !== undefined) writeSysctl(wish.key, wish.to);
  // Without link-local addresses the device speaks no neighbour discovery and no MLD of its own.
  const quiet = readSysctl(`net/ipv6/conf/${device}/forwarding`) === undefined ? '' : ' addrgenmode none';
  await ipBatch(4, [
    `link set dev ${device} mtu ${DEVICE_MTU_BYTES} txqueuelen ${DEVICE_QUEUE_LENGTH}${quiet}`,
    `link set dev ${device} up`,
    ...(plan.families.includes(4) ? [`addr replace ${DEVICE_ADDRESS}/32 dev ${device} scope host`] : []),
  ]);
  spreadReceiving(device);
}

/**
 * Lets all CPUs take what the dispatcher writes (receive packet steering, by flow, so that order is kept). Otherwise the
 * kernel forwards each packet, up to the receiver's socket where that is on this host, inside the write of the thread that
 * already reads and rewrites it. Measured on two CPUs as ratio to kernel forwarding: new connections 0.49 -> 0.57, 64-byte
 * datagrams 0.83 -> 0.92. Without it (another sysfs is mounted, or an old kernel) all still works.
 */
function spreadReceiving(device: string): void {
  const queues = `/sys/class/net/${device}/queues`;
  try {
    for (const queue of readdirSync(queues))
      if (queue.startsWith('rx-')) writeFileSync(`${queues}/${queue}/rps_cpus`, cpuMask(cpus().length));
  } catch {
    // a matter of speed only
  }
}

/** Packets for the device that found its queue full, since it was made. @returns undefined when there is no such device */
export function packetsDropped(device: string): number | undefined {
  try {
    return Number(readFileSync(`/sys/class/net/${device}/statistics/tx_dropped`, 'latin1'));
  } catch {
    return undefined;
  }
}

/** The first `count` CPUs as the kernel reads them: hexadecimal words of 32 bits, the highest first. */
export function cpuMask(count: number): string {
  const words: string[] = [];
  for (let left = count; left > 0; left -= 32) {
    const word = left >= 32 ? 0xffff_ffff : 2 ** left - 1;
    words.unshift(word.toString(16).padStart(8, '0'));
  }
  return words.join(',');
}
