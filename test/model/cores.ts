/** The cores of a case, all live and ready, and what they know of servers. */

import type { Environment } from '../../src/cluster/context.ts';
import { Core } from '../../src/cluster/core.ts';
import { KIND_FLOW, ReplyKey } from '../../src/cluster/session-key.ts';
import { MapStore } from '../../src/cluster/store.ts';
import { MODEL_SETTINGS, type ModelCase, nodeAt, SEED, TAG } from './case.ts';
import type { World } from './world.ts';

/** The world that a core's environment answers for, while that core steps. */
let current: World | undefined;

export function answerFor(world: World): void {
  current = world;
}

export function makeCore(model: ModelCase, index: number): Core {
  const { repeats, losses, crashes, suspicions } = model;
  const repeated = repeats ?? (losses ?? 0) + (crashes ?? 0) + (suspicions ?? 0) > 0;
  const peers = Array.from({ length: model.nodes }, (_, other) => nodeAt(other));
  const core = new Core({
    self: nodeAt(index),
    tag: TAG,
    seed: SEED,
    settings: repeated ? MODEL_SETTINGS : { ...MODEL_SETTINGS, repeatMs: 1e6 },
    environment: environmentOf(model, index),
    store: new MapStore(),
    peers: peers.filter((node) => node !== nodeAt(index)),
  });
  core.context.ready = true;
  core.sweep.nextAt = Number.POSITIVE_INFINITY;
  for (const peer of core.context.peers.values()) {
    peer.tag = TAG;
    peer.up = true;
    peer.hearsMe = true;
    peer.ready = true;
  }
  return core;
}

/** Each dispatcher would choose another server: the worst case. */
function environmentOf(model: ModelCase, index: number): Environment {
  const down = (server: number): boolean => current?.down.has(server) === true;
  const drained = (server: number): boolean => {
    if (current === undefined || !current.drained.has(server)) return false;
    return current.drainedAt < 0 || current.drainedAt === index;
  };
  return {
    service: () => model.policy,
    select: (_key, _packet, avoid) => {
      for (let turn = 0; turn < 4; turn++) {
        const server = ((index + turn) % 4) + 1;
        if (!avoid(server) && !down(server) && !drained(server)) return server;
      }
      return 0;
    },
    hashSelect: () => 9,
    accepts: (_service, server) => !down(server) && !drained(server),
    isDown: (_service, server) => down(server),
    replyKey: (key, server) =>
      model.nat === true && key.kind === KIND_FLOW
        ? new ReplyKey(6, [0, 0, 0xffff, server], 80, key.client, key.clientPort)
        : undefined,
    guessReply: () => undefined,
  };
}
