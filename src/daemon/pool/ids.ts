/** The ids of services and servers: the same on every dispatcher, and in a saved table. */
import { createHash } from 'node:crypto';
import { formatAddress } from '../../wire/address.ts';
import type { ServerConfig, ServiceConfig } from '../config/services.ts';

function id(...parts: readonly string[]): string {
  return createHash('sha256').update(parts.join('\0')).digest('hex').slice(0, 16);
}

/** The id of a service on every dispatcher: 64 bits in hex, from its name, VIP and protocol. */
export function serviceId(service: Pick<ServiceConfig, 'name' | 'vip' | 'protocol'>): string {
  return id('service', service.name, formatAddress(service.vip), String(service.protocol));
}

/** The id of a server on every dispatcher: 64 bits in hex, from its service, name, address and port. */
export function serverId(ofService: string, server: Pick<ServerConfig, 'name' | 'address' | 'port'>): string {
  return id('server', ofService, server.name, formatAddress(server.address), String(server.port));
}
