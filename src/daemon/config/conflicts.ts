/**
 * Faults that no single key has: what keys of one service say together, and what services say about each other.
 * Works on drafts; a key that is missing or faulty is left out of its comparisons.
 */
import { type Address, formatAddress, formatEndpoint } from '../../wire/address.ts';
import { PROTOCOL_TCP, PROTOCOL_UDP } from '../../wire/protocol.ts';
import { serverId, serviceId } from '../pool/ids.ts';
import type { DispatcherConfig } from './cluster.ts';
import type { ConfigPath, FaultList } from './document.ts';
import type { ServerDraft, ServiceDraft } from './services.ts';
import {
  formatPortRange,
  formatPorts,
  isAnyPort,
  overlapWithin,
  type PortRange,
  rangesOverlap,
} from './units.ts';

/** @param dispatchers whose addresses no VIP may have */
export function checkConflicts(
  services: readonly ServiceDraft[],
  dispatchers: readonly DispatcherConfig[],
  list: FaultList,
): void {
  for (const service of services) {
    checkPorts(service, list);
    checkAffinity(service, list);
    checkHealthPort(service, list);
    for (const server of service.servers) checkServer(service, server, list);
    checkSameServers(service, list);
  }
  checkSharedPorts(services, list);
  checkVips(services, dispatchers, list);
}

/** What dispatchers must agree on. @param cluster whether the file has a cluster */
export function checkShared(services: readonly ServiceDraft[], cluster: boolean, list: FaultList): void {
  if (cluster) return checkIds(services, list);
  for (const { keys, path } of services) {
    if (keys['on-server-down'] !== 'rebind') continue;
    list.add(
      [...path, 'on-server-down'],
      'rebind is agreed on by the dispatchers of a cluster: add a cluster section, of one dispatcher if need be',
    );
  }
}

/** Dispatchers name services and servers to each other by 32 bits. */
function checkIds(services: readonly ServiceDraft[], list: FaultList): void {
  const taken = new Map<string, string>();
  const take = (id: string, path: ConfigPath): void => {
    const short = id.slice(0, 8);
    const other = taken.get(short);
    if (other === undefined) taken.set(short, path.join('.'));
    else list.add(path, `cannot be told apart from ${other} (same 32-bit id): rename one`);
  };
  for (const { name, path, keys, servers } of services) {
    if (keys.vip === undefined || keys.protocol === undefined) continue;
    const protocol = keys.protocol === 'tcp' ? PROTOCOL_TCP : PROTOCOL_UDP;
    const id = serviceId({ name, vip: keys.vip, protocol });
    take(id, path);
    for (const server of servers) {
      const { address, port = 0 } = server.keys;
      if (address !== undefined) take(serverId(id, { name: server.name, address, port }), server.path);
    }
  }
}

function checkPorts({ keys, path }: ServiceDraft, list: FaultList): void {
  const { ports } = keys;
  if (ports === undefined) return;
  const twice = overlapWithin(ports);
  if (twice === undefined) return;
  if (ports.some(isAnyPort))
    list.add([...path, 'ports'], 'any must stand alone: it includes every other port');
  else list.add([...path, 'ports'], `${formatPortRange(twice)} is covered by another entry of the list`);
}

function checkAffinity({ keys, path }: ServiceDraft, list: FaultList): void {
  const { affinity, vip } = keys;
  if (affinity?.kind !== 'client' || vip === undefined) return;
  const width = vip.family === 4 ? 32 : 128;
  if (affinity.prefix > width)
    list.add(
      [...path, 'affinity'],
      `client/${affinity.prefix}: an IPv${vip.family} address has ${width} bits`,
    );
}

function checkHealthPort({ keys, path, servers, health }: ServiceDraft, list: FaultList): void {
  if (health.type === 'none' || health.port !== 0 || !keys.ports?.some(isAnyPort)) return;
  if (servers.some((server) => server.keys.port === undefined))
    list.add([...path, 'health'], "needs a 'port': the service has any port, so there is none to probe");
}

function checkServer({ keys }: ServiceDraft, server: ServerDraft, list: FaultList): void {
  const { address, port } = server.keys;
  const { vip, mode } = keys;
  if (mode === 'nat' && vip !== undefined && address !== undefined && vip.family !== address.family)
    list.add(
      [...server.path, 'address'],
      `is IPv${address.family} but the VIP is IPv${vip.family}: mode nat translates within one family (ipip takes any)`,
    );
  if (mode === 'ipip' && port !== undefined)
    list.add(
      [...server.path, 'port'],
      "has no meaning in mode ipip: the server gets the client's own packet and port; leave it out",
    );
}

/** Two servers of one service that would get the same packets at the same address and port. */
function checkSameServers({ keys, servers }: ServiceDraft, list: FaultList): void {
  const { ports = [] } = keys;
  const seen = new Map<string, { name: string; ports: readonly PortRange[] }[]>();
  for (const server of servers) {
    const { address, port } = server.keys;
    if (address === undefined) continue;
    const own: readonly PortRange[] = port === undefined ? ports : [[port, port]];
    const others = seen.get(formatAddress(address)) ?? [];
    const same = others.find((other) => other.ports.some((a) => own.some((b) => rangesOverlap(a, b))));
    if (same !== undefined) {
      const text = port === undefined ? formatAddress(address) : formatEndpoint(address, port);
      list.add(server.path, `has the same address and port as ${same.name}: ${text}`);
    }
    seen.set(formatAddress(address), [...others, { name: server.name, ports: own }]);
  }
}

/** Two services with one VIP, one protocol and a port in common. */
function checkSharedPorts(services: readonly ServiceDraft[], list: FaultList): void {
  const byVip = new Map<string, ServiceDraft[]>();
  for (const service of services) {
    const { vip, protocol, ports } = service.keys;
    if (vip === undefined || protocol === undefined || ports === undefined) continue;
    const key = `${formatAddress(vip)} ${protocol}`;
    const others = byVip.get(key) ?? [];
    for (const other of others) {
      const shared = ports.filter((range) => other.keys.ports!.some((taken) => rangesOverlap(range, taken)));
      if (shared.length > 0)
        list.add(
          [...service.path, 'ports'],
          `${key} ${formatPorts(shared)} belongs to service ${other.name} already`,
        );
    }
    byVip.set(key, [...others, service]);
  }
}

/** An address is either a VIP or a machine's own. */
function checkVips(
  services: readonly ServiceDraft[],
  dispatchers: readonly DispatcherConfig[],
  list: FaultList,
): void {
  const text = (address: Address | undefined): string =>
    address === undefined ? '' : formatAddress(address);
  const vips = new Map(services.map((service) => [text(service.keys.vip), service.name]));
  vips.delete('');
  for (const server of services.flatMap((service) => service.servers)) {
    const owner = vips.get(text(server.keys.address));
    if (owner !== undefined)
      list.add([...server.path, 'address'], `${text(server.keys.address)} is the VIP of service ${owner}`);
  }
  const owners = new Map(dispatchers.map(({ name, address }) => [text(address), name]));
  for (const { keys, path } of services) {
    const owner = owners.get(text(keys.vip));
    if (owner !== undefined)
      list.add([...path, 'vip'], `${text(keys.vip)} is the address of dispatcher ${owner}`);
  }
}
