/**
 * The device's own settings: size, queue, state, sysctls. All of them vanish with the device.
 */

import { ipBatch } from './host-command.ts';
import type { HostPlan } from './host-plan.ts';
import { changeOf, deviceWishes, readSysctl, writeSysctl } from './host-sysctl.ts';

/** As large as an IP packet gets: the kernel never answers "too big" before the dispatcher has seen the packet. */
export const DEVICE_MTU_BYTES = 65_535;
/** Packets that wait in the device's ring (TUN sizes it by txqueuelen): a burst of SYNs must not be lost. */
export const DEVICE_QUEUE_LENGTH = 10_000;

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
  ]);
}
