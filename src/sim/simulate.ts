/**
 * One run of the simulation, or many: seed in, summary out.
 */

import type { Checker } from './checker.ts';
import { ClosedStayClosed } from './checkers/closed-stay-closed.ts';
import { CountersAddUp } from './checkers/counters-add-up.ts';
import { FloodEnds } from './checkers/flood-ends.ts';
import { JoinerKnows } from './checkers/joiner-knows.ts';
import { LocksEnd } from './checkers/locks-end.ts';
import { NoLoops } from './checkers/no-loops.ts';
import { NothingLost } from './checkers/nothing-lost.ts';
import { OneServer } from './checkers/one-server.ts';
import { SurvivesCrash } from './checkers/survives-crash.ts';
import { TablesConverge } from './checkers/tables-converge.ts';
import { WaitingBound } from './checkers/waiting-bound.ts';
import { DEFAULT_OPTIONS, type SimulationOptions, variedOptions } from './options.ts';
import { SimulatedWorld } from './world.ts';

export interface SimulationSummary {
  readonly seed: number;
  /** `checker: what is wrong`, empty when the run is clean. */
  readonly violations: readonly string[];
  readonly assumptionBroken: boolean;
  readonly connections: number;
  readonly finished: number;
  readonly broken: number;
  readonly datagrams: number;
  readonly bytes: number;
  readonly lost: number;
  readonly duplicated: number;
  readonly tunnelled: number;
  readonly packets: number;
  /** The core's counters, all dispatchers together; and drops by reason. */
  readonly counters: Readonly<Record<string, number>>;
  readonly drops: Readonly<Record<string, number>>;
  /** SHA-256 of all datagrams in the order of sending: the same seed gives the same. */
  readonly transcript: string;
}

function allCheckers(): readonly Checker[] {
  return [
    new OneServer(),
    new WaitingBound(),
    new NoLoops(),
    new LocksEnd(),
    new TablesConverge(),
    new NothingLost(),
    new SurvivesCrash(),
    new CountersAddUp(),
    new JoinerKnows(),
    new ClosedStayClosed(),
    new FloodEnds(),
  ];
}

/** One run with these options, and the defaults for the others. */
export function runSimulation(options: Partial<SimulationOptions>): SimulationSummary {
  const all: SimulationOptions = { ...DEFAULT_OPTIONS, ...options };
  const checkers = allCheckers();
  const world = new SimulatedWorld(all, checkers);
  const end = world.run();
  const violations = checkers.flatMap((checker) =>
    checker.finish(end).map((fault) => `${checker.name}: ${fault}`),
  );
  return {
    seed: all.seed,
    violations,
    assumptionBroken: end.assumptionBroken,
    connections: end.connections.length,
    finished: end.connections.filter((one) => one.finished).length,
    broken: end.connections.filter((one) => one.broken).length,
    datagrams: world.network.datagrams,
    bytes: world.network.bytes,
    lost: world.network.lost,
    duplicated: world.network.duplicated,
    tunnelled: world.tunnels,
    packets: world.handles,
    counters: world.totals,
    drops: world.drops,
    transcript: world.network.transcript.digest('hex'),
  };
}

/** One run for which the seed chooses what is not `given`. */
export function runSeed(seed: number, given: Partial<SimulationOptions> = {}): SimulationSummary {
  return runSimulation(variedOptions(seed, given));
}
