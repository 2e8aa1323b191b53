/** What `latchway check` does: reads the file, asks the host where that is wanted, and prints what came of it. */
import { type ConfigFault, LatchwayError } from '../base/fault.ts';
import type { ClusterConfig } from '../daemon/config/cluster.ts';
import { type Config, chooseNode, configHash, loadConfig } from '../daemon/config/config.ts';
import type { ServiceConfig } from '../daemon/config/services.ts';
import { formatDuration, formatPorts } from '../daemon/config/units.ts';
import { checkHost, type HostFindings } from '../daemon/host/check.ts';
import { hostInput } from '../daemon/host/input.ts';
import { formatAddress, formatEndpoint } from '../wire/address.ts';
import { PROTOCOL_TCP } from '../wire/protocol.ts';
import { checkedNode } from './options.ts';
import { print, printJson } from './output.ts';

export interface CheckOptions {
  readonly host?: true;
  readonly json?: true;
  readonly node?: string;
}

const NOTHING_FOUND: HostFindings = { errors: [], warnings: [] };

/** Prints a summary, or a line per fault and sets exit code 1. */
export async function checkFile(file: string, { host, json, node }: CheckOptions): Promise<void> {
  // What runs on this host is one dispatcher, so its name matters too.
  const read = readConfig(file, checkedNode(node), host === true);
  if (!('config' in read)) {
    process.exitCode = 1;
    if (json) printJson({ ok: false, faults: read.faults });
    else print(read.text);
    return;
  }
  const { config } = read;
  const found = host ? await checkHost(hostInput(config, read.node)) : NOTHING_FOUND;
  const ok = found.errors.length === 0;
  if (!ok) process.exitCode = 1;
  if (json) printJson({ ok, faults: [], host: host ? found : undefined, ...summary(config) });
  else
    print(
      [...(ok ? describe(config) : found.errors), ...found.warnings.map((one) => `warning: ${one}`)].join(
        '\n',
      ),
    );
}

type Read =
  | { readonly config: Config; readonly node: string | undefined }
  | { readonly faults: readonly ConfigFault[]; readonly text: string };

function readConfig(file: string, node: string | undefined, named: boolean): Read {
  try {
    const config = loadConfig(file);
    return { config, node: named || node !== undefined ? chooseNode(config, node) : undefined };
  } catch (error) {
    if (!(error instanceof LatchwayError)) throw error;
    const { fault, message } = error;
    const faults = fault.code === 'config' ? fault.faults : [{ path: file, line: 0, message }];
    return { faults, text: message };
  }
}

function summary(config: Config) {
  return {
    file: config.file,
    hash: configHash(config),
    cluster: config.cluster && clusterSummary(config.cluster),
    device: config.device,
    table: config.table,
    services: config.services.map(serviceSummary),
  };
}

function clusterSummary({ name, port, multicast, dispatchers }: ClusterConfig) {
  return {
    cluster: name,
    port,
    multicast: multicast === undefined ? null : formatAddress(multicast),
    dispatchers: Object.fromEntries(dispatchers.map((one) => [one.name, formatAddress(one.address)])),
  };
}

function serviceSummary(service: ServiceConfig) {
  const { name, mode, scheduler, affinity, unknown, health, servers } = service;
  return {
    service: name,
    vip: formatAddress(service.vip),
    protocol: service.protocol === PROTOCOL_TCP ? 'tcp' : 'udp',
    ports: formatPorts(service.ports),
    mode,
    scheduler,
    affinity: affinity.kind === 'flow' ? 'flow' : `client/${affinity.prefix}`,
    unknown,
    health: health.type === 'none' ? 'none' : `tcp every ${formatDuration(health.intervalMs)}`,
    servers: servers.map(({ name: server, address, port, weight }) => ({
      server,
      address: port === 0 ? formatAddress(address) : formatEndpoint(address, port),
      weight,
    })),
  };
}

function describe(config: Config): string[] {
  const { file, hash, cluster, device, table, services } = summary(config);
  const count = services.reduce((sum, { servers }) => sum + servers.length, 0);
  const lines = [
    `${file} is good: ${plural(services.length, 'service')}, ${plural(count, 'server')}, hash ${hash.slice(0, 12)}`,
    `device ${device.name} with ${plural(device.queues, 'queue')}, room for ${table.capacity} flows`,
  ];
  if (cluster !== undefined) {
    const all = Object.entries(cluster.dispatchers).map(([name, address]) => `${name} ${address}`);
    const updates =
      cluster.multicast === null ? 'updates to each' : `updates by multicast ${cluster.multicast}`;
    lines.push(`cluster ${cluster.cluster}: ${all.join(', ')}; port ${cluster.port}, ${updates}`);
  }
  for (const one of services) {
    const { service, vip, protocol, ports, mode, scheduler, affinity, unknown, health, servers } = one;
    const endpoint = vip.includes(':') ? `[${vip}]` : vip;
    lines.push(
      `service ${service}: ${protocol} ${endpoint}:${ports} ${mode} ${scheduler}, affinity ${affinity}, unknown ${unknown}, health ${health}, ${plural(servers.length, 'server')}`,
    );
  }
  return lines;
}

function plural(count: number, word: string): string {
  return `${count} ${word}${count === 1 ? '' : 's'}`;
}
