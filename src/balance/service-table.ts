/**
 * A generation compiled for one thread's packet path: which service is a packet for, from which server is it, and the
 * properties of both as columns by index.
 *
 * Never changed: a new generation is a new table. Look-ups take address words signed or unsigned. The columns hold
 * address words as signed 32-bit numbers, since V8 boxes unsigned ones from 2^31 on when it passes them on.
 */

import { type AddressWords, familyMask } from '../wire/address.ts';
import { type Generation, isCandidate, PROTOCOL_TCP, PROTOCOL_UDP, type ServiceSpec } from './generation.ts';
import { PortIndex, type PortRange } from './port-index.ts';
import { NO_VALUE, TupleMap } from './tuple-map.ts';

/** No service, and the address is no VIP. */
export const NO_SERVICE = -1;
/** The address is a VIP, but no service has this protocol and port. */
export const VIP_ONLY = -2;
/** No server has this address and protocol. */
export const NO_ENDPOINT = -1;

export const MODE_NAT = 0;
export const MODE_IPIP = 1;

export const POLICY_RESET = 0;
export const POLICY_DROP = 1;
export const POLICY_HASH = 2;

const MODES = { nat: MODE_NAT, ipip: MODE_IPIP } as const;
const POLICIES = { reset: POLICY_RESET, drop: POLICY_DROP, hash: POLICY_HASH } as const;

/** The session mask of a service over the four words of a client address: all ones for affinity by flow. */
export function affinityMask(service: Pick<ServiceSpec, 'affinity' | 'vip'>): Int32Array {
  const { affinity, vip } = service;
  if (affinity.kind === 'flow') return new Int32Array(4).fill(-1);
  return Int32Array.from(familyMask(vip.family, affinity.prefix), (word) => word | 0);
}

/** A protocol that services have, as 0 or 1; -1 for all others. */
function protocolBit(protocol: number): number {
  return protocol === PROTOCOL_TCP ? 0 : protocol === PROTOCOL_UDP ? 1 : -1;
}

export class ServiceTable {
  /** `Generation.number`. */
  readonly generation: number;

  // By service index; a service that does not exist has 0 everywhere.
  readonly mode: Uint8Array;
  /** POLICY_*. */
  readonly unknown: Uint8Array;
  readonly protocol: Uint8Array;
  /** 1: `on-server-down: reset`. */
  readonly resetsOnDown: Uint8Array;
  /** 1: `on-server-down: rebind`. */
  readonly rebindsOnDown: Uint8Array;
  /** 1: affinity by client. */
  readonly session: Uint8Array;
  /** Four words a service. */
  readonly vip: Int32Array;
  /** Four words a service: what of a client address makes the session. */
  readonly mask: Int32Array;

  // By server index.
  /** Four words a server. */
  readonly serverAddress: Int32Array;
  /** 4 or 6; 0 when there is no such server. */
  readonly serverFamily: Uint8Array;
  /** 0: keeps the packet's port. */
  readonly serverPort: Uint16Array;
  readonly serverWeight: Uint32Array;
  readonly serverMtu: Uint32Array;
  readonly serverEndpoint: Uint16Array;
  readonly serverService: Int32Array;
  /** Four words of the on-link prefix and four of its mask a server; 0 when it has none. */
  readonly #subnet: Int32Array;
  readonly #serverUp: Uint8Array;
  readonly #candidate: Uint8Array;

  readonly #known: Uint8Array;
  /** VIP to its number. */
  readonly #vips: TupleMap;
  /** (VIP number << 1 | protocol bit, port) to service. */
  readonly #ports: PortIndex;
  /** (server address, protocol) to endpoint, servers in mode nat only. */
  readonly #endpoints: TupleMap;
  /** (endpoint, port) to 1. */
  readonly #endpointPorts: PortIndex;

