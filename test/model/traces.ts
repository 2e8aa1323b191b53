/**
 * Traces over whole nodes: sealed datagrams, membership and copies, which the exhaustive check of cores leaves out. Each
 * returns what is wrong, or undefined. (Rule 16 has its traces in cluster-pair.ts.)
 */

import { datagram, FLOW, joinerBeforeGaps, joinerMissesOne, Pair } from '../support/cluster-pair.ts';
import {
  closeDuringCopy,
  copySaysWhatIsOver,
  goodbyeHolds,
  joinerMeetsWhomOthersHear,
  lockOutOfARing,
  lostDuringCopy,
  newLifeFromItsFirst,
  oneThatFellBehind,
  overloadShedsRefreshes,
} from './lives.ts';

/** Rule 17: all start together, with nobody to copy from. */
export function everyoneAJoiner(): string | undefined {
  const pair = new Pair();
  pair.run(6_000);
  return pair.nodes.every((node) => node.core.context.ready) ? undefined : 'somebody is never ready';
}

/** A restarted receiver has no memory: yesterday's stream opens under the key, and must not be believed all the same. */
export function recordingReplayed(): string | undefined {
  const pair = new Pair();
  pair.run(2_500);
  pair.step(1, { kind: 'packet', packet: datagram(1) });
  pair.run(500);
  if (pair.nodes[1].core.context.store.find(FLOW) === undefined) return 'nothing was recorded';
  const recording = pair.recorded.filter((one) => one.to === 2);
  pair.sent = [];
  pair.nodes[1] = pair.make(2);
  for (const { bytes } of recording) {
    pair.step(2, { kind: 'datagram', bytes });
    // The other is silent: nothing that it would say comes between.
    pair.sent = [];
    pair.now++;
    if (pair.nodes[1].deadline <= pair.now) pair.step(2, { kind: 'deadline' });
  }
  const { store, peers } = pair.nodes[1].core.context;
  if (store.find(FLOW) !== undefined) return 'the entry of a recording was taken';
  return peers.get(1)!.up ? 'a life of a recording was believed' : undefined;
}

/** Rule 15: a flow that only one dispatcher forwards for stays known to the other. */
export function busyFlowStays(): string | undefined {
  const pair = new Pair();
  pair.run(2_500);
  for (let handle = 1; handle <= 30; handle++) {
    pair.step(1, { kind: 'packet', packet: datagram(handle) });
    pair.run(300);
  }
  return pair.nodes[1].core.context.store.find(FLOW) === undefined
    ? 'a busy flow expired at the other'
    : undefined;
}

export const TRACES: readonly {
  readonly name: string;
  readonly rule: string;
  readonly run: () => string | undefined;
}[] = [
  { name: 'joiner misses one', rule: '16', run: joinerMissesOne },
  { name: 'joiner before gaps', rule: '16', run: joinerBeforeGaps },
  { name: 'everyone a joiner', rule: '17', run: everyoneAJoiner },
  { name: 'recording replayed', rule: 'identities', run: recordingReplayed },
  { name: 'busy flow stays', rule: '15', run: busyFlowStays },
  { name: 'goodbye holds', rule: 'identities', run: goodbyeHolds },
  { name: 'a new life from its first datagram', rule: 'identities', run: newLifeFromItsFirst },
  { name: 'a joiner meets whom others hear', rule: '16', run: joinerMeetsWhomOthersHear },
  { name: 'one that fell behind', rule: '16, replication', run: oneThatFellBehind },
  { name: 'lost during a copy', rule: '16', run: lostDuringCopy },
  { name: 'a copy says what is over', rule: '13', run: copySaysWhatIsOver },
  { name: 'a lock out of a ring', rule: '5', run: lockOutOfARing },
  { name: 'a close during a copy', rule: '16', run: closeDuringCopy },
  { name: 'overload sheds refreshes', rule: 'replication', run: overloadShedsRefreshes },
];
