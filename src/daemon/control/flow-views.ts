/**
 * Flows as people and scripts see them (control.ts): rows of the table that pass a filter, one at a time while the table goes on
 * changing. Nothing here changes anything.
 */

import { elapsedMs } from '../../base/clock.ts';
import { emptyFlowRow, type FlowRow, STATE_NAMES } from '../../table/flow-row.ts';
import type { SharedTable } from '../../table/shared-table.ts';
import { type AddressWords, formatAddress, formatEndpoint, formatPrefix } from '../../wire/address.ts';
import type { Pool } from '../pool/pool.ts';
import type { ServerRecord, ServiceRecord } from '../pool/records.ts';
import { type FlowFilter, type FlowState, type FlowView, matchesClient } from './control.ts';
import { protocolName } from './views.ts';

/** Idle times further back than this are of rows that were touched after `now` was read. */
const FUTURE_MS = 0x8000_0000;

/** A row with what its indexes stand for. */
export interface FoundFlow {
  readonly row: FlowRow;
  readonly service: ServiceRecord;
  readonly server: ServerRecord | undefined;
}

/** Flows that pass the filter; session entries only where it asks for them. The row is overwritten by the next step. */
export function* findFlows(pool: Pool, table: SharedTable, filter: FlowFilter): Generator<FoundFlow> {
  const services = new Map(pool.services.map((service) => [service.index, service]));
  const servers = new Map(
    pool.services.flatMap((service) => service.servers.map((server) => [server.index, server])),
  );
  const row = emptyFlowRow();
  for (let index = 0; index < table.usedRows; index++) {
    if (!table.readRow(index, row)) continue;
    const service = services.get(row.service);
    if (service === undefined) continue;
    const found = { row, service, server: servers.get(row.server) };
    if (passes(filter, found)) yield found;
  }
}

export function passes(filter: FlowFilter, { row, service, server }: FoundFlow): boolean {
  if (filter.state === undefined ? row.session : STATE_NAMES[row.state] !== filter.state) return false;
  if (filter.service !== undefined && service.config.name !== filter.service) return false;
  if (filter.server !== undefined && server?.config.name !== filter.server) return false;
  const { client } = filter;
  return (
    client === undefined ||
    matchesClient(client, row.client0, row.client1, row.client2, row.client3, row.clientPort)
  );
}

/** @param now of the table, monotonic ms */
export function flowView({ row, service, server }: FoundFlow, now: number): FlowView {
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
