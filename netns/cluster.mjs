/**
 * Topology `cluster`: up to four dispatchers behind one router, which hands packets to them as it is told
 * (spraying.mjs), and a network of their own between them, which can be cut and made bad (hub.mjs).
 *
 *                      +---- d1 ----+
 *   client ---- router +---- d2 ----+ hub        dispatchers have one interface to the router and one to the hub
 *                  |   +---- d3 ----+
 *                  |   +---- d4 ----+
 *                  |
 *                  +---- s1 .. sN
 *
 *   client--router   198.51.100.0/24   2001:db8:c::/64   router .1, client .2
 *   router--dN       10.0.1.254 to 10.0.1.N              2001:db8:1::fe to ::N     point to point
 *   server LAN       10.0.2.0/24       2001:db8:2::/64   router .254 (::fe), server N .10+N (::10+N)
 *   hub--dN          10.0.9.254 to 10.0.9.N              2001:db8:9::fe to ::N     point to point; `bridged`: one LAN
 *   VIPs             192.0.2.0/24      2001:db8:f::/64   no route: what nobody sprays is unreachable, and shows
 *
 * The default gateway of the servers is the router, which sprays what they send from their own addresses to clients;
 * what they send from a VIP (.20 to .23, on their loopback) it routes straight. Nothing here knows Latchway.
 */
import {
  attach,
  CLIENT,
  CLIENT_POOL,
  client,
  DIRECT_VIPS,
  defaultRoutes,
  FORWARDING,
  OPEN_PATHS,
  QUIET_IPV6,
  ROUTER_TO_CLIENT,
  serverAddress,
} from './single.mjs';

/**
 * @typedef {object} ClusterOptions
 * @property {number} [dispatchers] 1 to 4, default 3
 * @property {number} [servers] 1 to 8, default 4
 * @property {number} [clientMtu] bytes; also of the server LAN
 * @property {number} [uplinkMtu] router to dispatchers, bytes
 * @property {number} [hubMtu] between dispatchers, bytes
 * @property {boolean} [bridged] the hub is a bridge, so that multicast passes; cuts and wires (hub.mjs) need a router
 */

const ROUTER = { 4: '10.0.1.254', 6: '2001:db8:1::fe' };
const HUB = { 4: '10.0.9.254', 6: '2001:db8:9::fe' };
const LAN_ROUTER = { 4: '10.0.2.254', 6: '2001:db8:2::fe' };
export const SERVER_LAN = { 4: '10.0.2.0/24', 6: '2001:db8:2::/64' };
/**
 * Addresses of the lab itself, where neighbours look for one another too: what goes there is never sprayed. A server tells
 * the router's link-local address about its global one, from that.
 */
export const INSIDE = {
  4: '10.0.0.0/16',
  6: '{ 2001:db8:1::/64, 2001:db8:2::/64, 2001:db8:9::/64, ff00::/8, fe80::/10 }',
};
const CLUSTER_NETWORK = { 4: '10.0.9.0/24', 6: '2001:db8:9::/64' };
/** A multicast group for dispatchers of a bridged hub. */
export const CLUSTER_GROUP = { 4: '239.1.2.3', 6: 'ff12::7373' };
/** The device of the router towards the servers. */
export const LAN_DEVICE = 'back';
const MAX_DISPATCHERS = 4;
const MAX_SERVERS = 8;

/** The router's device towards a dispatcher, and the hub's. @param {string} dispatcher such as `d1` */
export const deviceTo = (dispatcher) => `to-${dispatcher}`;

/** @param {string} dispatcher such as `d1` */
const numberOf = (dispatcher) => Number(dispatcher.slice(1));

/** Where the router finds a dispatcher. @param {string} dispatcher @param {4 | 6} family */
export function dispatcherAddress(dispatcher, family) {
  return family === 4 ? `10.0.1.${numberOf(dispatcher)}` : `2001:db8:1::${numberOf(dispatcher)}`;
}

/** Where dispatchers find one another. @param {string} dispatcher @param {4 | 6} family */
export function clusterAddress(dispatcher, family) {
  return family === 4 ? `10.0.9.${numberOf(dispatcher)}` : `2001:db8:9::${numberOf(dispatcher)}`;
}

/**
 * One end of a point-to-point link.
 * @param {string} device
 * @param {{ 4: string, 6: string }} own
 * @param {{ 4: string, 6: string }} other
 */
function pointToPoint(device, own, other) {
  return [
    `link set ${device} up`,
    `addr add ${own[4]} peer ${other[4]} dev ${device}`,
    `addr add ${own[6]} peer ${other[6]} dev ${device} nodad`,
  ];
}

const QUICK_ICMP = ['net.ipv4.icmp_ratelimit=0', 'net.ipv6.icmp.ratelimit=0'];

/** @param {string} dispatcher @param {typeof dispatcherAddress} address @returns {{ 4: string, 6: string }} */
const both = (dispatcher, address) => ({ 4: address(dispatcher, 4), 6: address(dispatcher, 6) });

