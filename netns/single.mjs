/**
 * Topology `single`: one dispatcher between a router and a server LAN.
 *
 *   client ---- router ---- d1 ---- switch ---- s1 .. sN
 *                  |                   |
 *                  +-------------------+      direct return: only what a server sends from a VIP goes this way
 *
 *   client--router   198.51.100.0/24   2001:db8:c::/64   router .1, client .2
 *   router--d1       10.0.1.0/24       2001:db8:1::/64   router .254 (::fe), d1 .1
 *   server LAN       10.0.2.0/24       2001:db8:2::/64   d1 .254 (::fe), router .253 (::fd), server N .10+N (::10+N)
 *   VIPs             192.0.2.0/24      2001:db8:f::/64   the router's route to them is d1
 *
 * The client may also use any address of 198.18.0.0/15 and 2001:db8:cccc::/48 as its own: that is what affinity
 * needs. Servers go back through d1 by default; the VIPs .20 to .23 (::20 to ::23) are on each server's loopback,
 * and packets from any VIP leave straight to the router. Nothing here knows Latchway.
 */

/**
 * @typedef {object} Link
 * @property {[host: string, device: string]} from
 * @property {[host: string, device: string]} to
 * @property {number} mtuBytes
 *
 * @typedef {object} Host
 * @property {string} name
 * @property {string[]} sysctls `key=value`
 * @property {string[]} commands `ip` commands inside the namespace, in order, without the word `ip`
 *
 * @typedef {{ hosts: Host[], links: Link[] }} Plan
 *
 * @typedef {object} SingleOptions
 * @property {number} [servers] 1 to 8, default 4
 * @property {number} [clientMtu] client to router, bytes
 * @property {number} [uplinkMtu] router to d1, bytes; default as clientMtu
 * @property {number} [serverMtu] the server LAN, bytes
 * @property {boolean} [forwarding] d1 forwards by itself, as a gateway does; default true
 * @property {0 | 1 | 2} [rpFilter] reverse path filter on d1; default 1, the strictest
 */

export const CLIENT = { 4: '198.51.100.2', 6: '2001:db8:c::2' };
export const ROUTER_TO_CLIENT = { 4: '198.51.100.1', 6: '2001:db8:c::1' };
const UPLINK_ROUTER = { 4: '10.0.1.254', 6: '2001:db8:1::fe' };
const UPLINK_DISPATCHER = { 4: '10.0.1.1', 6: '2001:db8:1::1' };
const LAN_DISPATCHER = { 4: '10.0.2.254', 6: '2001:db8:2::fe' };
const LAN_ROUTER = { 4: '10.0.2.253', 6: '2001:db8:2::fd' };
export const VIP_NETWORK = { 4: '192.0.2.0/24', 6: '2001:db8:f::/64' };
export const CLIENT_POOL = { 4: '198.18.0.0/15', 6: '2001:db8:cccc::/48' };
const DIRECT_TABLE = 100;
const MAX_SERVERS = 8;

/** Addresses that no client may ever see as a source: those of the servers. */
export const SERVER_NETWORK = { 4: '10.0.2.0/24', 6: '2001:db8:2::/64' };

/** VIPs that the servers hold themselves, for forwarding modes with direct return. */
export const DIRECT_VIPS = { 4: numbered('192.0.2.', 20, 4), 6: numbered('2001:db8:f::', 20, 4) };

/** @param {string} prefix @param {number} first @param {number} count */
function numbered(prefix, first, count) {
  return Array.from({ length: count }, (_, index) => `${prefix}${first + index}`);
}

/**
 * The address of a server.
 * @param {number} number from 1
 * @param {4 | 6} family
 */
export function serverAddress(number, family) {
  return family === 4 ? `10.0.2.${10 + number}` : `2001:db8:2::${10 + number}`;
}

export const QUIET_IPV6 = [
  'net.ipv6.conf.default.accept_dad=0',
  'net.ipv6.conf.default.dad_transmits=0',
  'net.ipv6.conf.all.accept_ra=0',
  'net.ipv6.conf.default.accept_ra=0',
];
export const OPEN_PATHS = ['net.ipv4.conf.all.rp_filter=0', 'net.ipv4.conf.default.rp_filter=0'];
export const FORWARDING = ['net.ipv4.ip_forward=1', 'net.ipv6.conf.all.forwarding=1'];

/**
 * @param {string} device
 * @param {{ 4: string, 6: string }} address
 */
export function attach(device, address) {
  return [
    `link set ${device} up`,
    `addr add ${address[4]}/24 dev ${device}`,
    `addr add ${address[6]}/64 dev ${device} nodad`,
  ];
}

/** @param {{ 4: string, 6: string }} gateway @param {string} [table] */
export function defaultRoutes(gateway, table = '') {
  return [`route add default via ${gateway[4]}${table}`, `route add default via ${gateway[6]}${table}`];
}

