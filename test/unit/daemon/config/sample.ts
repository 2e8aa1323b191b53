/** Text of valid configurations for tests, and what a faulty one is told. */
import { LatchwayError } from '../../../../src/base/fault.ts';
import { parseConfig } from '../../../../src/daemon/config/config.ts';

/** Every key of the contract, each with a value of its own. Line numbers matter to nobody. */
export const FULL = `
cluster:
  name: edge
  key-file: cluster.key
  port: 7373
  multicast: 239.1.2.3
  heartbeat: 100ms
  dead-after: 500ms
  lease: 250ms
  confirm-timeout: 20ms
  dispatchers:
    d1: 10.0.1.1
device: { name: lw1, queues: 2 }
table: { capacity: 4096 }
flood: { new-sessions-per-second: 1000 }
timeouts: { tcp-established: 10m, tcp-opening: 20s, tcp-closing: 10s, udp: 1m, client: 5m }
metrics: { listen: "127.0.0.1:9273" }
services:
  web:
    vip: 192.0.2.10
    protocol: tcp
    ports: [443, "8000-8099", 80]
    mode: nat
    scheduler: wlc
    affinity: client/24
    lock: announce
    unknown: drop
    on-server-down: reset
    timeouts: { udp: 7s }
    servers:
      s1: { address: 10.0.2.1, port: 8080, weight: 3 }
      s2: { address: 10.0.2.2, port: 8080, weight: 0 }
    health: { type: tcp, interval: 2s, timeout: 300ms, rise: 1, fall: 5, port: 81 }
  dns:
    vip: 2001:db8::53
    protocol: udp
    ports: any
    mode: ipip
    servers:
      s1: { address: 2001:db8:1::1 }
      s2: { address: 10.0.2.1 }
`;

/** The least that is valid; `extra` lines go into the service, `servers` replaces its servers. */
export function service(extra = '', servers = 's1: { address: 10.0.2.1 }'): string {
  const lines = extra === '' ? '' : `${extra.replace(/^/gm, '    ')}\n`;
  return `services:\n  web:\n    vip: 192.0.2.10\n    protocol: tcp\n    ports: [80]\n${lines}    servers:\n${servers.replace(/^/gm, '      ')}\n`;
}

/** Faults of a text as `path: message (line)`; empty when it is valid. */
export function faultsOf(text: string): string[] {
  try {
    parseConfig(text, '/etc/latchway.yaml');
    return [];
  } catch (error) {
    if (!(error instanceof LatchwayError) || error.fault.code !== 'config') throw error;
    return error.fault.faults.map(({ path, message, line }) => `${path}: ${message} (${line})`);
  }
}
