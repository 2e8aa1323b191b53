/**
 * One generation of what is balanced: services, their servers, their weights and health, as plain data.
 *
 * The main thread makes it from the configuration and from health, and posts it to the other threads, which compile
 * it (`service-table.ts`, `balancer.ts`) and swap it as one. Structured-cloneable; nothing in it changes.
 * Invariant: an index means the same service or server for as long as the process lives. Ids are what crosses a
 * wire or a file, indexes do not.
 */

import type { Address, Prefix } from '../wire/address.ts';

export const PROTOCOL_TCP = 6;
export const PROTOCOL_UDP = 17;

export type Protocol = typeof PROTOCOL_TCP | typeof PROTOCOL_UDP;
export type SchedulerName = 'maglev' | 'rr' | 'wrr' | 'lc' | 'wlc' | 'sh' | 'random';
export type Mode = 'nat' | 'ipip';
/** What becomes of a packet that opens nothing and hits no entry. */
export type UnknownPolicy = 'reset' | 'drop' | 'hash';
/** What becomes of the flows of a server that went down. */
export type ServerDownPolicy = 'keep' | 'reset' | 'rebind';
/** How sessions are agreed on in a cluster; means nothing to a dispatcher alone. */
export type LockMode = 'auto' | 'announce' | 'confirm';

/** Largest service or server index. */
export const MAX_INDEX = 65_534;

/** Largest weight, as in IPVS. */
export const MAX_WEIGHT = 65_535;

export interface ServerSpec {
  /** 0 to MAX_INDEX, unique over all services. */
  readonly index: number;
  /** Derived from names and addresses: the same on every dispatcher. */
  readonly id: string;
  readonly name: string;
  readonly address: Address;
  /** Host order; 0 keeps the packet's destination port. */
  readonly port: number;
  /** u16, one for each (address, protocol) of a server. */
  readonly endpoint: number;
  /** 0 to MAX_WEIGHT; 0 gets no new flows. */
  readonly weight: number;
  readonly up: boolean;
  /** No longer wanted (drained, or gone from the configuration): keeps its flows, gets no new ones. */
  readonly leaving: boolean;
  /** MTU of the way out toward it. */
  readonly mtuBytes: number;
  /** The subnet in which it is a neighbour of this host; undefined when a gateway leads to it. */
  readonly subnet: Prefix | undefined;
}

/** `prefix` counts bits of the VIP's own family: 0 to 32, or 0 to 128. */
export type Affinity = { readonly kind: 'flow' } | { readonly kind: 'client'; readonly prefix: number };

export interface ServiceTimeouts {
  readonly tcpEstablished: number;
  readonly tcpOpening: number;
  readonly tcpClosing: number;
  readonly udp: number;
  readonly client: number;
}

export interface ServiceSpec {
  /** 0 to MAX_INDEX. */
  readonly index: number;
  readonly id: string;
  readonly name: string;
  readonly vip: Address;
  readonly protocol: Protocol;
  /** [first, last] inclusive, host order; `any` is [1, 65535]. */
  readonly ports: readonly (readonly [number, number])[];
  readonly mode: Mode;
  readonly scheduler: SchedulerName;
  readonly affinity: Affinity;
  readonly unknown: UnknownPolicy;
  readonly onServerDown: ServerDownPolicy;
  readonly lock: LockMode;
  readonly timeoutsMs: ServiceTimeouts;
  readonly servers: readonly ServerSpec[];
  /** Slot to server index (`buildMaglev` of the servers that are up, have weight and stay), for scheduler maglev. */
  readonly maglev: Uint16Array | undefined;
}

export interface Generation {
  /** Counts up with each one. */
  readonly number: number;
  readonly services: readonly ServiceSpec[];
}

/** Whether a server may be given new flows. */
export function isCandidate(server: Pick<ServerSpec, 'up' | 'weight' | 'leaving'>): boolean {
  return server.up && server.weight > 0 && !server.leaving;
}
