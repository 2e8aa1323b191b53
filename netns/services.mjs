/**
 * Configurations for labs: services over the servers of topology `single`, in the form of the configuration file.
 */
import { serverAddress } from './single.mjs';

/**
 * @typedef {Record<string, { address: string, port?: number, weight?: number }>} Servers
 *
 * @typedef {object} Service one of `services` in the configuration file
 * @property {string} vip
 * @property {'tcp' | 'udp'} protocol
 * @property {(number | string)[]} ports
 * @property {string} mode
 * @property {Servers} servers
 * @property {string} [scheduler]
 * @property {string} [affinity]
 * @property {string} [unknown]
 * @property {object} [health]
 * @property {object} [timeouts]
 */

/** Ports that the servers of a lab listen on. */
export const SERVER_PORTS = { http: 8080, talk: 7000, udp: 5300 };

/**
 * @param {number} count servers, `s1` first
 * @param {4 | 6} family of their addresses
 * @param {number} [port] left out: the destination port is kept
 * @returns {Servers}
 */
export function serverList(count, family, port) {
  const numbers = Array.from({ length: count }, (_, index) => index + 1);
  return Object.fromEntries(
    numbers.map((number) => [
      `s${number}`,
      { address: serverAddress(number, family), ...(port === undefined ? {} : { port }) },
    ]),
  );
}

/**
 * A `nat` service.
 * @param {string} vip
 * @param {'tcp' | 'udp'} protocol
 * @param {number} port
 * @param {number} serverPort
 * @param {Partial<Service> & { count?: number }} [more] `count`: servers, default 4
 * @returns {Service}
 */
export function natService(vip, protocol, port, serverPort, more = {}) {
  const { count = 4, ...rest } = more;
  const servers = serverList(count, vip.includes(':') ? 6 : 4, serverPort);
  return { vip, protocol, ports: [port], mode: 'nat', servers, health: { type: 'none' }, ...rest };
}

/**
 * An `ipip` service: the servers hold the VIP and listen on its port.
 * @param {string} vip one of DIRECT_VIPS
 * @param {'tcp' | 'udp'} protocol
 * @param {number} port
 * @param {4 | 6} outer family of the servers' own addresses
 * @param {Partial<Service> & { count?: number }} [more]
 * @returns {Service}
 */
export function ipipService(vip, protocol, port, outer, more = {}) {
  const { count = 4, ...rest } = more;
  const servers = serverList(count, outer);
  return { vip, protocol, ports: [port], mode: 'ipip', servers, health: { type: 'none' }, ...rest };
}

/**
 * HTTP, long-lived TCP and UDP echo over both families.
 * @param {number} count servers
 * @param {string} scheduler
 * @returns {Record<string, Service>}
 */
export function labServices(count, scheduler) {
  const { http, talk, udp } = SERVER_PORTS;
  const more = { count, scheduler };
  const health = { type: 'tcp', interval: '1s', timeout: '500ms' };
  return {
    web: natService('192.0.2.10', 'tcp', 80, http, { ...more, health }),
    web6: natService('2001:db8:f::10', 'tcp', 80, http, { ...more, health }),
    talk: natService('192.0.2.10', 'tcp', 7000, talk, more),
    echo: natService('192.0.2.10', 'udp', 53, udp, more),
    echo6: natService('2001:db8:f::10', 'udp', 53, udp, more),
  };
}
