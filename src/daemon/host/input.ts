/** What the set-up of the host needs to know of a configuration. */
import type { Config } from '../config/config.ts';
import type { ServerConfig, ServiceConfig } from '../config/services.ts';
import type { HostServer } from './claims.ts';
import type { HostGroup, HostInput } from './plan.ts';

/** Number of the routing table for replies (and the one after it, for errors about them). */
const REPLY_TABLE = 7300;

/** @param node name of this dispatcher; left out where its own address does not matter */
export function hostInput(config: Config, node?: string): HostInput {
  return {
    device: config.device.name,
    table: REPLY_TABLE,
    vips: config.services.map(({ vip, name }) => ({ address: vip, service: name })),
    servers: config.services.flatMap((service) =>
      service.servers.map((server) => hostServer(service, server)),
    ),
    self: config.cluster?.dispatchers.find(({ name }) => name === node),
    multicast: hostGroup(config),
  };
}

export function hostGroup({ cluster }: Config): HostGroup | undefined {
  if (cluster?.multicast === undefined) return undefined;
  return { group: cluster.multicast, dispatchers: cluster.dispatchers };
}

/** A server whose replies are to come to the device. */
export function hostServer(service: ServiceConfig, server: ServerConfig): HostServer {
  return {
    address: server.address,
    name: `${service.name}/${server.name}`,
    mode: service.mode,
    protocol: service.protocol,
    ports: server.port === 0 ? service.ports : [[server.port, server.port]],
  };
}
