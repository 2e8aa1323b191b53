/** `latchway servers`: services and their servers, in the habit of `ipvsadm -Ln`. */
import type { Command } from 'commander';
import type { ServerView } from '../daemon/control/control.ts';
import { askDaemon } from './client.ts';
import { socketOf, type ViewOptions, withExamples, withView } from './options.ts';
import { formatTable, print, printJson, type Row } from './output.ts';

export function addServers(program: Command): void {
  const command = program
    .command('servers')
    .description('services and servers: weight, flows, up or down since when')
    .action(async (options: ViewOptions) => {
      const servers = await askDaemon<readonly ServerView[]>(socketOf(options), 'GET', '/servers');
      if (options.json) printJson(servers);
      else print(formatServers(servers));
    });
  withExamples(withView(command), [
    ['latchway servers', 'services with their servers'],
    ['latchway servers | grep down', 'those that are down, and why'],
    [`latchway servers --json | jq '.[] | select(.up | not)'`, 'for scripts'],
  ]);
}

const HEAD = [
  '  -> RemoteAddress:Port',
  'Forward',
  'Weight',
  'ActiveConn',
  'InActConn',
  'Server',
  'State',
  'Since',
];
const NUMBERS = [2, 3, 4];

export function formatServers(servers: readonly ServerView[]): string {
  const rows: Row[] = [];
  let last = '';
  for (const server of servers) {
    const service = serviceLine(server);
    if (service !== last) rows.push(service);
    last = service;
    rows.push([
      `  -> ${endpoint(server.address, server.port === 0 ? '*' : String(server.port))}`,
      server.mode,
      server.drained ? 0 : server.weight,
      server.active,
      server.inactive,
      server.server,
      state(server),
      shortTime(server.since),
    ]);
  }
  return `Prot LocalAddress:Port Scheduler Affinity Service\n${formatTable(HEAD, rows, NUMBERS)}`;
}

function serviceLine({ protocol, vip, ports, scheduler, affinity, service }: ServerView): string {
  return `${protocol.toUpperCase()}  ${endpoint(vip, ports)} ${scheduler} ${affinity} ${service}`;
}

function endpoint(address: string, port: string): string {
  return address.includes(':') ? `[${address}]:${port}` : `${address}:${port}`;
}

/** Up or down first; then what keeps new flows away, or why it is down. */
function state({ up, drained, leaving, waiting, detail }: ServerView): string {
  const words = [up ? 'up' : `down (${detail})`];
  if (leaving) words.push('leaving');
  else if (drained) words.push('drained');
  else if (waiting) words.push('waits for other dispatchers');
  return words.join(', ');
}

/** `2026-01-02 03:04:05Z` */
function shortTime(iso: string): string {
  return iso.replace('T', ' ').replace(/\.\d+Z$/, 'Z');
}
