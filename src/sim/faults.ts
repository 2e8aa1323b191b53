/**
 * What goes wrong in a run: crashes and restarts, cuts between dispatchers, slow ones, servers drained or dead, floods.
 *
 * When something happens that suspends a promise, it is noted here: for the run (`assumptionBroken`), or for the
 * connections that it concerns.
 */

import type { SimulatedDispatcher } from './dispatcher.ts';
import type { SimulatedWorld } from './world.ts';

/** Routers learn of a dead dispatcher so late, ms. */
const WITHDRAWN_MS = 40;
/** A health check needs up to so long, ms. */
const HEALTH_MS = 120;
const FLOOD_SYNS = 160;
const FLOOD_MS = 100;

export class Faults {
  readonly world: SimulatedWorld;
  /** When the last cut ends, or ended. */
  cutUntil = Number.NEGATIVE_INFINITY;
  /** Spoofed SYNs of all floods. */
  spoofed = 0;

  constructor(world: SimulatedWorld) {
    this.world = world;
  }

  crash(dispatcher: SimulatedDispatcher): void {
    const { world } = this;
    const { timeline, prng } = world;
    const others = world.dispatchers.filter((one) => one !== dispatcher && one.alive);
    if (!dispatcher.alive || others.length === 0) return;
    this.excuse(dispatcher, others);
    for (const checker of world.checkers) checker.crashed?.(dispatcher, others, timeline.now);
    dispatcher.alive = false;
    world.collect(dispatcher);
    timeline.after(WITHDRAWN_MS, () => {
      dispatcher.routed = false;
    });
    if (!world.options.restarts) return;
    timeline.after(200 + prng.below(700), () => {
      dispatcher.routed = false;
      world.dispatchers[dispatcher.id - 1] = world.start(dispatcher.id);
    });
  }

  /** What only the dead one knew is not promised; nor a SYN's server before the SYN-ACK. */
  excuse(dispatcher: SimulatedDispatcher, others: readonly SimulatedDispatcher[]): void {
    const nobodyReady = others.every((one) => !one.node.core.context.ready);
    for (const connection of this.world.clients.connections.values()) {
      // The memory of a flood goes too when nobody is left who was there: what went by hash has no entry.
      if (connection.step < 0 || nobodyReady) connection.excused = true;
      for (const key of [connection.flow, connection.session]) {
        const known = key === undefined ? undefined : dispatcher.store.find(key);
        if (known === undefined) continue;
        const elsewhere = others.some((one) => one.store.find(known.key)?.isn === known.isn);
        if (!elsewhere) connection.excused = true;
      }
    }
  }

  cut(): void {
    const { options, prng, network, timeline } = this.world;
    const a = 1 + prng.below(options.dispatchers);
    const b = 1 + prng.below(options.dispatchers);
    if (a === b) return;
    this.world.assumptionBroken = true;
    const pairs = prng.below(2) === 0 ? [`${a}>${b}`] : [`${a}>${b}`, `${b}>${a}`];
    for (const pair of pairs) network.cuts.add(pair);
    const lasts = 500 + prng.below(700);
    this.cutUntil = Math.max(this.cutUntil, timeline.now + lasts);
    timeline.after(lasts, () => {
      for (const pair of pairs) network.cuts.delete(pair);
    });
  }

  slowDown(): void {
    const { dispatchers, prng, timeline } = this.world;
    const one = dispatchers[prng.below(dispatchers.length)]!;
    one.slow = true;
    timeline.after(100 + prng.below(500), () => {
      one.slow = false;
    });
  }

  drain(): void {
    const { servers, options, prng } = this.world;
    const server = 1 + prng.below(options.servers);
    if (servers.drained.delete(server)) {
      this.rehash();
      return;
    }
    if (servers.drained.size + servers.dead.size >= options.servers - 1) return;
    servers.drained.add(server);
    servers.everDrained.add(server);
    this.rehash();
  }

  /** What has no entry goes where the hash sends it now. */
  rehash(): void {
    for (const connection of this.world.clients.connections.values())
      if (connection.byHash) connection.excused = true;
  }

  killServer(): void {
    const { servers, options, prng, clients } = this.world;
    const server = 1 + prng.below(options.servers);
    if (servers.drained.size + servers.dead.size >= options.servers - 1) return;
    servers.die(server, () => prng.below(HEALTH_MS));
    for (const connection of clients.connections.values()) {
      if (connection.servers.has(server)) connection.doomed = true;
    }
  }

  flood(): void {
    const { clients, prng, timeline } = this.world;
    this.spoofed += FLOOD_SYNS;
    for (let count = 0; count < FLOOD_SYNS; count++) {
      timeline.after(prng.below(FLOOD_MS * 10) / 10, () => clients.spoof());
    }
  }

  schedule(sometime: () => number): void {
    const { options, prng, timeline, dispatchers } = this.world;
    const plan = (count: number, run: () => void): void => {
      for (let left = count; left > 0; left--) timeline.at(sometime(), run);
    };
    plan(options.crashes, () => this.crash(dispatchers[prng.below(dispatchers.length)]!));
    plan(options.partitions, () => this.cut());
    plan(options.slowdowns, () => this.slowDown());
    plan(options.serverChanges, () => this.drain());
    plan(options.serverDeaths, () => this.killServer());
    plan(options.floods, () => this.flood());
  }
}
