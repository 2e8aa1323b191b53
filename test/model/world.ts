/**
 * A small cluster as a value that can branch: real cores, datagrams in flight, packets still to come.
 *
 * What may happen next is a list of moves. Datagrams are delivered in any order, after any delay; those of the durable
 * stream cannot be lost while their sender lives (repair brings them), the others may, as far as the budget goes. The
 * clock moves to the next deadline of any core, and every core that is due acts before it moves again; since datagrams
 * and packets may come at any point between, each deadline fires at any point relative to them.
 */

import { createHash } from 'node:crypto';
import type { Effect, Environment, Packet, ServicePolicy, Settings } from '../../src/cluster/context.ts';
import { DEFAULT_SETTINGS } from '../../src/cluster/context.ts';
import { Core, type CoreEvent } from '../../src/cluster/core.ts';
import type { ClusterSeed, NodeId } from '../../src/cluster/identity.ts';
import { entryAnswers } from '../../src/cluster/locks.ts';
import type { SessionRecord } from '../../src/cluster/records.ts';
import { KIND_FLOW, KIND_SESSION, ReplyKey, SessionKey } from '../../src/cluster/session-key.ts';
import { MapStore } from '../../src/cluster/store.ts';
import { copyCore, describeCore, nextDeadline } from './copy-core.ts';

/** Few ticks, in the order of the real durations: repeat < give up < lease. */
export const MODEL_SETTINGS: Settings = {
  ...DEFAULT_SETTINGS,
  leaseMs: 40,
  confirmTimeoutMs: 30,
  repeatMs: 20,
  rememberMs: 1e6,
  sweepMs: 1e9,
};

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
  /** What of protocol.md it is about. */
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
  /** Too large for the suite: so many states there, all by hand. Without it the case must be exhausted. */
  readonly maxStates?: number;
}

interface Message {
  readonly from: number;
  readonly to: number;
  /** A record, or a packet in a tunnel. */
  readonly cargo: SessionRecord | Packet;
  readonly durable: boolean;
}

export interface Move {
  readonly name: string;
  readonly run: (world: World) => void;
}

/** How a world came about, last move first. */
export interface Trace {
  readonly move: string;
  readonly before: Trace | undefined;
}

const SEED: ClusterSeed = { low: 7, high: 11 };
export const TAG = 1_000;

export function nodeAt(index: number): NodeId {
  return index + 1;
}

export class World {
  readonly model: ModelCase;
  now = 0;
  cores: Core[];
  texts: (string | undefined)[];
  alive: boolean[];
  messages = new Map<string, Message>();
  /** Packets that came, by index of the script, and events that happened. */
  came = new Set<number>();
  happened = new Set<number>();
  losses: number;
  duplicates: number;
  crashes: number;
  suspicions: number;
  /** "a suspects b", while it does; and crashes not noticed yet. */
  suspected = new Set<string>();
  unnoticed = new Set<string>();
  /** Flow text and ISN to the servers that saw its packets. */
  saw = new Map<string, Set<number>>();
  /** Handle to how it ended last. */
  ends = new Map<number, string>();
  /** Why one server per session is not asserted any more. */
  excuse: string | undefined;
  cut = false;
  fault: string | undefined;
  /** Servers, replaced as a whole when they change. */
  down: ReadonlySet<number> = new Set();
  drained: ReadonlySet<number> = new Set();
  trace: Trace | undefined;

  constructor(model: ModelCase) {
    this.model = model;
    this.losses = model.losses ?? 0;
    this.duplicates = model.duplicates ?? 0;
    this.crashes = model.crashes ?? 0;
    this.suspicions = model.suspicions ?? 0;
    this.alive = new Array<boolean>(model.nodes).fill(true);
    this.texts = new Array<string | undefined>(model.nodes).fill(undefined);
    this.cores = this.alive.map((_, index) => this.makeCore(index));
    model.prepare?.(this);
  }

  get repeats(): boolean {
    const { repeats, losses, crashes, suspicions } = this.model;
    return repeats ?? (losses ?? 0) + (crashes ?? 0) + (suspicions ?? 0) > 0;
  }

