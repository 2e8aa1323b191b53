/**
 * One dispatcher of the simulation: a real cluster node over a Map store, with a clock and a pace of its own.
 *
 * Its packet path is the least that will do: every packet goes to the core, FIN and RST are noted after they were
 * forwarded. A clock may drift; only durations on it mean anything. A slow dispatcher does everything late, in order.
 */

import type { Prng } from '../base/prng.ts';
import { DEFAULT_SETTINGS, type Environment, type Packet, type Settings } from '../cluster/context.ts';
import type { ClusterSeed, NodeId } from '../cluster/identity.ts';
import { ClusterNode } from '../cluster/node.ts';
import type { NodeEffect, NodeEvent } from '../cluster/node-events.ts';
import { MapStore } from '../cluster/store.ts';
import type { SimulationOptions } from './options.ts';
import { PlainSealer } from './plain-sealer.ts';
import type { Timeline } from './timeline.ts';

const CLUSTER_SEED: ClusterSeed = { low: 0x1234567, high: 0x89abcde };
const CLUSTER_KEY = Buffer.alloc(32, 0x5a);
/** New sessions a second that a dispatcher admits where a flood is part of the run. */
export const FLOOD_RATE = 80;
/** A slow dispatcher is late by up to so much for each thing it does, ms, and never further behind than this. */
const SLOW_MS = 8;
export const BEHIND_MS = 150;

/** Time-outs that fit a run of seconds. */
export function simulationSettings(options: SimulationOptions): Settings {
  return {
    ...DEFAULT_SETTINGS,
    confirmTimeoutMs: options.confirmTimeoutMs,
    newSessionsPerSecond: options.floods > 0 ? FLOOD_RATE : DEFAULT_SETTINGS.newSessionsPerSecond,
    tombstoneMs: 6_000,
    rememberMs: 6_000,
    sweepMs: 50,
  };
}

export interface DispatcherHooks {
  readonly environment: (self: NodeId) => Environment;
  readonly transmit: (from: NodeId, to: NodeId, bytes: Buffer) => void;
  readonly effect: (dispatcher: SimulatedDispatcher, effect: NodeEffect) => void;
  /** The silence of these was taken for a grant. */
  readonly silence: (nodes: readonly NodeId[]) => void;
}

export class SimulatedDispatcher {
  readonly id: NodeId;
  readonly name: string;
  readonly store = new MapStore();
  readonly node: ClusterNode;
  readonly timeline: Timeline;
  readonly hooks: DispatcherHooks;
  readonly prng: Prng;
  readonly rate: number;
  readonly offset: number;
  readonly startedAt: number;
  readyAt = Number.POSITIVE_INFINITY;
  alive = true;
  /** Gets packets from the routers. */
  routed = false;
  wakeAt = Number.POSITIVE_INFINITY;
  slow = false;
  /** What is asked of it before then waits in line. */
  busyUntil = 0;

  constructor(
    id: NodeId,
    peers: readonly NodeId[],
    options: SimulationOptions,
    timeline: Timeline,
    prng: Prng,
    hooks: DispatcherHooks,
  ) {
    this.id = id;
    this.name = `d${id}`;
    this.timeline = timeline;
    this.startedAt = timeline.now;
    this.hooks = hooks;
    this.prng = prng;
    this.rate = 1 + (options.drift * ((prng.next() % 2_001) - 1_000)) / 1_000;
    this.offset = prng.next() % 1_000_000;
    const random = (): Buffer => {
      const bytes = Buffer.alloc(16);
      for (let at = 0; at < 16; at += 4) bytes.writeUInt32BE(prng.next(), at);
      return bytes;
    };
    this.node = new ClusterNode({
      life: { node: id, incarnation: random().toString('hex') },
      peers,
      seed: CLUSTER_SEED,
      clusterKeys: [CLUSTER_KEY],
      settings: simulationSettings(options),
      membership: { heartbeatMs: 100, deadAfterMs: 500, stoppedAfterMs: 60_000 },
      digests: { periodMs: 300, youngMs: 200, rangesPerPass: 64 },
      environment: hooks.environment(id),
      store: this.store,
      mtuBytes: 1_500,
      aloneAfterMs: 800,
      configuration: 1,
      random,
      now: this.local(timeline.now),
    });
    if (!options.cipher) Object.assign(this.node.link, { sealer: new PlainSealer([CLUSTER_KEY]) });
    this.wake();
  }

  local(now: number): number {
    return now * this.rate + this.offset;
  }

  /** Packets that wait for a lock or an answer. */
  waiting(): readonly Packet[] {
    const { locks, questions } = this.node.core;
    return [...locks.table.values(), ...questions.table.values()].flatMap(({ queue }) =>
      queue.map(({ packet }) => packet),
    );
  }

  /** Does something as soon as it gets to it. */
  inTurn(run: () => void): void {
    const { now } = this.timeline;
    if (!this.slow && this.busyUntil <= now) {
      if (this.alive) run();
      return;
    }
    const late = this.slow ? (SLOW_MS * this.prng.next()) / 0x1_0000_0000 : 0;
    this.busyUntil = Math.max(now, this.busyUntil, Math.min(this.busyUntil + late, now + BEHIND_MS));
    this.timeline.at(this.busyUntil, () => {
      if (this.alive) run();
    });
  }

  step(event: NodeEvent): void {
    this.inTurn(() => this.act(event));
  }

  /** One turn: what is sent leaves before what is forwarded because of it. */
  act(event: NodeEvent): void {
    const { counters } = this.node.core.context;
    const before = counters.grantsByTimeout;
    const now = this.local(this.timeline.now);
    const effects = this.node.step(now, event);
    const silent = counters.grantsByTimeout > before;
    if (silent) this.hooks.silence(this.node.core.own.silent);
    for (const { to, bytes } of this.node.flush(now)) this.hooks.transmit(this.id, to, bytes);
    for (const effect of effects) this.hooks.effect(this, effect);
    this.wake();
  }

  wake(): void {
    const at = Math.max((this.node.deadline - this.offset) / this.rate, this.timeline.now + 0.01);
    if (at >= this.wakeAt && this.wakeAt > this.timeline.now) return;
    this.wakeAt = at;
    this.timeline.at(at, () => {
      if (this.wakeAt !== at || !this.alive) return;
      this.wakeAt = Number.POSITIVE_INFINITY;
      this.step({ kind: 'deadline' });
    });
  }
}
