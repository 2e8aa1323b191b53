/**
 * One server per session, wherever the assumptions of design section 3 hold. The world leaves out what `announce` does
 * not promise (datagrams that open), and connections whose first dispatcher died with what it alone knew.
 */

import type { CheckedWorld, Checker, Forwarded } from '../checker.ts';

export class OneServer implements Checker {
  readonly name = 'one-server';
  readonly servers = new Map<string, Set<number>>();

  forwarded(event: Forwarded): void {
    const seen = this.servers.get(event.connection);
    if (seen === undefined) this.servers.set(event.connection, new Set([event.server]));
    else seen.add(event.server);
  }

  finish(world: CheckedWorld): readonly string[] {
    if (world.assumptionBroken) return [];
    const faults: string[] = [];
    for (const [connection, servers] of this.servers) {
      if (servers.size > 1) faults.push(`${connection} met servers ${[...servers].join(', ')}`);
    }
    return faults;
  }
}
