/** Turning the pool and the table into what people and scripts see (control.ts). Nothing here changes anything. */

import { PROTOCOL_TCP } from '../../balance/generation.ts';
import { elapsedMs } from '../../base/clock.ts';
import { emptyFlowRow, type FlowRow, STATE_NAMES } from '../../table/flow-row.ts';
import type { SharedTable } from '../../table/shared-table.ts';
import { type AddressWords, formatAddress, formatEndpoint, formatPrefix } from '../../wire/address.ts';
import { formatPorts } from '../config/units.ts';
import type { Pool } from '../pool/pool.ts';
import type { ServerRecord, ServiceRecord } from '../pool/records.ts';
import { type FlowFilter, type FlowState, type FlowView, matchesClient, type ServerView } from './control.ts';

/** Idle times further back than this are of rows that were touched after `now` was read. */
const FUTURE_MS = 0x8000_0000;

export function protocolName(protocol: number): 'tcp' | 'udp' {
  return protocol === PROTOCOL_TCP ? 'tcp' : 'udp';
}

export function serverView(service: ServiceRecord, server: ServerRecord, table: SharedTable): ServerView {
  const { config } = service;
  const { affinity } = config;
  return {
    service: config.name,
    vip: formatAddress(config.vip),
    protocol: protocolName(config.protocol),
    ports: formatPorts(config.ports),
    mode: config.mode,
    scheduler: config.scheduler,
    affinity: affinity.kind === 'flow' ? 'flow' : `client/${affinity.prefix}`,
    server: server.config.name,
    address: formatAddress(server.config.address),
    port: server.config.port,
    weight: server.weight,
    drained: server.drained,
    leaving: server.leaving,
    up: server.up,
    since: new Date(server.upSince).toISOString(),
    health: config.health.type,
    detail: config.health.type === 'none' ? 'not checked' : server.detail,
    active: table.active[server.index]!,
    inactive: table.inactive[server.index]!,
  };
}

/** Flows that pass the filter, one at a time while the table goes on changing; session entries only where the filter asks for them. */
export function* flowViews(
  pool: Pool,
  table: SharedTable,
  filter: FlowFilter,
  now: number,
): Generator<FlowView> {
  const names = new FlowNames(pool);
  const row = emptyFlowRow();
  for (let index = 0; index < table.usedRows; index++) {
    if (!table.readRow(index, row) || !passes(filter, row)) continue;
    const service = names.services.get(row.service);
    const server = names.servers.get(row.server);
    if (service === undefined || (filter.service !== undefined && service.config.name !== filter.service))
      continue;
    if (filter.server !== undefined && server?.config.name !== filter.server) continue;
    yield flowView(row, service, server, now);
  }
}

function passes(filter: FlowFilter, row: FlowRow): boolean {
  if (filter.state === undefined ? row.session : STATE_NAMES[row.state] !== filter.state) return false;
  const { client } = filter;
  return (
    client === undefined ||
    matchesClient(client, row.client0, row.client1, row.client2, row.client3, row.clientPort)
  );
}

class FlowNames {
  readonly services = new Map<number, ServiceRecord>();
  readonly servers = new Map<number, ServerRecord>();

  constructor(pool: Pool) {
    for (const service of pool.services) {
      this.services.set(service.index, service);
      for (const server of service.servers) this.servers.set(server.index, server);
    }
  }
}

function flowView(
  row: FlowRow,
  service: ServiceRecord,
  server: ServerRecord | undefined,
  now: number,
): FlowView {
  const words: AddressWords = [row.client0, row.client1, row.client2, row.client3];
  const { vip, affinity, protocol } = service.config;
  const idle = elapsedMs(now, row.lastSeen);
  const ends = row.session
    ? {
        client: formatPrefix({
          address: { family: vip.family, words },
          bits: affinity.kind === 'client' ? affinity.prefix : 0,
        }),
        vip: formatAddress(vip),
        serverAddress: server === undefined ? '' : formatAddress(server.config.address),
      }
    : {
        client: formatEndpoint(words, row.clientPort),
        vip: formatEndpoint(vip, row.vipPort),
        serverAddress:
          server === undefined ? '' : formatEndpoint(server.config.address, row.serverPort || row.vipPort),
      };
  return {
    service: service.config.name,
    protocol: protocolName(protocol),
    ...ends,
    server: server?.config.name ?? '',
    state: STATE_NAMES[row.state] as FlowState,
    idleMs: idle >= FUTURE_MS ? 0 : idle,
    ageMs: elapsedMs(now, row.openedAt),
  };
}
