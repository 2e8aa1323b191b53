/**
 * Services, their servers and health checks: sections read into drafts, then drafts completed into values.
 *
 * A draft keeps what was right in a faulty service, so that the checks across services (conflicts.ts) see it.
 */
import type { Address } from '../../wire/address.ts';
import { PROTOCOL_TCP, PROTOCOL_UDP } from '../../wire/protocol.ts';
import type { ConfigPath, FaultList } from './document.ts';
import { MAX_SERVERS, MAX_SERVERS_PER_SERVICE, MAX_SERVICES } from './limits.ts';
import { HEALTH, HEALTH_TYPE, SERVER, SERVICE, TIMEOUTS } from './schema.ts';
import { type Complete, type Draft, type RawMap, readMap, readNamed, readSection } from './section.ts';
import { isAnyPort, type PortRange } from './units.ts';

export interface TimeoutsMs {
  readonly tcpEstablished: number;
  readonly tcpOpening: number;
  readonly tcpClosing: number;
  readonly udp: number;
  /** Of a session entry (affinity: client). */
  readonly client: number;
}

export const DEFAULT_TIMEOUTS: TimeoutsMs = {
  tcpEstablished: 900_000,
  tcpOpening: 30_000,
  tcpClosing: 30_000,
  udp: 120_000,
  client: 900_000,
};

export type HealthConfig =
  | { readonly type: 'none' }
  | {
      readonly type: 'tcp';
      readonly intervalMs: number;
      readonly timeoutMs: number;
      readonly rise: number;
      readonly fall: number;
      /** Port to probe; 0: see `probePort`. */
      readonly port: number;
    };

export interface ServerConfig {
  readonly name: string;
  readonly address: Address;
  /** 0 keeps the packet's destination port. */
  readonly port: number;
  readonly weight: number;
}

export type Affinity =
  | { readonly kind: 'flow' }
  /** Bits of the client address, of the VIP's family. */
  | { readonly kind: 'client'; readonly prefix: number };

export interface ServiceConfig {
  readonly name: string;
  readonly vip: Address;
  readonly protocol: typeof PROTOCOL_TCP | typeof PROTOCOL_UDP;
  /** Sorted by first port, disjoint. */
  readonly ports: readonly PortRange[];
  readonly mode: 'nat' | 'ipip';
  readonly scheduler: 'maglev' | 'rr' | 'wrr' | 'lc' | 'wlc' | 'sh' | 'random';
  readonly affinity: Affinity;
  /** Means something in a cluster only. */
  readonly lock: 'auto' | 'announce' | 'confirm';
  /** `auto` is resolved. */
  readonly unknown: 'reset' | 'drop' | 'hash';
  readonly onServerDown: 'keep' | 'reset' | 'rebind';
  readonly timeoutsMs: TimeoutsMs;
  readonly health: HealthConfig;
  /** In the order of the file; at least one. */
  readonly servers: readonly ServerConfig[];
}

export interface ServerDraft {
  readonly name: string;
  readonly path: ConfigPath;
  readonly keys: Draft<typeof SERVER>;
}

export interface ServiceDraft {
  readonly name: string;
  readonly path: ConfigPath;
  readonly keys: Draft<typeof SERVICE>;
  readonly servers: readonly ServerDraft[];
  readonly timeoutsMs: TimeoutsMs;
  readonly health: HealthConfig;
}

/** @param top the whole file's sections: `services` and the global `timeouts` */
export function readServices(
  top: { readonly services?: unknown; readonly timeouts?: unknown },
  list: FaultList,
) {
  const global = readTimeouts(top.timeouts, ['timeouts'], DEFAULT_TIMEOUTS, list);
  const entries = readNamed(top.services, ['services'], list);
  if (tooMany(entries, list)) return [];
  return entries.flatMap(([name, value]) =>
    readMap(value, ['services', name], list) === undefined ? [] : [readService(name, value, global, list)],
  );
}

/** Counts before anything is read, so that aliases cannot multiply the work without end. */
function tooMany(entries: readonly (readonly [string, unknown])[], list: FaultList): boolean {
  if (entries.length > MAX_SERVICES) {
    list.add(['services'], `has ${entries.length} services: at most ${MAX_SERVICES} are supported`);
    return true;
  }
  let total = 0;
  let excess = false;
  for (const [name, value] of entries) {
    const count = Object.keys((value as RawMap | null)?.['servers'] ?? {}).length;
    total += count;
    if (count <= MAX_SERVERS_PER_SERVICE) continue;
    list.add(
      ['services', name, 'servers'],
      `has ${count} servers: at most ${MAX_SERVERS_PER_SERVICE} are supported in one service`,
    );
    excess = true;
  }
  if (total > MAX_SERVERS)
    list.add(['services'], `has ${total} servers in all: at most ${MAX_SERVERS} are supported`);
  return excess || total > MAX_SERVERS;
}

