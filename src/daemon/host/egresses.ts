/** The ways out to servers: MTU and on-link subnet of each, looked up at start, at reload and whenever routes change. */
import { isDeepStrictEqual } from 'node:util';
import { formatAddress } from '../../wire/address.ts';
import type { Log } from '../log.ts';
import type { ServiceRecord } from '../pool/records.ts';
import { type Egress, lookupEgress } from './routes.ts';

/** By address text. */
export type Egresses = ReadonlyMap<string, Egress>;

/** @throws LatchwayError host-command */
export function findEgresses(services: readonly ServiceRecord[]): Promise<Egresses> {
  return lookupEgress(services.flatMap(({ servers }) => servers.map((server) => server.config.address)));
}

/** Notes what was found in the records. @returns whether anything changed. */
export function noteEgresses(services: readonly ServiceRecord[], found: Egresses, log: Log): boolean {
  let changed = false;
  for (const { config, servers } of services) {
    for (const server of servers) {
      const address = formatAddress(server.config.address);
      const egress = found.get(address);
      if (egress === undefined) {
        log.warn({ service: config.name, server: server.config.name, address }, 'no route to server');
        continue;
      }
      if (server.mtuBytes === egress.mtuBytes && isDeepStrictEqual(server.subnet, egress.onLinkPrefix))
        continue;
      server.mtuBytes = egress.mtuBytes;
      server.subnet = egress.onLinkPrefix;
      changed = true;
    }
  }
  return changed;
}
