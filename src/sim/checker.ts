/**
 * What a checker of the simulation may look at, and what it says.
 */

import type { DropReason, Packet } from '../cluster/context.ts';
import type { NodeId } from '../cluster/identity.ts';
import type { SimulatedDispatcher } from './dispatcher.ts';

/** A client's packet that a dispatcher forwarded to a server. */
export interface Forwarded {
  readonly connection: string;
  readonly server: number;
  readonly by: NodeId;
  readonly at: number;
}

export interface Checker {
  readonly name: string;
  forwarded?(event: Forwarded): void;
  packetCame?(packet: Packet, at: number): void;
  packetEnded?(packet: Packet, how: 'forward' | 'tunnel' | 'reset' | DropReason, at: number): void;
  tunnelled?(hops: number): void;
  /** A dispatcher says that it is ready. */
  ready?(joiner: SimulatedDispatcher, all: readonly SimulatedDispatcher[], now: number): void;
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
  /** Connections that came to their end by FINs. */
  readonly closed: readonly { readonly flow: string; readonly isn: number }[];
  readonly connections: ReadonlyMap<string, { readonly broken: boolean; readonly finished: boolean }>;
}
