/**
 * One server per connection, wherever the assumptions of cluster/PROTOCOL.md hold; and one per client under `affinity:
 * client`. Servers that died do not count, nor for clients those that were drained. Left out is what `announce` does not
 * promise (datagrams, sessions), and connections whose first dispatcher died with what it alone knew.
 */

import type { CheckedWorld, Checker, Forwarded } from '../checker.ts';
import type { Connection } from '../connection.ts';

export class OneServer implements Checker {
  readonly name = 'one-server';
  readonly servers = new Map<Connection, Set<number>>();

  forwarded({ connection, server }: Forwarded): void {
    const seen = this.servers.get(connection);
    if (seen === undefined) this.servers.set(connection, new Set([server]));
    else seen.add(server);
  }

  finish(world: CheckedWorld): readonly string[] {
    if (world.assumptionBroken) return [];
    const faults: string[] = [];
    const sessions = new Map<string, Set<number>>();
    const excused = new Set<string>();
    for (const [connection, servers] of this.servers) {
      const { session, name } = connection;
      if (session !== undefined && connection.excused) excused.add(session.text);
      if (connection.excused || (connection.udp && world.announces)) continue;
      const met = [...servers].filter((server) => !world.dead.has(server));
      if (met.length > 1) faults.push(`${name} met servers ${met.join(', ')}`);
      if (session === undefined || world.announces) continue;
      const all = sessions.get(session.text) ?? new Set<number>();
      for (const server of met) if (!world.drained.has(server)) all.add(server);
      sessions.set(session.text, all);
    }
    for (const [text, all] of sessions) {
      if (all.size > 1 && !excused.has(text))
        faults.push(`client ${text} met servers ${[...all].join(', ')}`);
    }
    return faults;
  }
}