  /** @throws RangeError when there are more than 32,768 different VIPs. */
  constructor(generation: Generation) {
    const { services } = generation;
    this.generation = generation.number;
    const serviceSlots = services.reduce((most, service) => Math.max(most, service.index + 1), 0);
    this.#known = new Uint8Array(serviceSlots);
    this.mode = new Uint8Array(serviceSlots);
    this.unknown = new Uint8Array(serviceSlots);
    this.protocol = new Uint8Array(serviceSlots);
    this.resetsOnDown = new Uint8Array(serviceSlots);
    this.rebindsOnDown = new Uint8Array(serviceSlots);
    this.session = new Uint8Array(serviceSlots);
    this.vip = new Int32Array(serviceSlots * 4);
    this.mask = new Int32Array(serviceSlots * 4);

    const servers = services.flatMap((service) => service.servers);
    const serverSlots = servers.reduce((most, server) => Math.max(most, server.index + 1), 0);
    this.serverAddress = new Int32Array(serverSlots * 4);
    this.serverFamily = new Uint8Array(serverSlots);
    this.serverPort = new Uint16Array(serverSlots);
    this.serverWeight = new Uint32Array(serverSlots);
    this.serverMtu = new Uint32Array(serverSlots);
    this.serverEndpoint = new Uint16Array(serverSlots);
    this.serverService = new Int32Array(serverSlots).fill(NO_SERVICE);
    this.#subnet = new Int32Array(serverSlots * 8);
    this.#serverUp = new Uint8Array(serverSlots);
    this.#candidate = new Uint8Array(serverSlots);
    for (const service of services) this.#setColumns(service);

    this.#vips = new TupleMap(services.length);
    this.#ports = new PortIndex(this.#enterVips(services));
    this.#endpoints = new TupleMap(servers.length);
    this.#endpointPorts = new PortIndex(this.#enterEndpoints(services));
  }

  /**
   * The service that a packet to this address and port is for.
   * @param port destination port, host order. @returns service index, VIP_ONLY or NO_SERVICE. Allocates nothing, never throws.
   */
  findService(a0: number, a1: number, a2: number, a3: number, protocol: number, port: number): number {
    const vip = this.#vips.get(a0, a1, a2, a3, 0);
    if (vip === NO_VALUE) return NO_SERVICE;
    const bit = protocolBit(protocol);
    if (bit < 0) return VIP_ONLY;
    const service = this.#ports.find((vip << 1) | bit, port);
    return service === NO_VALUE ? VIP_ONLY : service;
  }

  /** Whether the address is a VIP of any service. Allocates nothing, never throws. */
  isVip(a0: number, a1: number, a2: number, a3: number): boolean {
    return this.#vips.get(a0, a1, a2, a3, 0) !== NO_VALUE;
  }

  /**
   * The endpoint of the `nat` servers at an address, for packets from there.
   * @returns endpoint or NO_ENDPOINT. Allocates nothing, never throws.
   */
  findEndpoint(a0: number, a1: number, a2: number, a3: number, protocol: number): number {
    return this.#endpoints.get(a0, a1, a2, a3, protocol);
  }

  /** Whether a `nat` server answers clients from this port. Allocates nothing, never throws. */
  endpointPortIsServer(endpoint: number, port: number): boolean {
    return this.#endpointPorts.find(endpoint, port) !== NO_VALUE;
  }

  isService(service: number): boolean {
    return this.#known[service] === 1;
  }

  /** Whether sessions are clients (or their prefixes) and have entries of their own. */
  isSession(service: number): boolean {
    return this.session[service] === 1;
  }

  /** Whether any service has sessions. */
  get hasSessions(): boolean {
    return this.session.includes(1);
  }

  /** Whether replies bypass the dispatcher. */
  isOneWay(service: number): boolean {
    return this.mode[service] === MODE_IPIP;
  }

  isServerUp(server: number): boolean {
    return this.#serverUp[server] === 1;
  }

  isServerOf(service: number, server: number): boolean {
    return this.serverService[server] === service;
  }

  /** Whether the server is of this service and may be given new flows: up, with weight, staying. */
  isCandidate(service: number, server: number): boolean {
    return this.#candidate[server] === 1 && this.serverService[server] === service;
  }

