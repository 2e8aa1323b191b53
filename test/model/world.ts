/**
 * A small cluster as a value that can branch: real cores, datagrams in flight, packets still to come.
 *
 * A copy shares what is not changed: cores are copied when they step, sets and maps are replaced, never changed in place.
 * Numbers of attempts and questions are given per session: only their order within one session means anything, so
 * sessions that happen in another order end in the same state.
 */

import type { Effect, Packet } from '../../src/cluster/context.ts';
import type { Core, CoreEvent } from '../../src/cluster/core.ts';
import type { SessionRecord } from '../../src/cluster/records.ts';
import { incarnationOf, type ModelCase, nodeAt } from './case.ts';
import { copyCore } from './copy-core.ts';
import { answerFor, makeCore } from './cores.ts';
import { type Message, Messages } from './messages.ts';
import type { Move } from './moves.ts';
import { lend, takeBack } from './numbers.ts';

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
  /** Who knows which are drained: a dispatcher's index, or -1 for all. */
  drainedAt = -1;
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
    copy.drainedAt = this.drainedAt;
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
    answerFor(this);
    const lent = lend(this, index, core, event);
    const before = core.context.counters.grantsByTimeout;
    const effects = core.step(this.now, event);
    takeBack(this, index, core, lent);
    if (core.context.counters.grantsByTimeout > before) {
      if (this.model.grantsByTimeout === true) this.excuse = 'grant by time-out';
      else this.cut = true;
    }
    this.fault ??= orderFault(effects);
    for (const effect of effects) this.effect(index, effect);
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
    if (servers.size > 1 && this.excuse === undefined && !this.cut) {
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
}

/** The update leaves before the first packet does (design section 2): in the order of effects. */
function orderFault(effects: readonly Effect[]): string | undefined {
  const left = new Set<string>();
  for (const effect of effects) {
    if (effect.kind === 'forward' && !effect.stateless) left.add(effect.key.text);
    if (effect.kind !== 'broadcast' || effect.record.type !== 'entry' || effect.record.cause !== 'selected')
      continue;
    if (left.has(effect.record.key.text)) return 'a packet left before the update';
  }
  return undefined;
}
