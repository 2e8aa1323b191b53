/**
 * What will start, but not work as expected on this gateway. Reads only.
 */

import { type Family, formatAddress, formatPrefix } from '../../wire/address.ts';
import { replyClaims } from './claims.ts';
import { ipQuery } from './command.ts';
import { firewallWarnings } from './firewall.ts';
import { type HostLink, readLinks, subnetOf } from './links.ts';
import { multicastWarnings } from './multicast.ts';
import { type HostInput, planHost, RULE_PRIORITY } from './plan.ts';
import { advertisedInterfaces, hasIpv6, readAbilities } from './read.ts';
import { countSocketsOn } from './sockets.ts';
import { isOurs, type RuleJson } from './state.ts';
import { changeOf, forwardingWishes, readSysctl, sysctlName } from './sysctl.ts';

/** @throws host-command when `ip` is not there. */
export async function hostWarnings(input: HostInput): Promise<string[]> {
  const links = (await readLinks()).filter((link) => link.name !== input.device);
  const { conntrack, nft, nftDenied } = await readAbilities();
  // The daemon will have the right to use what is there.
  const plan = planHost(input, { conntrack, nft: nft || nftDenied });
  const advertised = await advertisedInterfaces();
  return [
    ...plan.warnings,
    ...(await firewallWarnings(input.device)),
    ...(await proxyWarnings(input, links)),
    ...serverWarnings(input, links),
    ...socketWarnings(input),
    ...sysctlWarnings(input, plan.families, links, advertised),
    ...(await ruleWarnings(input)),
    ...(await multicastWarnings(input.multicast)),
  ];
}

/** Nobody answers ARP or neighbour discovery for a VIP that its LAN takes for a neighbour. */
async function proxyWarnings(input: HostInput, links: readonly HostLink[]): Promise<string[]> {
  const warnings: string[] = [];
  for (const family of [4, 6] as const) {
    const vips = input.vips.filter((vip) => vip.address.family === family);
    if (vips.length === 0) continue;
    const [proxies] = await ipQuery<{ dst: string; dev: string }>(family, ['neigh show proxy']);
    for (const vip of new Set(vips.map((one) => one.address))) {
      const subnet = subnetOf(links, vip);
      const text = formatAddress(vip);
      if (subnet === undefined) continue;
      if (proxies?.some((one) => one.dst === text && one.dev === subnet.device)) continue;
      const ndp = family === 6 ? ` and sysctl -w net.ipv6.conf.${subnet.device}.proxy_ndp=1` : '';
      warnings.push(
        `VIP ${text} is inside ${formatPrefix(subnet.prefix)} of ${subnet.device}: hosts there ask for its hardware address and nobody answers: ip neigh add proxy ${text} dev ${subnet.device}${ndp}`,
      );
    }
  }
  return [...new Set(warnings)];
}

function serverWarnings(input: HostInput, links: readonly HostLink[]): string[] {
  const warnings: string[] = [];
  for (const claim of replyClaims(input.servers)) {
    const address = formatAddress(claim.address);
    if (claim.any)
      warnings.push(
        `server ${address}: a service with 'ports: any' takes all ${claim.protocol === 6 ? 'TCP' : 'UDP'} packets from it for replies: what the server itself opens through this gateway is dropped (drop-reply-unknown); list the ports instead`,
      );
  }
  const nat = new Map(
    input.servers
      .filter((server) => server.mode === 'nat')
      .map((server) => [formatAddress(server.address), server.address]),
  );
  for (const text of nat.keys()) {
    const link = links.find((one) => one.addresses.some((own) => formatAddress(own.address) === text));
    if (link !== undefined)
      warnings.push(
        `server ${text} is an address of this host (${link.name}): its replies do not pass the dispatcher in mode nat`,
      );
  }
  const shared = new Set<string>();
  for (const vip of input.vips) {
    const subnet = subnetOf(links, vip.address);
    const server = [...nat.values()].find((one) => subnetOf(links, one)?.prefix === subnet?.prefix);
    if (subnet !== undefined && server !== undefined) shared.add(`${formatPrefix(subnet.prefix)}`);
  }
  for (const prefix of shared)
    warnings.push(
      `a VIP and servers of mode nat are both in ${prefix}: clients in that subnet cannot use it, since servers answer them directly`,
    );
  return warnings;
}

function socketWarnings(input: HostInput): string[] {
  const counts = countSocketsOn(input.vips.map((vip) => vip.address));
  return [...counts].map(
    ([vip, count]) =>
      `${count} sockets of this host are bound to VIP ${vip} (closed ones that wait count): early demux takes its packets, so run switches net.ipv4.ip_early_demux off; stop the proxy that has them`,
  );
}

function sysctlWarnings(
  input: HostInput,
  families: readonly Family[],
  links: readonly HostLink[],
  advertised: readonly string[],
): string[] {
  const warnings: string[] = [];
  const wishes = forwardingWishes(input.device, families, advertised).filter((wish) => changeOf(wish));
  if (wishes.length > 0) {
    const names = wishes.map((wish) => `${sysctlName(wish.key)}=${wish.to}`);
    warnings.push(`forwarding is off: run sets ${names.join(', ')}, and puts it back at the end`);
  }
  if (wishes.some((wish) => wish.key === 'net/ipv6/conf/all/forwarding'))
    warnings.push('net.ipv6.conf.all.forwarding=1 makes this host ignore router advertisements');
  if (readSysctl('net/ipv6/conf/all/forwarding') === '1')
    for (const link of links)
      if (readSysctl(`net/ipv6/conf/${link.name}/accept_ra`) === '1' && advertised.includes(link.name))
        warnings.push(
          `${link.name} has routes from router advertisements, which forwarding hosts ignore: they will expire: sysctl -w net.ipv6.conf.${link.name}.accept_ra=2, or set static routes`,
        );
  if (families.includes(4)) warnings.push(...reversePathWarnings(links));
  return warnings;
}

/** The kernel uses the larger value of `all` and the interface; 1 is strict. */
function reversePathWarnings(links: readonly HostLink[]): string[] {
  const all = Number(readSysctl('net/ipv4/conf/all/rp_filter'));
  const strict = links
    .map((link) => link.name)
    .filter((name) => name !== 'lo')
    .filter((name) => Math.max(all, Number(readSysctl(`net/ipv4/conf/${name}/rp_filter`))) === 1);
  if (strict.length === 0) return [];
  return [
    `rp_filter is strict on ${strict.join(', ')}: clients and servers that this host would answer by another interface are dropped; where routing is not symmetric set net.ipv4.conf.IF.rp_filter=2`,
  ];
}

/** Rules of others that are looked at before ours may take packets away. */
async function ruleWarnings(input: HostInput): Promise<string[]> {
  const first = input.rulePriority ?? RULE_PRIORITY;
  const priorities = new Set<number>();
  for (const family of hasIpv6() ? ([4, 6] as const) : ([4] as const)) {
    const [rules] = await ipQuery<RuleJson>(family, ['rule show']);
    for (const rule of rules ?? [])
      if (rule.priority > 0 && rule.priority < first && !isOurs(rule)) priorities.add(rule.priority);
  }
  if (priorities.size === 0) return [];
  return [
    `policy rules ${[...priorities].join(', ')} come before those of the dispatcher (${first} on): what they route never reaches it`,
  ];
}
