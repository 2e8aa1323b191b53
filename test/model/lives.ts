/**
 * Traces over whole nodes about lives and streams: one that leaves, one that comes back unheard, one that falls behind, a close during a copy, a way out
 * that is full. Each returns what is wrong, or undefined.
 */

import type { LockMode } from '../../src/cluster/context.ts';
import { BIT_FIN_CLIENT, BIT_TOMBSTONE, BOTH_FINS, isEnded, NO_ISN } from '../../src/cluster/entry.ts';
import { RING_SIZE } from '../../src/cluster/streams.ts';
import { datagram, FLOW, flowOf, Pair } from '../support/cluster-pair.ts';

/** Both are ready. */
function ready(lock?: LockMode): Pair {
  const pair = new Pair(lock);
  pair.run(3_000);
  return pair;
}

/** Identities: what was under way when a dispatcher said goodbye does not bring it back; else nobody's no would be believed for a minute. */
export function goodbyeHolds(): string | undefined {
  const pair = ready();
  pair.nodes[0].beat();
  const [late] = pair.nodes[0].flush(pair.now);
  if (late === undefined) return 'nothing was under way';
  pair.step(1, { kind: 'leave' });
  pair.run(1);
  const peer = pair.nodes[1].core.context.peers.get(1)!;
  if (!peer.stopped) return 'the goodbye was not heard';
  pair.step(2, { kind: 'datagram', bytes: late.bytes });
  return peer.stopped && !peer.up ? undefined : 'a late datagram brought back who left';
}

/** Identities: a life that was ready before we could hear it is asked for all that it said, long before digests bring it. */
export function newLifeFromItsFirst(): string | undefined {
  const pair = ready();
  pair.cut = true;
  pair.nodes[0] = pair.make(1);
  pair.run(4_000);
  if (!pair.nodes[0].core.context.ready) return 'the new life is not ready';
  pair.step(1, { kind: 'packet', packet: datagram(1) });
  pair.run(1);
  pair.cut = false;
  pair.run(1_000);
  return pair.nodes[1].core.context.store.find(FLOW) === undefined
    ? 'what the new life said first is missing'
    : undefined;
}

/** Rule 16: a joiner that has its copy waits for one that others hear and it has not met, and not for ever. */
export function joinerMeetsWhomOthersHear(): string | undefined {
  const three = new Pair('auto', 3);
  three.run(3_000);
  three.apart = [2, 3];
  three.nodes[1] = three.make(2);
  three.run(1_500);
  const { joining, core } = three.nodes[1];
  if (core.context.ready) return 'it is ready without having met one that others hear';
  if (joining.copies === 0) return 'it has no copy';
  three.run(2_000);
  return core.context.ready ? undefined : 'it waits for ever';
}

/** Replication: who missed more than the ring of sent datagrams holds copies the table, long before digests bring it. */
export function oneThatFellBehind(): string | undefined {
  const pair = ready('announce');
  const flows = RING_SIZE + 400;
  for (let port = 1; port <= flows; port++)
    pair.step(1, { kind: 'packet', packet: datagram(port, flowOf(port)) });
  pair.sent = [];
  pair.run(1_500);
  const { store, ready: stays } = pair.nodes[1].core.context;
  if (!stays) return 'it is not ready any more';
  if (pair.nodes[0].link.ring.last < flows) return 'the ring holds all';
  return store.size < flows ? `it has ${store.size} of ${flows} entries` : undefined;
}

/** Rule 16: a close that was heard during a copy is kept until the copy ends, however long that takes. */
export function closeDuringCopy(): string | undefined {
  const pair = ready();
  pair.step(1, { kind: 'packet', packet: datagram(1) });
  pair.run(5);
  const { entries, context } = pair.nodes[0].core;
  const record = entries.record(context.store.find(FLOW)!, 'copy', 0);
  pair.copy = () => {};
  pair.nodes[1] = pair.make(2);
  pair.sent = [];
  pair.run(1_000);
  pair.step(1, { kind: 'note', key: FLOW, bits: BOTH_FINS });
  pair.run(90_000);
  const joiner = pair.nodes[1].core.context;
  if (joiner.ready) return 'it is ready without a copy';
  pair.step(2, { kind: 'copy', records: [record] });
  const held = joiner.store.find(FLOW);
  return held !== undefined && !isEnded(held) ? 'the copy brought the closed flow back' : undefined;
}

/** Replication: while the way out is full refreshes are put off and counted, and what is new is sent all the same. */
export function overloadShedsRefreshes(): string | undefined {
  const pair = ready();
  const { context } = pair.nodes[0].core;
  for (let handle = 1; handle <= 60; handle++) {
    pair.step(1, { kind: 'packet', packet: datagram(handle) });
    pair.step(1, { kind: 'pressed' });
    pair.run(50);
  }
  pair.step(1, { kind: 'packet', packet: datagram(99, flowOf(7)) });
  pair.run(50);
  if (context.counters.refreshes > 0) return 'a refresh was sent';
  if (context.counters.refreshesShed === 0) return 'nothing was put off';
  return pair.nodes[1].core.context.store.find(flowOf(7)) === undefined ? 'an update was put off' : undefined;
}

/** Rule 5: a lock that was sent long ago says nothing any more. */
export function lockOutOfARing(): string | undefined {
  const { core } = ready().nodes[1];
  const claim = { key: FLOW, attempt: 1, isn: 0, previousIsn: NO_ISN, generation: 0, server: 4 };
  const lock = { type: 'lock', ...claim, leaseMs: 250, confirm: false } as const;
  const { now } = core.context;
  core.step(now, { kind: 'records', from: 1, records: [lock], repaired: true, heldMs: 20 });
  if (core.locks.table.size > 0) return 'it counts';
  core.step(now, { kind: 'records', from: 1, records: [lock], repaired: false, heldMs: 0 });
  return core.locks.table.size > 0 ? undefined : 'a lock that was just sent does not count either';
}

/** Rule 13: a joiner knows what is over from its copy; else late records of it would live there. */
export function copySaysWhatIsOver(): string | undefined {
  const pair = ready();
  pair.step(1, { kind: 'packet', packet: datagram(1) });
  pair.run(5);
  pair.step(1, { kind: 'note', key: FLOW, bits: BOTH_FINS });
  pair.run(4_000);
  pair.nodes[1] = pair.make(2);
  pair.run(2_000);
  const { ready: isReady, store } = pair.nodes[1].core.context;
  if (!isReady) return 'the joiner is not ready';
  return ((store.find(FLOW)?.bits ?? 0) & BIT_TOMBSTONE) === 0 ? 'it does not know what is over' : undefined;
}

/** Rule 16: what is lost for good while a copy is made is in no copy: another one is taken. */
export function lostDuringCopy(): string | undefined {
  const pair = ready();
  pair.step(1, { kind: 'packet', packet: datagram(1) });
  pair.run(5);
  pair.nodes[1] = pair.make(2);
  const { copy } = pair;
  pair.copy = (from, to) => {
    const { stream } = pair.nodes[1].membership.members.get(from)!;
    const vector = pair.nodes[0].vector();
    pair.step(1, { kind: 'note', key: FLOW, bits: BIT_FIN_CLIENT });
    pair.sent = [];
    const lost = pair.nodes[0].link.ring.last;
    stream.missing.set(lost, pair.now);
    stream.gone(lost);
    pair.copy = copy;
    pair.step(to, { kind: 'copy-end', vector });
  };
  pair.run(2_000);
  const { core, joining } = pair.nodes[1];
  if (!core.context.ready) return 'the joiner is not ready';
  return joining.copies > 1 ? undefined : 'one copy was enough';
}