function readService(name: string, value: unknown, global: TimeoutsMs, list: FaultList): ServiceDraft {
  const path = ['services', name];
  const keys = readSection(value, path, SERVICE, list);
  return {
    name,
    path,
    keys,
    servers: readServers(keys.servers, [...path, 'servers'], list),
    timeoutsMs: readTimeouts(keys.timeouts, [...path, 'timeouts'], global, list),
    health: readHealth(keys.health, [...path, 'health'], list),
  };
}

function readServers(value: unknown, path: ConfigPath, list: FaultList): ServerDraft[] {
  const entries = readNamed(value, path, list);
  const maps = entries.filter(([name, raw]) => readMap(raw, [...path, name], list) !== undefined);
  return maps.map(([name, raw]) => ({
    name,
    path: [...path, name],
    keys: readSection(raw, [...path, name], SERVER, list),
  }));
}

function readTimeouts(value: unknown, path: ConfigPath, base: TimeoutsMs, list: FaultList): TimeoutsMs {
  if (value === undefined) return base;
  const keys = readSection(value, path, TIMEOUTS, list);
  return {
    tcpEstablished: keys['tcp-established'] ?? base.tcpEstablished,
    tcpOpening: keys['tcp-opening'] ?? base.tcpOpening,
    tcpClosing: keys['tcp-closing'] ?? base.tcpClosing,
    udp: keys.udp ?? base.udp,
    client: keys.client ?? base.client,
  };
}

function readHealth(value: unknown, path: ConfigPath, list: FaultList): HealthConfig {
  if (value === undefined) return { type: 'none' };
  const wanted = (value as RawMap | null)?.['type'];
  if (wanted !== undefined && !HEALTH_TYPE.type.safeParse(wanted).success) {
    // The other keys belong to a kind of check that is unknown: one fault says it all.
    readSection({ type: wanted }, path, HEALTH_TYPE, list);
    return { type: 'none' };
  }
  const keys = readSection(value, path, HEALTH, list) as Complete<typeof HEALTH>;
  if (keys.type === 'none') return { type: 'none' };
  const { type, interval: intervalMs, timeout: timeoutMs, rise, fall, port = 0 } = keys;
  return { type, intervalMs, timeoutMs, rise, fall, port };
}

/** Turns drafts without faults into values: resolves `unknown: auto` and the length of a client prefix. */
export function completeServices(drafts: readonly ServiceDraft[]): ServiceConfig[] {
  return drafts.map((draft) => {
    const keys = draft.keys as Complete<typeof SERVICE>;
    const { vip, ports, mode, scheduler, lock, affinity } = keys;
    const deterministic = scheduler === 'maglev' || scheduler === 'sh';
    return {
      name: draft.name,
      vip,
      protocol: keys.protocol === 'tcp' ? PROTOCOL_TCP : PROTOCOL_UDP,
      ports,
      mode,
      scheduler,
      affinity:
        affinity.kind === 'client' && affinity.prefix === 0
          ? { kind: 'client', prefix: vip.family === 4 ? 32 : 128 }
          : affinity,
      lock,
      unknown: keys.unknown === 'auto' ? (deterministic ? 'hash' : 'reset') : keys.unknown,
      onServerDown: keys['on-server-down'],
      timeoutsMs: draft.timeoutsMs,
      health: draft.health,
      servers: draft.servers.map((server) => {
        const { address, port = 0, weight } = server.keys as Complete<typeof SERVER>;
        return { name: server.name, address, port, weight };
      }),
    };
  });
}

/**
 * The port that a health check connects to: the check's own, else the server's, else the first of the service's.
 * Never 0 in a checked configuration.
 */
export function probePort(
  service: Pick<ServiceConfig, 'ports' | 'health'>,
  server: { readonly port: number },
): number {
  const own = service.health.type === 'none' ? 0 : service.health.port;
  const [first] = service.ports;
  return own || server.port || (first === undefined || isAnyPort(first) ? 0 : first[0]);
}
