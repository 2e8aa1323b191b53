/**
 * The world of cost.ts: cores and links on a network that only delays, and sessions whose packets are sprayed over all of them.
 */

import { Prng } from '../base/prng.ts';
import { DEFAULT_SETTINGS, type Environment, type LockMode, type Packet } from '../cluster/context.ts';
import { Core, type CoreEvent } from '../cluster/core.ts';
import type { NodeId } from '../cluster/identity.ts';
import { Link } from '../cluster/link.ts';
import { type AnyRecord, isControl } from '../cluster/messages.ts';
import type { SessionRecord } from '../cluster/records.ts';
import type { Life } from '../cluster/seal.ts';
import { KIND_FLOW, SessionKey } from '../cluster/session-key.ts';
import { MapStore } from '../cluster/store.ts';
import { PlainSealer } from './plain-sealer.ts';
import { Timeline } from './timeline.ts';

const CLUSTER_KEY = Buffer.alloc(32, 0x5a);
const CLUSTER_SEED = { low: 0x1234567, high: 0x89abcde };
export const IP_UDP_SIZE = 28;
const LONG_MS = 1e9;
/** When a session's packets come, ms: of a TCP connection after a round trip, of datagrams in a burst. */
const PACKETS_AT_MS = { announce: [0, 1, 1.1, 3, 5], confirm: [0, 0.1, 0.2, 0.3, 5] } as const;
/** Between two batches of new sessions, ms: what one batch causes is over then. */
const BATCH_EVERY_MS = 40;

export interface CostOptions {
  readonly dispatchers: number;
  readonly sessions: number;
  /** `announce` is what `auto` does for TCP, `confirm` for all else. */
  readonly lock: Exclude<LockMode, 'auto'>;
  /** New sessions that one dispatcher meets in one turn of its loop. */
  readonly batch: number;
  /** One way between dispatchers, ms, uniform from the first to the second. */
  readonly delayMs: readonly [number, number];
  readonly seed: number;
}

interface Session {
  readonly key: SessionKey;
  begunAt: number;
  heldBy: number;
  heldAt: number;
}

interface CostNode {
  readonly life: Life;
  readonly core: Core;
  readonly link: Link;
  wakeAt: number;
}

export class CostWorld {
  readonly options: CostOptions;
  readonly timeline = new Timeline();
  readonly prng: Prng;
  readonly nodes: CostNode[] = [];
  readonly sessions = new Map<string, Session>();
  datagrams = 0;
  bytes = 0;
  packets = 0;
  tunnelled = 0;

  constructor(options: CostOptions) {
    this.options = options;
    this.prng = new Prng(options.seed * 2_654_435_761);
    for (let warm = 0; warm < 8; warm++) this.prng.next();
    for (let id = 1; id <= options.dispatchers; id++) this.nodes.push(this.make(id));
  }

  make(id: NodeId): CostNode {
    const life = lifeOf(id);
    const peers: NodeId[] = [];
    for (let other = 1; other <= this.options.dispatchers; other++) if (other !== id) peers.push(other);
    const store = new MapStore();
    const core = new Core({
      self: id,
      tag: id,
      seed: CLUSTER_SEED,
      settings: { ...DEFAULT_SETTINGS, sweepMs: LONG_MS },
      environment: environmentOf(this.options.lock),
      store,
      peers,
    });
    core.context.ready = true;
    core.sweep.nextAt = Number.POSITIVE_INFINITY;
    for (const peer of core.context.peers.values())
      Object.assign(peer, { tag: peer.node, up: true, hearsMe: true, ready: true });
    const { onAppeared } = core.entries;
    core.entries.onAppeared = (entry) => {
      onAppeared(entry);
      this.holds(entry.key.text, store);
    };
    return {
      life,
      core,
      link: new Link(life, new PlainSealer([CLUSTER_KEY]), 1_500, peers),
      wakeAt: Number.POSITIVE_INFINITY,
    };
  }

  holds(text: string, store: MapStore): void {
    const session = this.sessions.get(text);
    if (session === undefined || this.seen.has(store, text)) return;
    this.seen.add(store, text);
    session.heldBy++;
    session.heldAt = this.timeline.now;
  }

  readonly seen = new SeenBy();

  step(node: CostNode, event: CoreEvent): void {
    for (const effect of node.core.step(this.timeline.now, event)) {
      switch (effect.kind) {
        case 'send':
          node.link.unicast(effect.to, effect.record);
          break;
        case 'broadcast':
          node.link.broadcast(effect.record);
          break;
        case 'tunnel':
          this.tunnelled++;
          this.tunnel(node, effect.packet, effect.to, effect.hops);
          break;
        default:
          break;
      }
    }
  }

