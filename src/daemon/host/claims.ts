/**
 * Which replies belong to the dispatcher: source addresses, protocols and ports of servers of mode `nat`. Pure.
 *
 * Several services may share a server; each address and protocol is one claim with its port ranges merged, so that
 * rules and set elements never repeat.
 */

import { type Address, formatAddress } from '../../wire/address.ts';

export interface HostServer {
  readonly address: Address;
  /** `SERVICE/SERVER`, for messages. */
  readonly name: string;
  readonly mode: 'nat' | 'ipip';
  readonly protocol: 6 | 17;
  /**
   * Source ports of its replies, both ends included; [1, 65535] (or wider) means any. Used for mode `nat` only.
   */
  readonly ports: readonly (readonly [number, number])[];
}

/** Replies of one server and protocol: merged source port ranges. */
export interface ReplyClaim {
  readonly address: Address;
  readonly protocol: 6 | 17;
  /** Sorted, apart from each other. */
  readonly ports: readonly (readonly [number, number])[];
  /** All ports: the server's own connections are taken as well. */
  readonly any: boolean;
}

/** Replies per server address and protocol, each once, whatever number of services share the server. */
export function replyClaims(servers: readonly HostServer[]): ReplyClaim[] {
  const byKey = new Map<string, { server: HostServer; ports: (readonly [number, number])[] }>();
  for (const server of servers) {
    if (server.mode !== 'nat') continue;
    const key = `${formatAddress(server.address)} ${server.protocol}`;
    const known = byKey.get(key);
    if (known === undefined) byKey.set(key, { server, ports: [...server.ports] });
    else known.ports.push(...server.ports);
  }
  return [...byKey.values()].map(({ server, ports }) => {
    const merged = mergeRanges(ports);
    const any = merged.some(([low, high]) => low <= 1 && high >= 65_535);
    return { address: server.address, protocol: server.protocol, ports: any ? [] : merged, any };
  });
}

/** Sorted ranges; those that overlap or touch are one. */
export function mergeRanges(ranges: readonly (readonly [number, number])[]): (readonly [number, number])[] {
  const merged: [number, number][] = [];
  for (const [low, high] of [...ranges].sort((a, b) => a[0] - b[0])) {
    const last = merged.at(-1);
    if (last !== undefined && low <= last[1] + 1) last[1] = Math.max(last[1], high);
    else merged.push([low, high]);
  }
  return merged;
}
