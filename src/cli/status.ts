/** `latchway status`: what the daemon is and how it does. */
import type { Command } from 'commander';
import type { ClusterStatus } from '../daemon/cluster/cluster-views.ts';
import type { FullStatusView, ServiceStatus } from '../daemon/control/control.ts';
import { askDaemon } from './client.ts';
import { socketOf, type ViewOptions, withExamples, withView } from './options.ts';
import { print, printJson } from './output.ts';

export function addStatus(program: Command): void {
  const command = program
    .command('status')
    .description('node, version, uptime, device, table, services, cluster, and what is wrong with them')
    .action(async (options: ViewOptions) => {
      const status = await askDaemon<FullStatusView>(socketOf(options), 'GET', '/status');
      if (options.json) printJson(status);
      else print(formatStatus(status));
    });
  withExamples(withView(command), [
    ['latchway status', 'of the dispatcher on this host'],
    ['latchway status --json | jq .table.used', 'for scripts'],
  ]);
}

export function formatStatus(status: FullStatusView): string {
  const { device, table, config } = status;
  const percent = ((100 * table.used) / table.capacity).toFixed(1);
  const lines: [string, string][] = [
    ['node', `${status.node}, ${status.ready ? 'ready' : 'not ready'}`],
    ['version', status.version],
    ['process', `${status.pid}, up ${formatSpan(status.uptimeMs)}, since ${status.startedAt}`],
    ['config', `${config.file}, hash ${config.hash.slice(0, 12)}, read ${config.loadedAt}`],
    ['generation', String(status.generation)],
    ['device', `${device.name}, queues ${device.queues}, offloads ${device.offloads.join(' ') || 'none'}`],
    ['table', `${table.used} of ${table.capacity} (${percent} %), ${Math.ceil(table.bytes / 1_048_576)} MiB`],
    ['flows/s', status.flowsPerSecond.toFixed(1)],
    ...status.services.map((service): [string, string] => ['service', formatService(service)]),
    ...clusterLines(status.cluster),
    ...status.sysctls.map(({ name, from, to }): [string, string] => ['sysctl', `${name} ${from} -> ${to}`]),
    ...status.warnings.map((warning): [string, string] => ['warning', warning]),
  ];
  return lines.map(([name, text]) => `${`${name}:`.padEnd(12)}${text}`).join('\n');
}

function formatService({ service, up, servers, down, drained }: ServiceStatus): string {
  const words = [`${service}, ${up} of ${servers} servers up`];
  if (down.length > 0) words.push(`down: ${some(down)}`);
  if (drained.length > 0) words.push(`drained: ${some(drained)}`);
  return words.join('; ');
}

/** A line has room for some names; `latchway servers` has them all, and why. */
const NAMES_SHOWN = 8;

function some(names: readonly string[]): string {
  const rest = names.length - NAMES_SHOWN;
  return `${names.slice(0, NAMES_SHOWN).join(' ')}${rest > 0 ? ` and ${rest} more` : ''}`;
}

/** Where a dispatcher is between start and ready, for people. */
const JOINING: Readonly<Record<string, string>> = {
  waiting: 'waits for a dispatcher that is ready',
  copying: 'copies the table of another dispatcher',
  'catching-up': 'waits for what was said during the copy',
  first: 'is the first: loads the saved table',
};

function clusterLines(cluster: ClusterStatus | null): [string, string][] {
  if (cluster === null) return [];
  const { dispatchers, up, ready, flood, floodElsewhere, drift } = cluster;
  const refused = Object.entries(cluster.refusedConnections).map(([why, times]) => `${times} ${why}`);
  const floods = [...(flood ? ['here'] : []), ...floodElsewhere];
  const waiting = `${cluster.locks} locks, ${cluster.questions} questions, ${cluster.waitingPackets} packets wait`;
  const line = (name: string, text: string): [string, string] => [name, text];
  return [
    line('cluster', `${up} of ${dispatchers} dispatchers up, ${ready} ready; ${waiting}`),
    ...(cluster.multicast === null ? [] : [line('multicast', cluster.multicast)]),
    ...(cluster.joining === 'ready' ? [] : [line('joining', JOINING[cluster.joining] ?? cluster.joining)]),
    ...Object.entries(cluster.silent).map(([name, what]) => line('dispatcher', `${name} ${what}`)),
    ...(floods.length > 0 ? [line('flood', `new flows go by hash: ${floods.join(', ')}`)] : []),
    ...drift.map((name) => line('drift', `${name} has another configuration: compare the files`)),
    ...(cluster.unsealable === 0
      ? []
      : [
          line(
            'refused',
            `${cluster.unsealable} datagrams that no key here opens: another key-file, or a stranger`,
          ),
        ]),
    ...(refused.length > 0 ? [line('refused', `connections: ${refused.join(', ')}`)] : []),
  ];
}

/** `3d 4h`, `5h 6m`, `7m 8s`, `9s`: the two largest units. */
export function formatSpan(ms: number): string {
  const seconds = Math.floor(ms / 1000);
  const parts: [number, string][] = [
    [Math.floor(seconds / 86_400), 'd'],
    [Math.floor(seconds / 3600) % 24, 'h'],
    [Math.floor(seconds / 60) % 60, 'm'],
    [seconds % 60, 's'],
  ];
  const first = parts.findIndex(([count]) => count > 0);
  if (first < 0) return '0s';
  return parts
    .slice(first, first + 2)
    .map(([count, unit]) => `${count}${unit}`)
    .join(' ');
}
