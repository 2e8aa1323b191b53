/** What the set-up of the host needs to know of a configuration. */
import type { Config } from './config.ts';
import type { HostInput } from './host-plan.ts';

/** Number of the routing table for replies (and the one after it, for errors about them). */
export const REPLY_TABLE = 7300;

export function hostInput(config: Config): HostInput {
  return {
    device: config.device.name,
    table: REPLY_TABLE,
    vips: config.services.map(({ vip, name }) => ({ address: vip, service: name })),
    servers: config.services.flatMap(({ name, mode, protocol, ports, servers }) =>
      servers.map((server) => ({
        address: server.address,
        name: `${name}/${server.name}`,
        mode,
        protocol,
        ports: server.port === 0 ? ports : [[server.port, server.port] as const],
      })),
    ),
  };
}
