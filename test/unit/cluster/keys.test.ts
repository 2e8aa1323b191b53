/** A change of the cluster key: three passes, in each of which all dispatchers are started anew, one after the other. */
import { describe, expect, it } from 'vitest';
import { datagram, Pair } from '../../support/cluster-pair.ts';

const OLD = Buffer.alloc(32, 1);
const NEW = Buffer.alloc(32, 2);

/** Starts each anew in its turn. @returns whether all heard each other and were ready after each start */
function pass(three: Pair): boolean {
  let together = true;
  for (let node = 1; node <= 3; node++) {
    three.nodes[node - 1] = three.make(node);
    three.run(2_900);
    for (const { core } of three.nodes)
      together &&= core.context.ready && [...core.context.peers.values()].every((peer) => peer.up);
  }
  return together;
}

describe('a change of the cluster key', () => {
  it('in three passes: all hear each other all the time, and no entry is lost', () => {
    const three = new Pair('auto', 3, false, { clusterKeys: [OLD] });
    three.run(3_000);
    three.step(1, { kind: 'packet', packet: { ...datagram(1), isn: 111 } });
    three.run(100);
    for (const options of [
      { clusterKeys: [OLD, NEW] },
      { clusterKeys: [NEW, OLD] },
      { clusterKeys: [NEW] },
    ]) {
      three.options = options;
      expect(pass(three)).toBe(true);
    }
    const known = three.nodes.map(({ core }) => core.context.store.size);
    expect(known).toEqual([1, 1, 1]);
  });

  it('in fewer: those that have the new key are not heard', () => {
    for (const clusterKeys of [[NEW, OLD], [NEW]]) {
      const three = new Pair('auto', 3, false, { clusterKeys: [OLD] });
      three.run(3_000);
      three.options = { clusterKeys };
      expect(pass(three)).toBe(false);
    }
  });
});
