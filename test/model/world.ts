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
import { incarnationOf, type ModelCase } from './case.ts';
import { copyCore } from './copy-core.ts';
import { makeCore } from './cores.ts';
import { type Message, Messages } from './messages.ts';
import type { Move } from './moves.ts';
import { lend, takeBack } from './numbers.ts';
import { NO_REDUCTION, type Reduction, withoutAges } from './reduction.ts';
import { type Moment, makeStep, stepName } from './steps.ts';

/** How a world came about, last move first. */
export interface Trace {
  readonly move: Move;
  readonly before: Trace | undefined;
}

const NONE: ReadonlySet<number> = new Set();

export class World {
  readonly model: ModelCase;
  readonly known: Messages;
  readonly reduction: Reduction;
  now = 0;
  cores: Core[] = [];
  /** What is known of the cores as they are now; undefined after a change. */
  moments: (Moment | undefined)[] = [];
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

  private constructor(model: ModelCase, known: Messages, reduction: Reduction) {
    this.model = model;
    this.known = known;
    this.reduction = reduction;
  }

  static first(model: ModelCase, reduction: Reduction = NO_REDUCTION): World {
    const world = new World(model, new Messages(), reduction);
    world.losses = model.losses ?? 0;
    world.duplicates = model.duplicates ?? 0;
    world.crashes = model.crashes ?? 0;
    world.suspicions = model.suspicions ?? 0;
    world.alive = (1 << model.nodes) - 1;
    for (let index = 0; index < model.nodes; index++) {
      world.cores.push(makeCore(model, index));
      world.moments.push(undefined);
    }
    model.prepare?.(world);
    return world;
  }

  copy(): World {
    const copy = new World(this.model, this.known, this.reduction);
    copy.now = this.now;
    copy.cores = this.cores.slice();
    copy.moments = this.moments.slice();
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
    this.moments[index] = undefined;
    return core;
  }

  moment(index: number): Moment {
    let moment = this.moments[index];
    if (moment === undefined) {
      moment = this.known.moments.of(this, index);
      this.moments[index] = moment;
      this.cores[index] = moment.core;
    }
    return moment;
  }

  /** @param name of the event (steps.ts), or 0. */
  step(index: number, event: CoreEvent, name = 0): void {
    const lent = lend(this, index, event);
    const moment = this.moments[index];
    const place = this.reduction.reuse ? stepName(name, lent.attempt, lent.question) : -1;
    let outcome = place < 0 ? undefined : moment?.outcomes.get(place);
    if (outcome === undefined) {
      outcome = makeStep(this, index, event, lent);
      if (place >= 0) moment?.outcomes.set(place, outcome);
    } else {
      this.cores[index] = outcome.after.core;
      this.moments[index] = outcome.after;
    }
    takeBack(this, index, outcome, lent);
    if (outcome.byTimeout) {
      if (this.model.grantsByTimeout === true) this.excuse = 'grant by time-out';
      else this.cut = true;
    }
    this.fault ??= outcome.fault;
    for (const { effect, messages } of outcome.deeds) {
      this.effect(effect);
      for (const message of messages) this.post(message);
    }
  }

  message(from: number, to: number, cargo: SessionRecord | Packet, durable: boolean): Message {
    return this.known.of(from, to, this.reduction.ages ? withoutAges(cargo) : cargo, durable);
  }

  effect(effect: Effect): void {
    switch (effect.kind) {
      case 'forward':
        this.finish(effect.packet.handle, 'forward');
        if (!effect.stateless) this.sawPacket(effect.packet, effect.server);
        break;
      case 'tunnel':
        this.finish(effect.packet.handle, 'tunnel');
        if (effect.hops > 2) this.fault ??= 'tunnelled more than twice';
        break;
      case 'wait':
        this.finish(effect.packet.handle, 'wait');
        break;
      case 'drop':
        this.finish(effect.packet.handle, effect.reason);
        break;
      case 'reset':
        this.finish(effect.packet.handle, 'reset');
        break;
    }
  }

  finish(handle: number, how: string): void {
    if (this.ends.get(handle) !== how) this.ends = new Map(this.ends).set(handle, how);
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

  /** Copies of one record stay apart: each is delivered, or lost. */
  post(message: Message): void {
    if (this.isAlive(message.to)) this.messages.push(message);
  }

  remove(message: Message): void {
    const at = this.messages.indexOf(message);
    if (at >= 0) this.messages.splice(at, 1);
  }
}
