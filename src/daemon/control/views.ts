/** Turning the pool into what people and scripts see of servers (control.ts). Nothing here changes anything. */

import { PROTOCOL_TCP } from '../../balance/generation.ts';
import type { SharedTable } from '../../table/shared-table.ts';
import { formatAddress } from '../../wire/address.ts';
import { formatPorts } from '../config/units.ts';
import type { ServerRecord, ServiceRecord } from '../pool/records.ts';
import type { ServerView } from './control.ts';

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
    waiting: server.fresh,
    up: server.up,
    since: new Date(server.upSince).toISOString(),
    health: config.health.type,
    detail: config.health.type === 'none' ? 'not checked' : server.detail,
    active: table.active[server.index]!,
    inactive: table.inactive[server.index]!,
  };
}