  /** Whether an address is on the subnet on which this host reaches the server directly. Allocates nothing, never throws. */
  isNeighbour(server: number, a0: number, a1: number, a2: number, a3: number): boolean {
    const words = this.#subnet;
    const at = server * 8;
    // A mask of 0 means that there is no such subnet: no on-link prefix is that wide.
    if (words[at + 7] === 0 && words[at + 4] === 0) return false;
    const differs =
      ((a0 & words[at + 4]!) ^ words[at]!) |
      ((a1 & words[at + 5]!) ^ words[at + 1]!) |
      ((a2 & words[at + 6]!) ^ words[at + 2]!) |
      ((a3 & words[at + 7]!) ^ words[at + 3]!);
    return differs === 0;
  }

  /** Whether flows of this server are to be reset: it is down (or gone) and the service says so. */
  serverResets(service: number, server: number): boolean {
    return this.resetsOnDown[service] === 1 && this.#serverUp[server] !== 1;
  }

  /** Whether flows of this server are to end or to move: it is down and the service says so. */
  endsFlows(service: number, server: number): boolean {
    return this.serverResets(service, server) || this.serverRebinds(service, server);
  }

  /** Whether flows of this server are to move: it is down and the service says so. */
  serverRebinds(service: number, server: number): boolean {
    return this.rebindsOnDown[service] === 1 && this.#serverUp[server] !== 1;
  }

  #setColumns(service: ServiceSpec): void {
    const { index } = service;
    this.#known[index] = 1;
    this.mode[index] = MODES[service.mode];
    this.unknown[index] = POLICIES[service.unknown];
    this.protocol[index] = service.protocol;
    this.resetsOnDown[index] = service.onServerDown === 'reset' ? 1 : 0;
    this.rebindsOnDown[index] = service.onServerDown === 'rebind' ? 1 : 0;
    this.session[index] = service.affinity.kind === 'client' ? 1 : 0;
    this.vip.set(signed(service.vip.words), index * 4);
    this.mask.set(affinityMask(service), index * 4);
    for (const server of service.servers) {
      this.serverAddress.set(signed(server.address.words), server.index * 4);
      this.serverFamily[server.index] = server.address.family;
      this.serverPort[server.index] = server.port;
      this.serverWeight[server.index] = server.weight;
      this.serverMtu[server.index] = server.mtuBytes;
      this.serverEndpoint[server.index] = server.endpoint;
      this.serverService[server.index] = index;
      if (server.subnet !== undefined) {
        const { address, bits } = server.subnet;
        const mask = signed(familyMask(address.family, bits));
        const network = signed(address.words).map((word, at) => word & mask[at]!);
        this.#subnet.set([...network, ...mask], server.index * 8);
      }
      this.#serverUp[server.index] = server.up ? 1 : 0;
      this.#candidate[server.index] = isCandidate(server) ? 1 : 0;
    }
  }

  #enterVips(services: readonly ServiceSpec[]): PortRange[] {
    let count = 0;
    return services.flatMap((service) => {
      const [w0, w1, w2, w3] = service.vip.words;
      this.#vips.add(w0, w1, w2, w3, 0, count);
      const vip = this.#vips.get(w0, w1, w2, w3, 0);
      if (vip === count) count++;
      if (count > 32_768) throw new RangeError('more than 32,768 different VIPs');
      const group = (vip << 1) | protocolBit(service.protocol);
      return service.ports.map(([first, last]) => ({ group, first, last, value: service.index }));
    });
  }

  #enterEndpoints(services: readonly ServiceSpec[]): PortRange[] {
    return services.flatMap((service) => {
      if (service.mode !== 'nat') return [];
      return service.servers.flatMap(({ address, endpoint, port }) => {
        const [w0, w1, w2, w3] = address.words;
        this.#endpoints.add(w0, w1, w2, w3, service.protocol, endpoint);
        const ports: ServiceSpec['ports'] = port === 0 ? service.ports : [[port, port]];
        return ports.map(([first, last]) => ({ group: endpoint, first, last, value: 1 }));
      });
    });
  }
}

function signed(words: AddressWords): number[] {
  return words.map((word) => word | 0);
}