/** @param {readonly string[]} dispatchers @param {readonly string[]} servers @returns {import('./single.mjs').Host} */
function router(dispatchers, servers) {
  return {
    name: 'router',
    sysctls: [...OPEN_PATHS, ...QUIET_IPV6, ...FORWARDING, ...QUICK_ICMP],
    commands: [
      ...attach('to-client', ROUTER_TO_CLIENT),
      `link add ${LAN_DEVICE} type bridge forward_delay 0 mcast_snooping 0`,
      ...attach(LAN_DEVICE, LAN_ROUTER),
      ...servers.flatMap((name) => [`link set to-${name} master ${LAN_DEVICE}`, `link set to-${name} up`]),
      ...dispatchers.flatMap((name) => pointToPoint(deviceTo(name), ROUTER, both(name, dispatcherAddress))),
      `route add ${CLIENT_POOL[4]} via ${CLIENT[4]}`,
      `route add ${CLIENT_POOL[6]} via ${CLIENT[6]}`,
    ],
  };
}

/** @param {string} name @returns {string[]} */
const toRoutedHub = (name) => [
  ...pointToPoint('to-hub', both(name, clusterAddress), HUB),
  // `onlink`: the kernel may take a moment to see that a fresh link has a carrier, and refuses IPv6 routes until then.
  `route add ${CLUSTER_NETWORK[4]} via ${HUB[4]} dev to-hub onlink src ${clusterAddress(name, 4)}`,
  `route add ${CLUSTER_NETWORK[6]} via ${HUB[6]} dev to-hub onlink`,
];

/** @param {string} name @param {boolean} bridged @returns {import('./single.mjs').Host} */
function dispatcher(name, bridged) {
  return {
    name,
    sysctls: [
      'net.ipv4.conf.all.rp_filter=1',
      'net.ipv4.conf.default.rp_filter=1',
      ...QUIET_IPV6,
      ...FORWARDING,
    ],
    commands: [
      ...pointToPoint('to-router', both(name, dispatcherAddress), ROUTER),
      ...(bridged ? attach('to-hub', both(name, clusterAddress)) : toRoutedHub(name)),
      `route add default via ${ROUTER[4]} dev to-router onlink`,
      `route add default via ${ROUTER[6]} dev to-router onlink`,
    ],
  };
}

/** @param {readonly string[]} dispatchers @param {boolean} bridged @returns {import('./single.mjs').Host} */
function hub(dispatchers, bridged) {
  const bridge = [
    'link add lan type bridge forward_delay 0 mcast_snooping 0',
    'link set lan up',
    ...dispatchers.flatMap((name) => [
      `link set ${deviceTo(name)} master lan`,
      `link set ${deviceTo(name)} up`,
    ]),
  ];
  return {
    name: 'hub',
    sysctls: [...OPEN_PATHS, ...QUIET_IPV6, ...FORWARDING, ...QUICK_ICMP],
    commands: bridged
      ? bridge
      : dispatchers.flatMap((name) => pointToPoint(deviceTo(name), HUB, both(name, clusterAddress))),
  };
}

/** @param {string} name @param {number} number @returns {import('./single.mjs').Host} */
function server(name, number) {
  return {
    name,
    sysctls: [...OPEN_PATHS, ...QUIET_IPV6, ...QUICK_ICMP, 'net.core.somaxconn=4096'],
    commands: [
      ...attach('to-router', { 4: serverAddress(number, 4), 6: serverAddress(number, 6) }),
      ...DIRECT_VIPS[4].map((vip) => `addr add ${vip}/32 dev lo`),
      ...DIRECT_VIPS[6].map((vip) => `addr add ${vip}/128 dev lo nodad`),
      ...defaultRoutes(LAN_ROUTER),
    ],
  };
}

/** @param {number} given @param {number} most @param {string} what */
function counted(given, most, what) {
  if (!Number.isInteger(given) || given < 1 || given > most) {
    throw new Error(`${what}: a number from 1 to ${most}`);
  }
  return Array.from({ length: given }, (_, index) => index + 1);
}

/**
 * @param {ClusterOptions} [options]
 * @returns {import('./single.mjs').Plan}
 */
export function cluster(options = {}) {
  const dispatchers = counted(options.dispatchers ?? 3, MAX_DISPATCHERS, 'dispatchers').map((n) => `d${n}`);
  const numbers = counted(options.servers ?? 4, MAX_SERVERS, 'servers');
  const servers = numbers.map((number) => `s${number}`);
  const clientMtu = options.clientMtu ?? 1500;
  const bridged = options.bridged ?? false;
  /** @param {string} from @param {string} device @param {string} to @param {number} [mtuBytes] */
  const link = (from, device, to, mtuBytes = clientMtu) => ({
    from: /** @type {[string, string]} */ ([from, device]),
    to: /** @type {[string, string]} */ ([to, deviceTo(from)]),
    mtuBytes,
  });
  return {
    hosts: [
      client(),
      router(dispatchers, servers),
      hub(dispatchers, bridged),
      ...dispatchers.map((name) => dispatcher(name, bridged)),
      ...servers.map((name, index) => server(name, index + 1)),
    ],
    links: [
      link('client', 'to-router', 'router'),
      ...dispatchers.map((name) => link(name, 'to-router', 'router', options.uplinkMtu)),
      ...dispatchers.map((name) => link(name, 'to-hub', 'hub', options.hubMtu ?? 1500)),
      ...servers.map((name) => link(name, 'to-router', 'router')),
    ],
  };
}