/** @returns {Host} */
export function client() {
  return {
    name: 'client',
    sysctls: [...OPEN_PATHS, ...QUIET_IPV6, 'net.ipv6.ip_nonlocal_bind=1', 'net.ipv4.tcp_tw_reuse=1'],
    commands: [
      ...attach('to-router', CLIENT),
      `route add local ${CLIENT_POOL[4]} dev lo`,
      `route add local ${CLIENT_POOL[6]} dev lo`,
      ...defaultRoutes(ROUTER_TO_CLIENT),
    ],
  };
}

/** @returns {Host} */
function router() {
  return {
    name: 'router',
    // A router that limits its own ICMP errors would make tests of path MTU depend on the clock.
    sysctls: [
      ...OPEN_PATHS,
      ...QUIET_IPV6,
      ...FORWARDING,
      'net.ipv4.icmp_ratelimit=0',
      'net.ipv6.icmp.ratelimit=0',
    ],
    commands: [
      ...attach('to-client', ROUTER_TO_CLIENT),
      ...attach('to-d1', UPLINK_ROUTER),
      ...attach('to-lan', LAN_ROUTER),
      `route add ${VIP_NETWORK[4]} via ${UPLINK_DISPATCHER[4]}`,
      `route add ${VIP_NETWORK[6]} via ${UPLINK_DISPATCHER[6]}`,
      `route add ${CLIENT_POOL[4]} via ${CLIENT[4]}`,
      `route add ${CLIENT_POOL[6]} via ${CLIENT[6]}`,
    ],
  };
}

/** @param {boolean} forwarding @param {number} rpFilter @returns {Host} */
function dispatcher(forwarding, rpFilter) {
  return {
    name: 'd1',
    sysctls: [
      `net.ipv4.conf.all.rp_filter=${rpFilter}`,
      `net.ipv4.conf.default.rp_filter=${rpFilter}`,
      ...QUIET_IPV6,
      ...(forwarding ? FORWARDING : []),
    ],
    commands: [
      ...attach('to-router', UPLINK_DISPATCHER),
      ...attach('to-lan', LAN_DISPATCHER),
      ...defaultRoutes(UPLINK_ROUTER),
    ],
  };
}

/** @param {number} number @returns {Host} */
function server(number) {
  const own = { 4: serverAddress(number, 4), 6: serverAddress(number, 6) };
  return {
    name: `s${number}`,
    sysctls: [...OPEN_PATHS, ...QUIET_IPV6, 'net.ipv4.icmp_ratelimit=0', 'net.ipv6.icmp.ratelimit=0'],
    commands: [
      ...attach('to-lan', own),
      ...DIRECT_VIPS[4].map((vip) => `addr add ${vip}/32 dev lo`),
      ...DIRECT_VIPS[6].map((vip) => `addr add ${vip}/128 dev lo nodad`),
      ...defaultRoutes(LAN_DISPATCHER),
      `rule add from ${VIP_NETWORK[4]} lookup ${DIRECT_TABLE}`,
      `-6 rule add from ${VIP_NETWORK[6]} lookup ${DIRECT_TABLE}`,
      ...defaultRoutes(LAN_ROUTER, ` table ${DIRECT_TABLE}`),
    ],
  };
}

/** @param {string[]} ports @param {number} mtuBytes @returns {Host} */
function lanSwitch(ports, mtuBytes) {
  return {
    name: 'switch',
    sysctls: QUIET_IPV6,
    commands: [
      'link add lan type bridge forward_delay 0 mcast_snooping 0',
      `link set lan mtu ${mtuBytes} up`,
      ...ports.flatMap((port) => [`link set ${port} master lan`, `link set ${port} up`]),
    ],
  };
}

/**
 * @param {SingleOptions} [options]
 * @returns {Plan}
 */
export function single(options = {}) {
  const servers = options.servers ?? 4;
  if (!Number.isInteger(servers) || servers < 1 || servers > MAX_SERVERS) {
    throw new Error(`servers: a number from 1 to ${MAX_SERVERS}`);
  }
  const clientMtu = options.clientMtu ?? 1500;
  const serverMtu = options.serverMtu ?? 1500;
  const numbers = Array.from({ length: servers }, (_, index) => index + 1);
  const members = ['d1', 'router', ...numbers.map((number) => `s${number}`)];
  return {
    hosts: [
      client(),
      router(),
      dispatcher(options.forwarding ?? true, options.rpFilter ?? 1),
      lanSwitch(members, serverMtu),
      ...numbers.map(server),
    ],
    links: [
      { from: ['client', 'to-router'], to: ['router', 'to-client'], mtuBytes: clientMtu },
      { from: ['router', 'to-d1'], to: ['d1', 'to-router'], mtuBytes: options.uplinkMtu ?? clientMtu },
      ...members.map((member) => ({
        from: /** @type {[string, string]} */ ([member, 'to-lan']),
        to: /** @type {[string, string]} */ (['switch', member]),
        mtuBytes: serverMtu,
      })),
    ],
  };
}