  /** The end of a turn: what was said leaves. */
  flush(node: CostNode): void {
    for (const { to, bytes } of node.link.flush(this.timeline.now, lifeOf)) {
      if (to !== 0) this.transmit(this.nodes[to - 1]!, bytes);
      else for (const other of this.nodes) if (other !== node) this.transmit(other, bytes);
    }
    const wake = Math.max(node.core.deadline, this.timeline.now);
    if (wake === Number.POSITIVE_INFINITY || wake >= node.wakeAt) return;
    node.wakeAt = wake;
    this.timeline.at(wake, () => {
      if (node.wakeAt !== wake) return;
      node.wakeAt = Number.POSITIVE_INFINITY;
      this.step(node, { kind: 'deadline' });
      this.flush(node);
    });
  }

  delay(): number {
    const [least, most] = this.options.delayMs;
    return least + ((most - least) * this.prng.next()) / 0x1_0000_0000;
  }

  transmit(to: CostNode, bytes: Buffer): void {
    this.datagrams++;
    this.bytes += bytes.length + IP_UDP_SIZE;
    this.timeline.after(this.delay(), () => {
      const opened = to.link.open(bytes);
      if (opened === undefined) return;
      const records = opened.records.filter(
        (record: AnyRecord): record is SessionRecord => !isControl(record),
      );
      const from = opened.header.sender.node;
      this.step(to, { kind: 'records', from, records, repaired: false, heldMs: 0 });
      this.flush(to);
    });
  }

  tunnel(node: CostNode, packet: Packet, to: NodeId, hops: number): void {
    this.timeline.after(this.delay(), () => {
      const target = this.nodes[to - 1]!;
      this.step(target, { kind: 'packet', packet: { ...packet, hops, from: node.life.node } });
      this.flush(target);
    });
  }

  anyNode(): CostNode {
    return this.nodes[this.prng.below(this.nodes.length)]!;
  }

  /** New sessions meet one dispatcher in one turn, and spread with their later packets. */
  begin(first: number, count: number): void {
    const node = this.anyNode();
    for (let index = first; index < first + count; index++) {
      const key = keyOf(index);
      this.sessions.set(key.text, { key, begunAt: this.timeline.now, heldBy: 0, heldAt: 0 });
      this.step(node, this.packet(key, true));
      for (const after of PACKETS_AT_MS[this.options.lock].slice(1)) {
        this.timeline.after(after, () => {
          const next = this.anyNode();
          this.step(next, this.packet(key, this.options.lock === 'confirm'));
          this.flush(next);
        });
      }
    }
    this.flush(node);
  }

  packet(flow: SessionKey, opens: boolean): CoreEvent {
    const facts = { session: undefined, reply: undefined, hops: 0, from: 0, bytes: 100 };
    const handle = ++this.packets;
    return { kind: 'packet', packet: { ...facts, handle, flow, opens, isn: 0, life: !opens } };
  }

  /** Opens all sessions, and lets what they cause come to its end. */
  run(): void {
    const { sessions, batch } = this.options;
    let at = 0;
    for (let first = 0; first < sessions; first += batch) {
      const count = Math.min(batch, sessions - first);
      this.timeline.at(at, () => this.begin(first, count));
      at += BATCH_EVERY_MS;
    }
    this.timeline.run(at + 1_000);
  }
}

/** Which stores hold which sessions: told once each. */
class SeenBy {
  readonly #texts = new Map<MapStore, Set<string>>();

  has(store: MapStore, text: string): boolean {
    return this.#texts.get(store)?.has(text) === true;
  }

  add(store: MapStore, text: string): void {
    const texts = this.#texts.get(store) ?? new Set();
    texts.add(text);
    this.#texts.set(store, texts);
  }
}

const LIVES: Life[] = [];

function lifeOf(node: NodeId): Life {
  LIVES[node] ??= { node, incarnation: node.toString(16).padStart(8, '0').padEnd(32, '0') };
  return LIVES[node];
}

function keyOf(index: number): SessionKey {
  return new SessionKey(1, KIND_FLOW, [0, 0, 0xffff, 0x0a000000 + index], 1_024 + (index % 60_000), 80);
}

function environmentOf(lock: CostOptions['lock']): Environment {
  const timeouts = {
    tcpEstablished: LONG_MS,
    tcpOpening: LONG_MS,
    tcpClosing: LONG_MS,
    udp: LONG_MS,
    client: LONG_MS,
  };
  const policy = { udp: lock === 'confirm', lock, unknown: 'reset', rebind: false, timeouts } as const;
  return {
    service: () => policy,
    select: () => 1,
    hashSelect: () => 1,
    accepts: () => true,
    isDown: () => false,
    replyKey: () => undefined,
    guessReply: () => undefined,
  };
}
