/**
 * Topology `line`: as few hops as there can be, so that what d1 does is most of what a packet costs.
 *
 *   client ---- d1 ---- s1
 *
 *   client--d1   198.51.100.0/24   d1 .1, client .2; 198.18.0.0/15 is the client's as well
 *   d1--s1       10.0.2.0/24       d1 .254, s1 .11
 *   VIPs         192.0.2.0/24      the client's default route is d1
 *
 * IPv4 only. Nothing here knows Latchway.
 */

import { OPEN_PATHS, QUIET_IPV6 } from './single.mjs';

// Many short connections: ports of both sides must come back soon.
const MANY_PORTS = ['net.ipv4.ip_local_port_range=1024 65535', 'net.ipv4.tcp_tw_reuse=1'];
const LONG_QUEUES = ['net.core.somaxconn=4096', 'net.ipv4.tcp_max_syn_backlog=8192'];

/** @returns {import('./single.mjs').Plan} */
export function line() {
  return {
    hosts: [
      {
        name: 'client',
        sysctls: [...OPEN_PATHS, ...QUIET_IPV6, ...MANY_PORTS],
        commands: [
          'link set to-d1 up',
          'addr add 198.51.100.2/24 dev to-d1',
          'route add local 198.18.0.0/15 dev lo',
          'route add default via 198.51.100.1',
        ],
      },
      {
        name: 'd1',
        sysctls: [...OPEN_PATHS, ...QUIET_IPV6, ...MANY_PORTS, ...LONG_QUEUES, 'net.ipv4.ip_forward=1'],
        commands: [
          'link set to-client up',
          'link set to-lan up',
          'addr add 198.51.100.1/24 dev to-client',
          'addr add 10.0.2.254/24 dev to-lan',
          'route add 198.18.0.0/15 via 198.51.100.2',
        ],
      },
      {
        name: 's1',
        sysctls: [...OPEN_PATHS, ...QUIET_IPV6, ...LONG_QUEUES],
        commands: [
          'link set to-lan up',
          'addr add 10.0.2.11/24 dev to-lan',
          'route add default via 10.0.2.254',
        ],
      },
    ],
    links: [
      { from: ['client', 'to-d1'], to: ['d1', 'to-client'], mtuBytes: 1500 },
      { from: ['d1', 'to-lan'], to: ['s1', 'to-lan'], mtuBytes: 1500 },
    ],
  };
}
