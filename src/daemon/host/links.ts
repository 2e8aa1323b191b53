/**
 * Interfaces of this network namespace with their addresses, from one run of `ip -j addr`.
 */

import { type Address, type Prefix, parseAddress, prefixContains } from '../../wire/address.ts';
import { requireTool } from './command.ts';

export interface HostLink {
  readonly name: string;
  /** The kernel's number of it. */
  readonly index: number;
  readonly mtuBytes: number;
  readonly multicast: boolean;
  readonly up: boolean;
  /** Address and length of the subnet that it is in; host bits are set. */
  readonly addresses: readonly Prefix[];
}

interface LinkJson {
  readonly ifindex?: number;
  readonly ifname?: string;
  readonly mtu?: number;
  readonly flags?: readonly string[];
  readonly addr_info?: readonly { readonly local?: string; readonly prefixlen?: number }[];
}

/** @throws host-command */
export async function readLinks(): Promise<HostLink[]> {
  const printed = JSON.parse(await requireTool('ip', ['-j', 'addr', 'show'])) as readonly LinkJson[];
  return printed
    .filter((link) => link.ifname !== undefined)
    .map((link) => ({
      name: link.ifname!,
      index: link.ifindex ?? 0,
      mtuBytes: link.mtu ?? 0,
      multicast: link.flags?.includes('MULTICAST') ?? false,
      up: link.flags?.includes('UP') ?? false,
      addresses: (link.addr_info ?? []).flatMap((one) => {
        const address = one.local === undefined ? undefined : parseAddress(one.local);
        return address === undefined || one.prefixlen === undefined ? [] : [{ address, bits: one.prefixlen }];
      }),
    }));
}

/** The subnet of an interface that an address lies in, other than a lone host address; with its interface. */
export function subnetOf(
  links: readonly HostLink[],
  address: Address,
): { readonly device: string; readonly prefix: Prefix } | undefined {
  for (const link of links) {
    for (const prefix of link.addresses) {
      const lone = prefix.bits === (prefix.address.family === 4 ? 32 : 128);
      if (!lone && prefixContains(prefix, address)) return { device: link.name, prefix };
    }
  }
  return undefined;
}
