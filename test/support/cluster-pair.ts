/**
 * Two dispatchers, or some more, over sealed datagrams and a wire without faults, one step a millisecond; and the traces of a joiner.
 */

import { DEFAULT_SETTINGS, type Environment, type LockMode, type Packet } from '../../src/cluster/context.ts';
import { DEFAULT_DIGESTS } from '../../src/cluster/digests.ts';
import { DEFAULT_MEMBERSHIP } from '../../src/cluster/membership.ts';
import { ClusterNode } from '../../src/cluster/node.ts';
import type { NodeEffect, NodeEvent, NodeOptions } from '../../src/cluster/node-events.ts';
import { SessionKey } from '../../src/cluster/session-key.ts';
import { MapStore } from '../../src/cluster/store.ts';

const TIMEOUTS = {
  tcpEstablished: 900_000,
  tcpOpening: 30_000,
  tcpClosing: 30_000,
  udp: 3_000,
  client: 900_000,
};
const ENVIRONMENT: Omit<Environment, 'service'> = {
  select: () => 4,
  hashSelect: () => 5,
  accepts: () => true,
  isDown: () => false,
  replyKey: () => undefined,
  guessReply: () => undefined,
};
export const FLOW = new SessionKey(1, 0, [0, 0, 0xffff, 9], 1_000, 53);

/** Flows by client port; FLOW is that of port 1,000. */
export function flowOf(port: number): SessionKey {
  return new SessionKey(1, 0, [0, 0, 0xffff, 9], port, 53);
}

export function datagram(handle: number, flow: SessionKey = FLOW): Packet {
  return {
    handle,
    bytes: 60,
    flow,
    session: undefined,
    reply: undefined,
    opens: true,
    isn: 0,
    life: false,
    hops: 0,
    from: 0,
  };
}

export class Pair {
  now = 0;
  randoms = 0;
  readonly count: number;
  nodes: [ClusterNode, ClusterNode, ...ClusterNode[]];
  sent: { from: number; to: number; bytes: Buffer }[] = [];
  readonly recorded: { to: number; bytes: Buffer }[] = [];
  readonly other: NodeEffect[] = [];
  /** Nothing gets through. */
  cut = false;
  /** Nothing gets from one to the other of these two, nor back. */
  apart: readonly number[] = [];
  readonly environment: Environment;
  /** What those made from now on have otherwise. */
  options: Partial<NodeOptions>;

  constructor(lock: LockMode = 'auto', count = 2, udp = true, options: Partial<NodeOptions> = {}) {
    this.count = count;
    this.options = options;
    this.environment = {
      ...ENVIRONMENT,
      service: () => ({ udp, lock, unknown: 'reset', rebind: false, timeouts: TIMEOUTS }),
    };
    this.nodes = [this.make(1), this.make(2)];
    for (let node = 3; node <= count; node++) this.nodes.push(this.make(node));
  }

  make(node: number): ClusterNode {
    const all = Array.from({ length: this.count }, (_, index) => index + 1);
    return new ClusterNode({
      life: { node, incarnation: Buffer.alloc(16, 16 * node + ++this.randoms).toString('hex') },
      peers: all.filter((other) => other !== node),
      seed: { low: 1, high: 2 },
      clusterKeys: [Buffer.alloc(32, 9)],
      settings: DEFAULT_SETTINGS,
      membership: DEFAULT_MEMBERSHIP,
      digests: DEFAULT_DIGESTS,
      environment: this.environment,
      store: new MapStore(),
      mtuBytes: 1_500,
      aloneAfterMs: 2_000,
      configuration: 1,
      random: () => Buffer.alloc(16, ++this.randoms),
      now: this.now,
      ...this.options,
    });
  }

  step(node: number, event: NodeEvent): void {
    const one = this.nodes[node - 1]!;
    const effects = one.step(this.now, event);
    for (const { to, bytes } of one.flush(this.now)) this.sent.push({ from: node, to, bytes });
    for (const effect of effects) {
      if (effect.kind === 'copy-request') this.copy(effect.from, node);
      else if (effect.kind === 'alone') this.step(node, { kind: 'alone-done' });
      else this.other.push(effect);
    }
  }

  /** Serves a copy; a trace may put its own in place. */
  copy = (from: number, to: number): void => {
    const source = this.nodes[from - 1]!;
    const vector = source.vector();
    const { entries, context } = source.core;
    const held = [...(context.store as MapStore).entries.values()];
    this.step(to, { kind: 'copy', records: held.map((entry) => entries.record(entry, 'copy', 0)) });
    this.step(to, { kind: 'copy-end', vector });
  };

  /** The first makes an entry of which the second hears nothing; then the second starts anew. */
  alone(ms: number): void {
    this.step(1, { kind: 'packet', packet: datagram(1) });
    for (let left = ms; left > 0; left--) {
      this.sent = this.sent.filter((one) => one.to !== 2);
      this.run(1);
    }
    this.sent = [];
    this.nodes[1] = this.make(2);
  }

  run(ms: number): void {
    for (const end = this.now + ms; this.now < end; this.now++) {
      const due = this.cut ? [] : this.sent;
      this.sent = [];
      for (const one of due) {
        if (this.apart.includes(one.from) && this.apart.includes(one.to)) continue;
        this.recorded.push(one);
        this.step(one.to, { kind: 'datagram', bytes: one.bytes });
      }
      for (let node = 1; node <= this.count; node++) {
        if (this.nodes[node - 1]!.deadline <= this.now) this.step(node, { kind: 'deadline' });
      }
    }
  }
}

/**
 * Rule 16, "joiner misses one": an update was sent after the copy's vector and before the joiner heard the stream.
 * @returns what is wrong.
 */
export function joinerMissesOne(): string | undefined {
  const pair = new Pair();
  pair.run(2_500);
  const vector = pair.nodes[0].vector();
  pair.alone(40);
  pair.copy = (_from, to) => pair.step(to, { kind: 'copy-end', vector });
  return readyWithout(pair, 3_000);
}

/** Rule 16: a gap that is not filled yet keeps the joiner from being ready. @returns what is wrong. */
export function joinerBeforeGaps(): string | undefined {
  const pair = new Pair();
  pair.run(2_500);
  const vector = pair.nodes[0].vector();
  pair.alone(40);
  const first = pair.nodes[0];
  const { answer } = first.repairs;
  first.repairs.answer = () => {};
  pair.copy = (_from, to) => pair.step(to, { kind: 'copy-end', vector });
  const early = readyWithout(pair, 1_000);
  first.repairs.answer = answer;
  return early === 'the joiner is never ready'
    ? readyWithout(pair, 2_000)
    : (early ?? 'the gap was filled by chance');
}

function readyWithout(pair: Pair, ms: number): string | undefined {
  const joiner = pair.nodes[1];
  for (let left = ms; left > 0 && !joiner.core.context.ready; left--) pair.run(1);
  if (!joiner.core.context.ready) return 'the joiner is never ready';
  return joiner.core.context.store.find(FLOW) === undefined
    ? 'the joiner is ready without the update'
    : undefined;
}
