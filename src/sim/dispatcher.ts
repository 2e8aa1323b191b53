/**
 * One dispatcher of the simulation: a real cluster node over a Map store, with a clock of its own.
 *
 * Its packet path is the least that will do: every packet goes to the core, FIN and RST are noted after they were
 * forwarded. A clock may drift; only durations on it mean anything.
 */

import type { Prng } from '../base/prng.ts';
import { DEFAULT_SETTINGS, type Environment, type Settings } from '../cluster/context.ts';
import type { ClusterSeed, NodeId } from '../cluster/identity.ts';
import { ClusterNode, type NodeEffect, type NodeEvent } from '../cluster/node.ts';
import { MapStore } from '../cluster/store.ts';
import type { SimulationOptions } from './options.ts';
import type { Timeline } from './timeline.ts';

export const CLUSTER_SEED: ClusterSeed = { low: 0x1234567, high: 0x89abcde };

/** Time-outs that fit a run of seconds. */
export function simulationSettings(options: SimulationOptions): Settings {
  return {
    ...DEFAULT_SETTINGS,
    confirmTimeoutMs: options.confirmTimeoutMs,
    tombstoneMs: 6_000,
    rememberMs: 6_000,
    sweepMs: 25,
  };
}

export interface DispatcherHooks {
  readonly environment: (self: NodeId) => Environment;
  readonly effect: (dispatcher: SimulatedDispatcher, effect: NodeEffect) => void;
  /** The silence of these was taken for a grant. */
  readonly silence: (nodes: readonly NodeId[]) => void;
}

const CLUSTER_KEY = Buffer.alloc(32, 0x5a);

export class SimulatedDispatcher {
  readonly id: NodeId;
  readonly name: string;
  readonly store = new MapStore();
  readonly node: ClusterNode;
  readonly timeline: Timeline;
  readonly hooks: DispatcherHooks;
  readonly rate: number;
  readonly offset: number;
  alive = true;
  readonly startedAt: number;
  /** Gets packets from the routers. */
  routed = false;
  wakeAt = Number.POSITIVE_INFINITY;

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
      aloneAfterMs: 600,
      configuration: 1,
      random,
      now: this.local(timeline.now),
    });
    this.wake();
  }

  local(now: number): number {
    return now * this.rate + this.offset;
  }

  step(event: NodeEvent): void {
    if (!this.alive) return;
    const { counters } = this.node.core.context;
    const before = counters.grantsByTimeout;
    const effects = this.node.step(this.local(this.timeline.now), event);
    if (counters.grantsByTimeout > before) this.hooks.silence(this.node.core.own.silent);
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
