/** From the pool's records to what the threads of the packet path are told: plain data, with Maglev tables rebuilt where servers changed. */
import type { ClusterKey } from '../../balance/cluster-key.ts';
import { isCandidate, type ServerSpec, type ServiceSpec } from '../../balance/generation.ts';
import { buildMaglev } from '../../balance/maglev.ts';
import type { ServerRecord, ServiceRecord } from './records.ts';

/** One service of the next generation. Remembers the Maglev table in the record. */
export function serviceSpec(record: ServiceRecord, key: ClusterKey): ServiceSpec {
  const { config } = record;
  // Servers that others may not know yet stand back where there is another one.
  const settled = record.servers.some((server) => !server.fresh && isCandidate(serverSpec(server, false)));
  const servers = record.servers.map((server) => serverSpec(server, settled && server.fresh));
  const candidates = servers.filter(isCandidate);
  if (config.scheduler === 'maglev') {
    const of = candidates.map((server) => `${server.index}:${server.weight}`).join();
    if (record.maglev === undefined || record.maglevOf !== of) record.maglev = buildMaglev(candidates, key);
    record.maglevOf = of;
  } else record.maglev = undefined;
  return {
    index: record.index,
    id: record.id,
    name: config.name,
    vip: config.vip,
    protocol: config.protocol,
    ports: config.ports,
    mode: config.mode,
    scheduler: config.scheduler,
    affinity: config.affinity,
    unknown: config.unknown,
    onServerDown: config.onServerDown,
    lock: config.lock,
    timeoutsMs: config.timeoutsMs,
    servers,
    maglev: record.maglev,
  };
}

function serverSpec(server: ServerRecord, standsBack: boolean): ServerSpec {
  return {
    index: server.index,
    id: server.id,
    name: server.config.name,
    address: server.config.address,
    port: server.config.port,
    endpoint: server.endpoint,
    weight: server.drained || standsBack ? 0 : server.weight,
    up: server.up,
    leaving: server.leaving,
    mtuBytes: server.mtuBytes,
    subnet: server.subnet,
  };
}
