/**
 * A small cluster as a value that can branch: real cores, datagrams in flight, packets still to come.
 *
 * A copy shares what is not changed: cores are copied when they step, sets and maps are replaced, never changed in place.
 * Numbers of attempts and questions are given per session: only their order within one session means anything, so
 * sessions that happen in another order end in the same state.
 */

import type { Effect, Environment, Packet } from '../../src/cluster/context.ts';
import { Core, type CoreEvent } from '../../src/cluster/core.ts';
import { entryAnswers } from '../../src/cluster/locks.ts';
import type { SessionRecord } from '../../src/cluster/records.ts';
import { KIND_FLOW, ReplyKey } from '../../src/cluster/session-key.ts';
import { MapStore } from '../../src/cluster/store.ts';
import { incarnationOf, MODEL_SETTINGS, type ModelCase, nodeAt, SEED, TAG } from './case.ts';
import { copyCore, digestCore } from './copy-core.ts';
import { Digest } from './digest.ts';
import { type Message, Messages } from './messages.ts';
import type { Move } from './moves.ts';

/** How a world came about, last move first. */
export interface Trace {
  readonly move: Move;
  readonly before: Trace | undefined;
}

const NONE: ReadonlySet<number> = new Set();

export class World {
  readonly model: ModelCase;
  readonly known: Messages;
  now = 0;
  cores: Core[] = [];
  /** Digests of the cores, two words each; undefined after a change. */
  digests: (readonly [number, number] | undefined)[] = [];
  /** Numbers given so far for a session, by `index|attempt or question|key`. */
  numbers: ReadonlyMap<string, number> = new Map();
  alive = 0;
  messages: Message[] = [];
  /** Packets that came, by index of the script, and events that happened. */
  came: ReadonlySet<number> = NONE;
  happened: ReadonlySet<number> = NONE;
  losses = 0;
  duplicates = 0;
  crashes = 0;
  suspicions = 0;
  /** Bit a * nodes + b: a suspects b; and crashes not noticed yet. */
  suspected = 0;
  unnoticed = 0;
  /** Flow text and ISN to the servers that saw its packets. */
  saw: ReadonlyMap<string, ReadonlySet<number>> = new Map();
  /** Handle to how it ended last. */
  ends: ReadonlyMap<number, string> = new Map();
  /** Why one server per session is not asserted any more. */
  excuse: string | undefined = undefined;
  cut = false;
  fault: string | undefined = undefined;
  /** Servers, replaced as a whole when they change. */
  down: ReadonlySet<number> = NONE;
  drained: ReadonlySet<number> = NONE;
  trace: Trace | undefined = undefined;
  /** Messages that were in flight when the last move sent them again. */
  merged: number[] = [];

  private constructor(model: ModelCase, known: Messages) {
    this.model = model;
    this.known = known;
  }

  static first(model: ModelCase): World {
    const world = new World(model, new Messages());
    world.losses = model.losses ?? 0;
    world.duplicates = model.duplicates ?? 0;
    world.crashes = model.crashes ?? 0;
    world.suspicions = model.suspicions ?? 0;
    world.alive = (1 << model.nodes) - 1;
    for (let index = 0; index < model.nodes; index++) {
      world.cores.push(makeCore(model, index));
      world.digests.push(undefined);
    }
    model.prepare?.(world);
    return world;
  }

  copy(): World {
    const copy = new World(this.model, this.known);
    copy.now = this.now;
    copy.cores = this.cores.slice();
    copy.digests = this.digests.slice();
    copy.numbers = this.numbers;
    copy.alive = this.alive;
    copy.messages = this.messages.slice();
    copy.came = this.came;
    copy.happened = this.happened;
    copy.losses = this.losses;
    copy.duplicates = this.duplicates;
    copy.crashes = this.crashes;
    copy.suspicions = this.suspicions;
    copy.suspected = this.suspected;
    copy.unnoticed = this.unnoticed;
    copy.saw = this.saw;
    copy.ends = this.ends;
    copy.excuse = this.excuse;
    copy.cut = this.cut;
    copy.fault = this.fault;
    copy.down = this.down;
    copy.drained = this.drained;
    copy.trace = this.trace;
    return copy;
  }

  isAlive(index: number): boolean {
    return (this.alive & (1 << index)) !== 0;
  }

  aliveCount(): number {
    let count = 0;
    for (let index = 0; index < this.cores.length; index++) if (this.isAlive(index)) count++;
    return count;
  }

  /** A core of this world alone; others share what is not touched. */
  mine(index: number): Core {
    const core = copyCore(this.cores[index]!);
    this.cores[index] = core;
    this.digests[index] = undefined;
    return core;
  }

  step(index: number, event: CoreEvent): void {
    const core = this.mine(index);
    current = this;
    const keys = keysOf(this.model, core, event);
    const lent = this.lend(index, core, keys);
    const before = core.context.counters.grantsByTimeout;
    const effects = core.step(this.now, event);
    this.takeBack(index, core, keys, lent);
    if (core.context.counters.grantsByTimeout > before) {
      if (this.model.grantsByTimeout === true) this.excuse = 'grant by time-out';
      else this.cut = true;
    }
    for (const effect of effects) this.effect(index, effect);
  }

