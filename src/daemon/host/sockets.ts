/**
 * Sockets of this namespace that are bound to given addresses, TIME_WAIT included, from /proc/net/{tcp,udp}[6].
 *
 * They matter because of early demux: the kernel matches an incoming packet with such a socket before routing, and
 * then refuses to forward it. A proxy that ran on a VIP leaves thousands of them for a minute.
 * Source: linux/net/ipv4/tcp_ipv4.c (get_tcp4_sock, get_timewait4_sock): addresses are 32-bit words in host order.
 */

import { readFileSync } from 'node:fs';
import { endianness } from 'node:os';
import { type Address, addressFromWords, formatAddress } from '../../wire/address.ts';

/** @returns number of sockets per address text; addresses without one are missing. */
export function countSocketsOn(addresses: readonly Address[]): Map<string, number> {
  const wanted = new Set(addresses.map(formatAddress));
  const counts = new Map<string, number>();
  for (const file of ['tcp', 'tcp6', 'udp', 'udp6']) {
    for (const text of localAddresses(readTable(file)))
      if (wanted.has(text)) counts.set(text, (counts.get(text) ?? 0) + 1);
  }
  return counts;
}

function readTable(name: string): string {
  try {
    return readFileSync(`/proc/net/${name}`, 'utf8');
  } catch {
    return '';
  }
}

/** Local addresses in the text of such a file, one per socket. */
export function localAddresses(table: string): string[] {
  const found: string[] = [];
  for (const match of table.matchAll(/^\s*\d+: ([0-9A-F]{8}|[0-9A-F]{32}):/gm)) {
    const words = (match[1]!.match(/.{8}/g) ?? []).map(networkWord);
    const mapped = words.length === 1 ? [0, 0, 0xffff, words[0]!] : words;
    found.push(formatAddress(addressFromWords([mapped[0]!, mapped[1]!, mapped[2]!, mapped[3]!])));
  }
  return found;
}

/** The file prints the network-order bytes as if they were a word of the host. */
function networkWord(hex: string): number {
  const bytes = hex.match(/../g) ?? [];
  if (endianness() === 'LE') bytes.reverse();
  return Number.parseInt(bytes.join(''), 16);
}
