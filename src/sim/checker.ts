/**
 * What a checker of the simulation may look at, and what it says.
 */

import type { DropReason, Packet } from '../cluster/context.ts';
import type { NodeId } from '../cluster/identity.ts';
import type { Connection } from './connection.ts';
import type { SimulatedDispatcher } from './dispatcher.ts';

/** A client's packet that a dispatcher forwarded to a server. */
export interface Forwarded {
  readonly connection: Connection;
  readonly server: number;
  readonly by: NodeId;
}

export interface Checker {
  readonly name: string;
  forwarded?(event: Forwarded): void;
  packetCame?(packet: Packet, at: number): void;
  packetEnded?(packet: Packet, how: 'forward' | 'tunnel' | 'reset' | DropReason, at: number): void;
  tunnelled?(hops: number): void;
  /** A dispatcher says that it is ready. */
  ready?(joiner: SimulatedDispatcher, all: readonly SimulatedDispatcher[], now: number): void;
  /** A dispatcher dies at once; the others live on. */
  crashed?(dead: SimulatedDispatcher, others: readonly SimulatedDispatcher[], now: number): void;
  /** What is wrong, one line each; empty when nothing is. */
  finish(world: CheckedWorld): readonly string[];
}

/** The world at the end of a run. */
export interface CheckedWorld {
  readonly now: number;
  readonly leaseMs: number;
  readonly dispatchers: readonly SimulatedDispatcher[];
  /** Something happened that suspends "one server" for the run: cuts, or silence taken for a grant. */
  readonly assumptionBroken: boolean;
  readonly crashes: number;
  readonly connections: readonly Connection[];
  /** `announce` promises one server only to TCP flows whose SYN goes to one dispatcher. */
  readonly announces: boolean;
  /** Servers that died, and those that were drained at any time. */
  readonly dead: ReadonlySet<number>;
  readonly drained: ReadonlySet<number>;
  /** Sessions that may have entries all the same while the flood lasts; undefined without a flood. */
  readonly flood: { readonly spoofed: number; readonly admitted: number } | undefined;
  /** Counters of all dispatchers' cores, of earlier lives too, and what the world saw of the same. */
  readonly counters: Readonly<Record<string, number>>;
  readonly tunnels: number;
  readonly stateless: number;
}