  /** The numbers of the sessions that this step can be about. */
  lend(index: number, core: Core, keys: readonly string[]): readonly [number, number] {
    let attempt = 0;
    let question = 0;
    for (const key of keys) {
      attempt = Math.max(attempt, this.numbers.get(`${index}|a|${key}`) ?? 0);
      question = Math.max(question, this.numbers.get(`${index}|q|${key}`) ?? 0);
    }
    core.own.attempts = attempt;
    core.questions.numbers = question;
    return [attempt, question];
  }

  takeBack(index: number, core: Core, keys: readonly string[], lent: readonly [number, number]): void {
    let changed: Map<string, number> | undefined;
    const set = (name: string, value: number): void => {
      if (value <= (this.numbers.get(name) ?? 0)) return;
      changed ??= new Map(this.numbers);
      changed.set(name, value);
    };
    const { attempts } = core.own;
    const questions = core.questions.numbers;
    for (const key of keys) {
      // Of several sessions it may have been any: a number that is left out does no harm.
      if (attempts > lent[0]) set(`${index}|a|${key}`, attempts);
      if (questions > lent[1]) set(`${index}|q|${key}`, questions);
    }
    if (changed !== undefined) this.numbers = changed;
  }

  effect(index: number, effect: Effect): void {
    switch (effect.kind) {
      case 'forward':
        this.finish(effect.packet.handle, 'forward');
        if (!effect.stateless) this.sawPacket(effect.packet, effect.server);
        break;
      case 'tunnel': {
        this.finish(effect.packet.handle, 'tunnel');
        if (effect.hops > 2) this.fault ??= 'tunnelled more than twice';
        this.post(index, effect.to - 1, { ...effect.packet, hops: effect.hops, from: nodeAt(index) }, false);
        break;
      }
      case 'wait':
        this.finish(effect.packet.handle, 'wait');
        break;
      case 'drop':
        this.finish(effect.packet.handle, effect.reason);
        break;
      case 'reset':
        this.finish(effect.packet.handle, 'reset');
        break;
      case 'send':
        this.post(index, effect.to - 1, effect.record, false);
        break;
      case 'broadcast':
        for (let to = 0; to < this.cores.length; to++) {
          if (to !== index) this.post(index, to, effect.record, true);
        }
        break;
    }
  }

  finish(handle: number, how: string): void {
    this.ends = new Map(this.ends).set(handle, how);
  }

  sawPacket(packet: Packet, server: number): void {
    if (packet.flow === undefined) return;
    const text = `${(packet.session ?? packet.flow).text}#${incarnationOf(packet)}`;
    const before = this.saw.get(text);
    if (before?.has(server) === true) return;
    const servers = new Set(before).add(server);
    this.saw = new Map(this.saw).set(text, servers);
    if (servers.size > 1 && this.excuse === undefined) {
      this.fault ??= `two servers saw ${text}: ${[...servers].join(' ')}`;
    }
  }

  post(from: number, to: number, cargo: SessionRecord | Packet, durable: boolean): void {
    if (!this.isAlive(to)) return;
    const message = this.known.of(from, to, cargo, durable);
    if (this.messages.includes(message)) this.merged.push(message.id);
    else this.messages.push(message);
  }

  remove(message: Message): void {
    const at = this.messages.indexOf(message);
    if (at >= 0) this.messages.splice(at, 1);
  }

  /**
   * Takes out what can have no effect any more, whenever it comes: answers to attempts and questions that are over
   * (their numbers never return), records of what is held already, locks that would only bring such an answer.
   */
  forgetDead(): void {
    if (this.model.keepDead === true) return;
    this.messages = this.messages.filter((message) => !this.isDead(message));
  }

