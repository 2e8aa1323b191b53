/**
 * Sysctls that forwarding needs: which are wrong, changing them, and putting them back.
 *
 * Keys are paths below /proc/sys with slashes (interface names may have dots); messages show them as sysctl(8) does.
 * A key is changed only if it is wrong, and put back only if it still has the value that was written: what somebody
 * changed since belongs to him.
 *
 * IPv4: forwarding is decided by the interface that a packet comes in on, and a packet for a VIP or a reply may come
 * in on any; so `conf.IF.forwarding` of every interface but lo. `ip_forward` is never written: it resets all of them.
 * IPv6: `conf.IF.force_forwarding` (Linux 6.17) does the same without side effects. Older kernels have
 * `conf.all.forwarding` alone, which overwrites the value of every interface (kept in `overwrites`), makes the host
 * ignore router advertisements and deletes the routes learnt from them, unless accept_ra is 2.
 */

import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { LatchwayError } from '../../base/fault.ts';
import type { Family } from '../../wire/address.ts';

export interface SysctlChange {
  /** `net/ipv4/conf/eth0/forwarding` */
  readonly key: string;
  readonly from: string;
  readonly to: string;
  /** Values of other keys that writing this one overwrote. */
  readonly overwrites?: Readonly<Record<string, string>>;
}

/** A value to be written if it is not there yet. */
export interface SysctlWish {
  readonly key: string;
  readonly to: string;
  /** Keys that the kernel overwrites when this one is written. */
  readonly overwrites?: readonly string[];
}

/** `net/ipv4/conf/eth0.5/forwarding` as sysctl(8) shows it: `net.ipv4.conf.eth0/5.forwarding`. */
export function sysctlName(key: string): string {
  return key.replace(/[./]/g, (one) => (one === '/' ? '.' : '/'));
}

/** @returns the value without its line end, undefined when the kernel has no such key. */
export function readSysctl(key: string): string | undefined {
  try {
    return readFileSync(`/proc/sys/${key}`, 'utf8').trim();
  } catch {
    return undefined;
  }
}

/** @throws host-command (in the words of sysctl(8)) */
export function writeSysctl(key: string, value: string): void {
  try {
    writeFileSync(`/proc/sys/${key}`, value);
  } catch (error) {
    const detail = error instanceof Error ? error.message : String(error);
    throw new LatchwayError({
      code: 'host-command',
      command: `sysctl -w ${sysctlName(key)}=${value}`,
      detail,
    });
  }
}

/** Interfaces of this namespace that have settings of the family, without lo and the pseudo-interfaces. */
export function interfaces(family: Family): string[] {
  const folder = `/proc/sys/net/ipv${family}/conf`;
  if (!existsSync(folder)) return [];
  return readdirSync(folder).filter((name) => name !== 'all' && name !== 'default' && name !== 'lo');
}

/** Settings of the device itself, in writing order; they vanish with it. */
export function deviceWishes(device: string, families: readonly Family[]): SysctlWish[] {
  const v4 = `net/ipv4/conf/${device}`;
  const v6 = `net/ipv6/conf/${device}`;
  return [
    // Loose: a client's packet that the dispatcher wrote back comes "from" the device, its route leads elsewhere. The
    // kernel takes the larger of all and device, so 2 also overrules a strict `all`.
    { key: `${v4}/rp_filter`, to: '2' },
    { key: `${v4}/forwarding`, to: '1' },
    // An ICMP error of this host's own about a reply goes to the VIP, is translated, and comes back here from a local source.
    { key: `${v4}/accept_local`, to: '1' },
    { key: `${v4}/send_redirects`, to: '0' },
    ...(families.includes(6)
      ? [
          { key: `${v6}/disable_ipv6`, to: '0' },
          { key: `${v6}/accept_ra`, to: '0' },
          { key: `${v6}/force_forwarding`, to: '1' },
        ]
      : []),
  ].filter((wish) => readSysctl(wish.key) !== undefined);
}

/**
 * What has to hold for forwarding in these families, besides the device's own settings; right or wrong now.
 * @param advertised interfaces with routes from router advertisements.
 * @param ipv6 `global`: as on kernels without force_forwarding.
 */
export function forwardingWishes(
  device: string,
  families: readonly Family[],
  advertised: readonly string[],
  ipv6: 'auto' | 'global' = 'auto',
): SysctlWish[] {
  const wishes: SysctlWish[] = [];
  const others = (family: Family): string[] => interfaces(family).filter((name) => name !== device);
  if (families.includes(4))
    for (const name of others(4)) wishes.push({ key: `net/ipv4/conf/${name}/forwarding`, to: '1' });
  if (families.includes(6) && readSysctl('net/ipv6/conf/all/forwarding') === '0') {
    if (ipv6 === 'auto' && readSysctl('net/ipv6/conf/all/force_forwarding') !== undefined) {
      for (const name of others(6)) wishes.push({ key: `net/ipv6/conf/${name}/force_forwarding`, to: '1' });
    } else {
      wishes.push(...globalIpv6Wishes(advertised));
    }
  }
  return wishes;
}

/** Kernels before 6.17. `accept_ra` first, or the default route learnt from a router is gone at once. */
function globalIpv6Wishes(advertised: readonly string[]): SysctlWish[] {
  return [
    ...advertised
      .filter((name) => readSysctl(`net/ipv6/conf/${name}/accept_ra`) === '1')
      .map((name) => ({ key: `net/ipv6/conf/${name}/accept_ra`, to: '2' })),
    {
      key: 'net/ipv6/conf/all/forwarding',
      to: '1',
      overwrites: ['default', 'lo', ...interfaces(6)].map((name) => `net/ipv6/conf/${name}/forwarding`),
    },
  ];
}

/** The interface that a key belongs to; undefined for one of the whole host. */
export function interfaceOf(key: string): string | undefined {
  return /^net\/ipv[46]\/conf\/([^/]+)\//.exec(key)?.[1];
}

/** The change that a wish means now; undefined when nothing is wrong. */
export function changeOf(wish: SysctlWish): SysctlChange | undefined {
  const from = readSysctl(wish.key);
  if (from === undefined || from === wish.to) return undefined;
  if (wish.overwrites === undefined) return { key: wish.key, from, to: wish.to };
  const overwrites: Record<string, string> = {};
  for (const key of wish.overwrites) {
    const value = readSysctl(key);
    if (value !== undefined) overwrites[key] = value;
  }
  return { key: wish.key, from, to: wish.to, overwrites };
}

/**
 * Puts changes back, the last one first. A key that is gone (its interface is) needs nothing. Goes on after one that fails;
 * may be called again with the same changes.
 * @returns the changes that were left as they are, since somebody changed the value meanwhile.
 * @throws host-command, the first that failed.
 */
export function putBack(changes: readonly SysctlChange[]): SysctlChange[] {
  const left: SysctlChange[] = [];
  const faults: unknown[] = [];
  for (const change of [...changes].reverse()) {
    try {
      if (!putBackOne(change)) left.push(change);
    } catch (error) {
      faults.push(error);
    }
  }
  if (faults.length > 0) throw faults[0];
  return left;
}

/** @returns false when the value is neither what was written nor what was there before. */
function putBackOne(change: SysctlChange): boolean {
  const now = readSysctl(change.key);
  if (now === undefined || now === change.from) return true;
  if (now !== change.to) return false;
  writeSysctl(change.key, change.from);
  for (const [key, value] of Object.entries(change.overwrites ?? {}))
    if (readSysctl(key) !== undefined && readSysctl(key) !== value) writeSysctl(key, value);
  return true;
}
