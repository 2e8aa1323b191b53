/**
 * What a case of the exhaustive check says, and the words that cases are written in: keys, packets, settings.
 */

import {
  DEFAULT_SETTINGS,
  type Packet,
  type ServicePolicy,
  type Settings,
} from '../../src/cluster/context.ts';
import type { ClusterSeed, NodeId } from '../../src/cluster/identity.ts';
import { KIND_FLOW, KIND_SESSION, ReplyKey, SessionKey } from '../../src/cluster/session-key.ts';
import type { World } from './world.ts';

/** Few ticks, in the order of the real durations: repeat < give up < lease. */
export const MODEL_SETTINGS: Settings = {
  ...DEFAULT_SETTINGS,
  leaseMs: 40,
  confirmTimeoutMs: 30,
  repeatMs: 20,
  rememberMs: 1e6,
  sweepMs: 1e9,
};
export const SEED: ClusterSeed = { low: 7, high: 11 };
/** Tag of every dispatcher's incarnation. */
export const TAG = 1_000;

export interface ScriptPacket {
  readonly packet: Packet;
  /** Dispatchers (by index) that it may reach. */
  readonly at: readonly number[];
  /** It is like that packet of the script, so only the order in which they stand is tried. */
  readonly after?: number;
  /** Comes before the clock first moves: keeps the product of two sessions small. */
  readonly early?: boolean;
  /** When it may come. */
  readonly when?: (world: World) => boolean;
}

/** Something from outside that may happen once, at any point at which `when` holds. */
export interface ScriptEvent {
  readonly name: string;
  readonly when: (world: World) => boolean;
  readonly run: (world: World) => void;
}

export interface ModelCase {
  readonly name: string;
  /** What of src/cluster/PROTOCOL.md it is about. */
  readonly rule: string;
  readonly nodes: number;
  readonly policy: ServicePolicy;
  readonly nat?: boolean;
  readonly packets: readonly ScriptPacket[];
  readonly events?: readonly ScriptEvent[];
  readonly losses?: number;
  readonly duplicates?: number;
  readonly crashes?: number;
  readonly suspicions?: number;
  /** Whether runs in which silence was taken for a grant are followed (excused), or cut off (the assumption). */
  readonly grantsByTimeout?: boolean;
  /** Whether locks and questions are repeated; by default where something can be lost. */
  readonly repeats?: boolean;
  /** Puts the cores into their first state. */
  readonly prepare?: (world: World) => void;
  /** More that must hold in each state. */
  readonly check?: (world: World) => string | undefined;
  /** Answers to what is over are delivered all the same. */
  readonly keepDead?: boolean;
  /** Tables may differ in the end. */
  readonly keepTables?: boolean;
  /** Too large for the suite: so many states there, all by hand. Without it the case must be exhausted. */
  readonly maxStates?: number;
}

export function nodeAt(index: number): NodeId {
  return index + 1;
}

export function flowKey(client: number, vipPort = 80): SessionKey {
  return new SessionKey(1, KIND_FLOW, [0, 0, 0xffff, client], 1_000, vipPort);
}

export function sessionKey(client: number): SessionKey {
  return new SessionKey(1, KIND_SESSION, [0, 0, 0xffff, client], 0, 0);
}

const BASE = { bytes: 100, session: undefined, reply: undefined, hops: 0, from: 0, life: false } as const;

/** A SYN. The upper bits of the handle name the connection, for packets that carry no ISN. */
export function syn(handle: number, flow: SessionKey, isn: number, session?: SessionKey): Packet {
  return { ...BASE, handle: (isn << 8) | handle, flow, session, opens: true, isn };
}

export function udp(handle: number, flow: SessionKey, session?: SessionKey): Packet {
  return { ...BASE, handle, flow, session, opens: true, isn: 0 };
}

export function ack(handle: number, flow: SessionKey, isn: number, session?: SessionKey): Packet {
  return { ...BASE, handle: (isn << 8) | handle, flow, session, opens: false, isn: 0, life: true };
}

/** A server's answer to the flow of client 1. */
export function reply(handle: number, server: number): Packet {
  const tuple = new ReplyKey(6, [0, 0, 0xffff, server], 80, [0, 0, 0xffff, 1], 1_000);
  return { ...BASE, handle, flow: undefined, opens: false, isn: 0, life: true, reply: tuple };
}

/** The connection that a packet belongs to. */
export function incarnationOf(packet: Packet): number {
  return packet.opens ? packet.isn : packet.handle >>> 8;
}
