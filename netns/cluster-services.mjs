/**
 * Services of a cluster in topology `cluster`: one for each combination of forwarding mode, scheduler and lock mode, all
 * in one configuration, each with a port of its own; and what the servers run for them.
 */
import { join } from 'node:path';
import { PROJECT } from './laboratory.mjs';
import { ipipService, natService, SERVER_PORTS } from './services.mjs';
import { DIRECT_VIPS, serverAddress } from './single.mjs';

export const MODES = /** @type {const} */ (['nat', 'ipip']);
export const SCHEDULERS = /** @type {const} */ (['maglev', 'rr', 'wlc']);
export const LOCKS = /** @type {const} */ (['announce', 'confirm', 'auto']);

/**
 * @typedef {object} Combination
 * @property {'nat' | 'ipip'} mode
 * @property {string} scheduler
 * @property {string} lock
 * @property {4 | 6} family of the VIP and of the servers
 */

const NAT_VIP = { 4: '192.0.2.10', 6: '2001:db8:f::10' };
const IPIP_VIP = {
  4: /** @type {string} */ (DIRECT_VIPS[4][0]),
  6: /** @type {string} */ (DIRECT_VIPS[6][0]),
};
const WEB_PORT = 8100;
const TALK_PORT = 7100;
const UDP_PORT = 5400;

/** @param {Combination} of */
export const nameOf = ({ mode, scheduler, lock, family }) => `${mode}${family}-${scheduler}-${lock}`;

/** @param {Combination} of */
const vipOf = ({ mode, family }) => (mode === 'nat' ? NAT_VIP : IPIP_VIP)[family];

/** @param {string} host */
const bracketed = (host) => (host.includes(':') ? `[${host}]` : host);

/** The services of some combinations, and where they are found. */
export class ClusterServices {
  /** @param {readonly Combination[]} combinations @param {number} servers @param {object} [more] keys of each service */
  constructor(combinations, servers, more = {}) {
    this.combinations = combinations;
    this.servers = servers;
    this.more = more;
    /** Servers that take no new flows (weight 0). @type {Set<string>} */
    this.drained = new Set();
  }

  /** @param {import('./services.mjs').Service} service */
  #drain(service) {
    for (const name of this.drained) {
      const server = service.servers[name];
      if (server !== undefined) server.weight = 0;
    }
    return service;
  }

  /** @param {Combination} of */
  #index(of) {
    const index = this.combinations.findIndex((one) => nameOf(one) === nameOf(of));
    if (index < 0) throw new Error(`no service ${nameOf(of)}`);
    return index;
  }

  /** @param {Combination} of */
  web(of) {
    const port = WEB_PORT + this.#index(of);
    return { host: vipOf(of), port, url: `http://${bracketed(vipOf(of))}:${port}` };
  }

  /** With affinity by client. @param {Combination} of */
  talk(of) {
    return { host: vipOf(of), port: TALK_PORT + this.#index(of) };
  }

  /** @param {Combination} of */
  udp(of) {
    return { host: vipOf(of), port: UDP_PORT + this.#index(of) };
  }

  /** In the form of the configuration file. @returns {Record<string, import('./services.mjs').Service>} */
  get config() {
    return Object.fromEntries(
      this.combinations.flatMap((of) => {
        const name = nameOf(of);
        const { servers: count, more } = this;
        const settings = { count, scheduler: of.scheduler, lock: of.lock, ...more };
        /** @param {'tcp' | 'udp'} protocol @param {number} port @param {number} serverPort @param {object} [special] */
        const service = (protocol, port, serverPort, special = {}) =>
          this.#drain(
            of.mode === 'nat'
              ? natService(vipOf(of), protocol, port, serverPort, { ...settings, ...special })
              : ipipService(vipOf(of), protocol, port, of.family, { ...settings, ...special }),
          );
        return [
          [`web-${name}`, service('tcp', this.web(of).port, SERVER_PORTS.http)],
          [`talk-${name}`, service('tcp', this.talk(of).port, SERVER_PORTS.talk, { affinity: 'client' })],
          [`udp-${name}`, service('udp', this.udp(of).port, SERVER_PORTS.udp)],
        ];
      }),
    );
  }

  /**
   * Starts what the servers run.
   * @param {import('./laboratory.mjs').Lab} lab
   * @param {readonly ('web' | 'talk' | 'udp')[]} [kinds]
   */
  async startServers(lab, kinds = ['web', 'talk', 'udp']) {
    const ports = (/** @type {number} */ own, /** @type {number} */ kept) =>
      [own, ...this.combinations.map((_, index) => kept + index)].join(',');
    const started = await Promise.all(
      lab.servers.flatMap((name, index) => {
        const own = /** @type {const} */ ([4, 6]).map((family) => serverAddress(index + 1, family));
        const bind = [...own, IPIP_VIP[4], IPIP_VIP[6]].join(',');
        const tools = /** @type {const} */ ({
          web: ['http-server', ['--port', ports(SERVER_PORTS.http, WEB_PORT)]],
          talk: ['talk-server', ['--port', ports(SERVER_PORTS.talk, TALK_PORT)]],
          udp: ['udp-server', ['--port', ports(SERVER_PORTS.udp, UDP_PORT), '--bind', bind]],
        });
        return kinds.map((kind) => {
          const [tool, parameters] = tools[kind];
          return lab.startTool(name, tool, ['--name', name, ...parameters]);
        });
      }),
    );
    if (!this.combinations.some(({ mode }) => mode === 'ipip')) return started;
    const command = [process.execPath, join(PROJECT, 'netns', 'decap.mjs')];
    await Promise.all(lab.servers.map((name) => lab.spawn(name, command, { ready: /^ready$/ })));
    return started;
  }
}

/**
 * Combinations in which each pair of two settings occurs (three schedulers by three locks, modes in turn).
 * @param {4 | 6} family
 * @returns {Combination[]}
 */
export function pairwise(family) {
  return SCHEDULERS.flatMap((scheduler, row) =>
    LOCKS.map((lock, column) => ({
      mode: (row + column) % 2 === 0 ? /** @type {const} */ ('nat') : /** @type {const} */ ('ipip'),
      scheduler,
      lock,
      family,
    })),
  );
}

/** All of them. @param {4 | 6} family @returns {Combination[]} */
export function everyCombination(family) {
  return MODES.flatMap((mode) =>
    SCHEDULERS.flatMap((scheduler) => LOCKS.map((lock) => ({ mode, scheduler, lock, family }))),
  );
}