  isDead(message: Message): boolean {
    const { cargo } = message;
    if ('handle' in cargo || !this.isAlive(message.to)) return false;
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
        if (held.origin !== cargo.origin) return false;
        if (cargo.previousIsn !== held.previousIsn && cargo.previousIsn >= 0) return false;
        const { text } = cargo.key;
        return !core.locks.table.has(text) && !core.questions.table.has(text);
      }
      case 'lock': {
        const entry = core.context.store.find(cargo.key);
        if (entry === undefined || !entryAnswers(entry, cargo)) return false;
        if (!cargo.confirm || !this.isAlive(message.from)) return true;
        if (this.isAsking(message.from, cargo.key.text, cargo.attempt)) return false;
        const held = this.cores[message.from]!.context.store.find(cargo.key);
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

  run(move: Move): void {
    const count = this.cores.length;
    switch (move.kind) {
      case 'deliver':
        this.remove(move.message);
        this.deliver(move.message);
        break;
      case 'deliver and keep':
        this.duplicates--;
        this.deliver(move.message);
        break;
      case 'lose':
        if (this.isAlive(move.message.from)) this.losses--;
        this.remove(move.message);
        break;
      case 'packet':
        this.came = new Set(this.came).add(move.script);
        this.step(move.index, { kind: 'packet', packet: this.model.packets[move.script]!.packet });
        break;
      case 'event':
        this.happened = new Set(this.happened).add(move.at);
        this.model.events![move.at]!.run(this);
        break;
      case 'crash':
        this.crash(move.index);
        break;
      case 'deadline':
        this.step(move.index, { kind: 'deadline' });
        break;
      case 'clock':
        this.now = move.to;
        this.digests.fill(undefined);
        break;
      case 'suspects':
        this.suspicions--;
        this.suspected |= 1 << (move.a * count + move.b);
        this.excuse = 'false suspicion';
        this.setUp(move.a, move.b, false);
        break;
      case 'hears again':
        this.suspected &= ~(1 << (move.a * count + move.b));
        this.setUp(move.a, move.b, true);
        break;
      case 'notices the end of':
        this.unnoticed &= ~(1 << (move.a * count + move.b));
        this.setUp(move.a, move.b, false);
        break;
    }
  }

  deliver({ to, from, cargo }: Message): void {
    if ('handle' in cargo) this.step(to, { kind: 'packet', packet: cargo });
    else this.step(to, { kind: 'records', from: nodeAt(from), records: [cargo], repaired: false, heldMs: 0 });
  }

  crash(index: number): void {
    const count = this.cores.length;
    this.crashes--;
    this.alive &= ~(1 << index);
    this.messages = this.messages.filter((message) => message.to !== index);
    for (let other = 0; other < count; other++) {
      if (other === index) continue;
      this.suspected &= ~(1 << (index * count + other));
      const pair = 1 << (other * count + index);
      if ((this.suspected & pair) !== 0) this.suspected &= ~pair;
      else if (this.isAlive(other)) this.unnoticed |= pair;
      this.unnoticed &= ~(1 << (index * count + other));
    }
  }

  setUp(a: number, b: number, up: boolean): void {
    this.mine(a).context.peers.get(nodeAt(b))!.up = up;
    this.step(a, { kind: up ? 'peer-up' : 'peer-down', node: nodeAt(b) });
  }

  /** Whether what became of a packet decides about what comes later. */
  get isScripted(): boolean {
    const { check, packets, events } = this.model;
    return check !== undefined || events !== undefined || packets.some((one) => one.when !== undefined);
  }

  /** Whether the first instant is unlike later ones. */
  get hasEarly(): boolean {
    return this.isScripted || this.model.packets.some((one) => one.early === true);
  }

  /** Two worlds with one digest have the same future. */
  digest(): Digest {
    const digest = new Digest();
    for (let index = 0; index < this.cores.length; index++) {
      digest.add(index);
      if (!this.isAlive(index)) continue;
      let words = this.digests[index];
      if (words === undefined) {
        const part = new Digest();
        digestCore(this.cores[index]!, this.now, part);
        words = [part.a, part.b];
        this.digests[index] = words;
      }
      digest.add(words[0]);
      digest.add(words[1]);
    }
    for (const [name, number] of this.numbers) {
      const part = new Digest();
      part.text(name);
      part.add(number);
      digest.join(part.a, part.b);
    }
    for (const { a, b } of this.messages) digest.join(a, b);
    for (const at of this.came) digest.join(at + 101, at + 103);
    for (const at of this.happened) digest.join(at + 1_009, at + 1_013);
    for (const [text, servers] of this.saw) {
      const part = new Digest();
      part.text(text);
      let mask = 0;
      for (const server of servers) mask |= 1 << server;
      part.add(mask);
      digest.join(part.a, part.b);
    }
    if (this.isScripted) {
      for (const [handle, how] of this.ends) {
        const part = new Digest();
        part.add(handle);
        part.text(how);
        digest.join(part.a, part.b);
      }
    }
    digest.add(this.alive | (this.losses << 4) | (this.duplicates << 8) | (this.crashes << 12));
    digest.add(this.suspicions);
    digest.add(this.suspected);
    digest.add(this.unnoticed);
    digest.add(this.excuse === undefined ? 0 : 1);
    digest.add(this.now === 0 && this.hasEarly ? 1 : 0);
    return digest;
  }
}

/** The sessions that a step can number something for. Where one leads to another (client to flow, reply to flow): all. */
function keysOf(model: ModelCase, core: Core, event: CoreEvent): readonly string[] {
  if (model.nat === true || model.packets.some((one) => one.packet.session !== undefined)) return ['all'];
  switch (event.kind) {
    case 'packet':
      return [event.packet.flow!.text];
    case 'note':
      return [event.key.text];
    case 'records':
      return [keyOf(event.records[0]!)];
    default:
      return [...new Set([...core.locks.table.keys(), ...core.questions.table.keys()])];
  }
}

function keyOf(record: SessionRecord): string {
  if (record.type === 'refuse') return record.lock.key.text;
  return record.type === 'question' || record.type === 'no' ? record.about.text : record.key.text;
}

function makeCore(model: ModelCase, index: number): Core {
  const { repeats, losses, crashes, suspicions } = model;
  const repeated = repeats ?? (losses ?? 0) + (crashes ?? 0) + (suspicions ?? 0) > 0;
  const peers = Array.from({ length: model.nodes }, (_, other) => nodeAt(other));
  const core = new Core({
    self: nodeAt(index),
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