  makeCore(index: number): Core {
    const others = this.alive.map((_, other) => nodeAt(other)).filter((node) => node !== nodeAt(index));
    const core = new Core({
      self: nodeAt(index),
      seed: SEED,
      settings: this.repeats ? MODEL_SETTINGS : { ...MODEL_SETTINGS, repeatMs: 1e6 },
      environment: environmentOf(this.model, index),
      store: new MapStore(),
      peers: others,
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

  copy(): World {
    const copy: World = Object.create(World.prototype);
    Object.assign(copy, this);
    copy.cores = [...this.cores];
    copy.texts = [...this.texts];
    copy.alive = [...this.alive];
    copy.messages = new Map(this.messages);
    copy.came = new Set(this.came);
    copy.happened = new Set(this.happened);
    copy.suspected = new Set(this.suspected);
    copy.unnoticed = new Set(this.unnoticed);
    copy.saw = new Map(this.saw);
    copy.ends = new Map(this.ends);
    return copy;
  }

  /** A core of this world alone; others share what is not touched. */
  mine(index: number): Core {
    const core = copyCore(this.cores[index]!);
    this.cores[index] = core;
    this.texts[index] = undefined;
    return core;
  }

  step(index: number, event: CoreEvent): void {
    const core = this.mine(index);
    current = this;
    const before = core.context.counters.grantsByTimeout;
    const effects = core.step(this.now, event);
    if (core.context.counters.grantsByTimeout > before) {
      if (this.model.grantsByTimeout === true) this.excuse = 'grant by time-out';
      else this.cut = true;
    }
    for (const effect of effects) this.effect(index, effect);
  }

  effect(index: number, effect: Effect): void {
    switch (effect.kind) {
      case 'forward': {
        this.finish(effect.packet.handle, 'forward');
        if (!effect.stateless) this.sawPacket(index, effect.packet, effect.server);
        break;
      }
      case 'tunnel': {
        const to = effect.to - 1;
        this.finish(effect.packet.handle, 'tunnel');
        if (effect.hops > 2) this.fault ??= 'tunnelled more than twice';
        const cargo: Packet = { ...effect.packet, hops: effect.hops, from: nodeAt(index) };
        this.post({ from: index, to, cargo, durable: false });
        break;
      }
      case 'wait':
        this.ends.set(effect.packet.handle, 'wait');
        break;
      case 'drop':
        this.finish(effect.packet.handle, effect.reason);
        break;
      case 'reset':
        this.finish(effect.packet.handle, 'reset');
        break;
      case 'send':
        this.post({ from: index, to: effect.to - 1, cargo: effect.record, durable: false });
        break;
      case 'broadcast':
        for (let to = 0; to < this.alive.length; to++) {
          if (to !== index) this.post({ from: index, to, cargo: effect.record, durable: true });
        }
        break;
    }
  }

  finish(handle: number, how: string): void {
    this.ends.set(handle, how);
  }

  sawPacket(_index: number, packet: Packet, server: number): void {
    if (packet.flow === undefined) return;
    const text = `${(packet.session ?? packet.flow).text}#${incarnationOf(packet)}`;
    const servers = new Set(this.saw.get(text) ?? []);
    servers.add(server);
    this.saw.set(text, servers);
    if (servers.size > 1 && this.excuse === undefined) {
      this.fault ??= `two servers saw ${text}: ${[...servers].join(' ')}`;
    }
  }

  post(message: Message): void {
    if (!this.alive[message.to]) return;
    this.messages.set(`${message.from}>${message.to} ${textOf(message.cargo)}`, message);
  }

  /**
   * Takes out what can have no effect any more, whenever it comes: answers to attempts and questions that are over
   * (their numbers never return), records of what is held already, locks that would only bring such an answer.
   */
  forgetDead(): void {
    if (this.model.keepDead === true) return;
    for (const [text, message] of this.messages) if (this.isDead(message)) this.messages.delete(text);
  }

  isDead(message: Message): boolean {
    const { cargo } = message;
    if ('handle' in cargo || !this.alive[message.to]) return false;
    const core = this.cores[message.to]!;
    switch (cargo.type) {
      case 'grant':
        return !this.isAsking(message.to, cargo.key.text, cargo.attempt);
      case 'refuse':
        return !this.isAsking(message.to, cargo.lock.key.text, cargo.attempt);
      case 'no':
        return core.questions.table.get(cargo.about.text)?.number !== cargo.question;
      case 'entry': {
        if (cargo.cause === 'repair' || this.model.nat === true) return false;
        const held = core.context.store.find(cargo.key);
        if (held === undefined || held.isn !== cargo.isn || held.generation !== cargo.generation)
          return false;
        if (held.server !== cargo.server || (cargo.bits & ~held.bits) !== 0) return false;
        if (
          held.origin !== cargo.origin ||
          (cargo.previousIsn !== held.previousIsn && cargo.previousIsn >= 0)
        ) {
          return false;
        }
        return core.locks.table.size === 0 && core.questions.table.size === 0;
      }
      case 'lock': {
        const entry = core.context.store.find(cargo.key);
        if (entry === undefined || !entryAnswers(entry, cargo)) return false;
        if (!cargo.confirm || !this.alive[message.from]) return true;
        const held = this.cores[message.from]!.context.store.find(cargo.key);
        if (this.isAsking(message.from, cargo.key.text, cargo.attempt)) return false;
        return (
          held?.isn === entry.isn && held.server === entry.server && held.generation === entry.generation
        );
      }
      default:
        return false;
    }
  }

  isAsking(index: number, text: string, attempt: number): boolean {
    const lock = this.cores[index]!.locks.table.get(text);
    return lock?.kind === 'own' && lock.attempt === attempt;
  }

  /** All that may happen next. */
  moves(): Move[] {
    const moves: Move[] = [];
    this.messageMoves(moves);
    this.outsideMoves(moves);
    const due = this.cores.flatMap((core, index) =>
      this.alive[index] && nextDeadline(core) <= this.now ? [index] : [],
    );
    for (const index of due) {
      moves.push({ name: `deadline at ${index}`, run: (world) => world.step(index, { kind: 'deadline' }) });
    }
    if (due.length === 0) {
      const next = Math.min(
        ...this.cores.map((core, index) => (this.alive[index] ? nextDeadline(core) : 1 / 0)),
      );
      if (next !== Number.POSITIVE_INFINITY) {
        moves.push({
          name: `clock ${next}`,
          run: (world) => {
            world.now = next;
            world.texts.fill(undefined);
          },
        });
      }
    }
    return moves;
  }

  messageMoves(moves: Move[]): void {
    for (const [text, message] of this.messages) {
      moves.push({ name: `deliver ${text}`, run: (world) => world.deliver(text, message, true) });
      if (this.duplicates > 0) {
        moves.push({
          name: `deliver and keep ${text}`,
          run: (world) => {
            world.duplicates--;
            world.deliver(text, message, false);
          },
        });
      }
      const free = !this.alive[message.from];
      if (free || (!message.durable && this.losses > 0)) {
        moves.push({
          name: `lose ${text}`,
          run: (world) => {
            if (!free) world.losses--;
            world.messages.delete(text);
          },
        });
      }
    }
  }

  deliver(text: string, message: Message, remove: boolean): void {
    if (remove) this.messages.delete(text);
    const { cargo } = message;
    if ('handle' in cargo) {
      this.step(message.to, { kind: 'packet', packet: cargo });
      return;
    }
    this.step(message.to, {
      kind: 'records',
      from: nodeAt(message.from),
      records: [cargo],
      repaired: false,
      heldMs: 0,
    });
  }

  outsideMoves(moves: Move[]): void {
    this.model.packets.forEach((script, at) => {
      if (this.came.has(at) || script.when?.(this) === false) return;
      if (script.after !== undefined && !this.came.has(script.after)) return;
      if (script.early === true && this.now > 0) return;
      for (const index of script.at) {
        if (!this.alive[index]) continue;
        moves.push({
          name: `packet ${script.packet.handle} at ${index}`,
          run: (world) => {
            world.came.add(at);
            world.step(index, { kind: 'packet', packet: script.packet });
          },
        });
      }
    });
    this.model.events?.forEach((event, at) => {
      if (this.happened.has(at) || !event.when(this)) return;
      moves.push({
        name: event.name,
        run: (world) => {
          world.happened.add(at);
          event.run(world);
        },
      });
    });
    this.faultMoves(moves);
  }

  faultMoves(moves: Move[]): void {
    for (let a = 0; a < this.alive.length; a++) {
      if (!this.alive[a]) continue;
      if (this.crashes > 0 && this.alive.filter(Boolean).length > 1) {
        moves.push({ name: `crash ${a}`, run: (world) => world.crash(a) });
      }
      for (let b = 0; b < this.alive.length; b++) {
        const pair = `${a} ${b}`;
        if (a === b) continue;
        if (this.suspicions > 0 && this.alive[b] && !this.suspected.has(pair)) {
          moves.push({
            name: `${a} suspects ${b}`,
            run: (world) => {
              world.suspicions--;
              world.suspected.add(pair);
              world.excuse = 'false suspicion';
              world.setUp(a, b, false);
            },
          });
        }
        if (this.suspected.has(pair) && this.alive[b]) {
          moves.push({
            name: `${a} hears ${b} again`,
            run: (world) => {
              world.suspected.delete(pair);
              world.setUp(a, b, true);
            },
          });
        }
        if (this.unnoticed.has(pair)) {
          moves.push({
            name: `${a} notices the end of ${b}`,
            run: (world) => {
              world.unnoticed.delete(pair);
              world.setUp(a, b, false);
            },
          });
        }
      }
    }
  }

  crash(index: number): void {
    this.crashes--;
    this.alive[index] = false;
    for (const [text, message] of this.messages) if (message.to === index) this.messages.delete(text);
    for (let other = 0; other < this.alive.length; other++) {
      this.suspected.delete(`${index} ${other}`);
      if (!this.suspected.delete(`${other} ${index}`) && this.alive[other])
        this.unnoticed.add(`${other} ${index}`);
    }
  }

  setUp(a: number, b: number, up: boolean): void {
    this.mine(a).context.peers.get(nodeAt(b))!.up = up;
    this.step(a, { kind: up ? 'peer-up' : 'peer-down', node: nodeAt(b) });
  }

  /** Whether what became of a packet decides about what comes later. */
  get isScripted(): boolean {
    return this.model.check !== undefined || this.model.packets.some((one) => one.when !== undefined);
  }

  /** Canonical: two worlds with one text have the same future. */
  digest(): string {
    const hash = createHash('md5');
    for (let index = 0; index < this.cores.length; index++) {
      if (!this.alive[index]) continue;
      this.texts[index] ??= describeCore(this.cores[index]!, this.now);
      hash.update(this.texts[index]!);
      hash.update('|');
    }
    const saw = [...this.saw].map(([text, servers]) => `${text}=${[...servers].sort().join(',')}`);
    const rest = [
      this.alive.join(),
      [...this.messages.keys()].sort().join('\n'),
      [...this.came].sort().join(),
      [...this.happened].sort().join(),
      [this.losses, this.duplicates, this.crashes, this.suspicions].join(),
      [...this.suspected, '/', ...this.unnoticed].join(),
      this.excuse ?? '',
      saw.sort().join(),
      this.isScripted ? [...this.ends].sort((x, y) => x[0] - y[0]).join() : '',
    ];
    hash.update(rest.join('\t'));
    return hash.digest('base64');
  }
}

function incarnationOf(packet: Packet): number {
  return packet.opens ? packet.isn : packet.handle >>> 8;
}

const textCache = new WeakMap<object, string>();

function textOf(cargo: SessionRecord | Packet): string {
  if ('handle' in cargo) return `tunnel ${cargo.handle} ${cargo.hops}`;
  let text = textCache.get(cargo);
  if (text === undefined) {
    text = JSON.stringify(cargo, (name, value) => (name === 'key' || name === 'about' ? value.text : value));
    textCache.set(cargo, text);
  }
  return text;
}

/** Each dispatcher would choose another server: the worst case. */
function environmentOf(model: ModelCase, index: number): Environment {
  const down = (server: number): boolean => current?.down.has(server) === true;
  return {
    service: () => model.policy,
    select: (_key, _packet, avoid) => {
      for (let turn = 0; turn < 4; turn++) {
        const server = ((index + turn) % 4) + 1;
        if (!avoid(server) && !down(server)) return server;
      }
      return 0;
    },
    hashSelect: () => 9,
    accepts: (_service, server) => !down(server) && current?.drained.has(server) !== true,
    isDown: (_service, server) => down(server),
    replyKey: (key, server) =>
      model.nat === true && key.kind === KIND_FLOW
        ? new ReplyKey(6, [0, 0, 0xffff, server], 80, key.client, key.clientPort)
        : undefined,
    guessReply: () => undefined,
  };
}

/** The world that a core's environment answers for, while that core steps. */
let current: World | undefined;

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

export function udp(handle: number, flow: SessionKey): Packet {
  return { ...BASE, handle, flow, opens: true, isn: 0 };
}

export function ack(handle: number, flow: SessionKey, isn: number, session?: SessionKey): Packet {
  return { ...BASE, handle: (isn << 8) | handle, flow, session, opens: false, isn: 0, life: true };
}

/** A server's answer to the flow of client 1. */
export function reply(handle: number, server: number): Packet {
  const tuple = new ReplyKey(6, [0, 0, 0xffff, server], 80, [0, 0, 0xffff, 1], 1_000);
  return { ...BASE, handle, flow: undefined, opens: false, isn: 0, life: true, reply: tuple };
}
