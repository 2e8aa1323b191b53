/**
 * The link on which dispatchers reach each other by multicast: the one that leads to the others, as the kernel routes.
 *
 * What goes to the group has a TTL of 1, so all have to be neighbours there. Those that are not get every update by repair, up to a heartbeat
 * late: that works, and is said.
 */

import { LatchwayError } from '../../base/fault.ts';
import type { GroupLink } from '../../io/socket.ts';
import { formatAddress } from '../../wire/address.ts';
import { readLinks } from './links.ts';
import type { HostGroup } from './plan.ts';
import { type Egress, lookupEgress } from './routes.ts';

const KEY = 'cluster.multicast';

interface Reached {
  readonly name: string;
  readonly address: string;
  readonly egress: Egress | undefined;
}

/**
 * The link of the group on this host; undefined where there is nobody else.
 * @throws LatchwayError host-conflict when no other dispatcher can be reached, host-command
 */
export async function groupLink(group: HostGroup): Promise<GroupLink | undefined> {
  const reached = await reachedBy(group);
  if (reached.length === 0) return undefined;
  const device = deviceOf(reached);
  const link = (await readLinks()).find(({ name }) => name === device);
  if (link === undefined)
    throw new LatchwayError({
      code: 'host-conflict',
      what: `${KEY}: there is no route to any other dispatcher`,
      remedy:
        'the group is used on the link that leads to them: give this host a route, or leave the group out',
    });
  return { group: group.group, device: link.name, interfaceIndex: link.index };
}

/** What of the group will not work on this host, as sentences. @throws LatchwayError host-command */
export async function multicastWarnings(group: HostGroup | undefined): Promise<string[]> {
  if (group === undefined) return [];
  const reached = await reachedBy(group);
  const device = deviceOf(reached);
  const late = 'it gets updates by repair only, up to a heartbeat late';
  const warnings: string[] = [];
  for (const { name, address, egress } of reached) {
    const who = `${KEY}: dispatcher ${name} (${address})`;
    if (egress === undefined) warnings.push(`${who}: no route to it`);
    else if (egress.device !== device)
      warnings.push(`${who} is behind ${egress.device}, and the group is used on ${device}: ${late}`);
    else if (egress.onLinkPrefix === undefined)
      warnings.push(`${who} is behind a gateway, which multicast does not pass: ${late}`);
  }
  const link = (await readLinks()).find(({ name }) => name === device);
  if (link?.multicast === false)
    warnings.push(`${KEY}: ${link.name} takes no multicast: ip link set ${link.name} multicast on`);
  return warnings;
}

/** The other dispatchers, and how this host reaches each. */
async function reachedBy({ dispatchers }: HostGroup): Promise<Reached[]> {
  const own = new Set(
    (await readLinks()).flatMap(({ addresses }) => addresses.map(({ address }) => formatAddress(address))),
  );
  const others = dispatchers
    .map(({ name, address }) => ({ name, address, text: formatAddress(address) }))
    .filter(({ text }) => !own.has(text));
  const found = await lookupEgress(others.map(({ address }) => address));
  return others.map(({ name, text }) => ({ name, address: text, egress: found.get(text) }));
}

/** The device behind which most of them are. */
function deviceOf(reached: readonly Reached[]): string | undefined {
  const devices = reached.flatMap(({ egress }) => (egress === undefined ? [] : [egress.device]));
  const count = (device: string): number => devices.filter((one) => one === device).length;
  return devices.toSorted((a, b) => count(b) - count(a))[0];
}
