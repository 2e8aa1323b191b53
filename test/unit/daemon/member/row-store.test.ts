// The dispatch table as the protocol sees it: how fast the sweep goes through it.
import { describe, expect, it } from 'vitest';
import type { Entry } from '../../../../src/cluster/entry.ts';
import { KIND_FLOW, SessionKey } from '../../../../src/cluster/session-key.ts';
import { Ids, wireId } from '../../../../src/daemon/member/ids.ts';
import { RowStore } from '../../../../src/daemon/member/row-store.ts';
import { Path } from '../../../support/path.ts';
import { service } from '../../../support/path-packets.ts';
import { makeGeneration } from '../../../support/services.ts';

const SELF = 7;
const LARGE = 1_024;

function storeOf(rows: number): RowStore {
  const only = service(0, 4);
  const path = new Path([only], { capacity: 16_384 });
  const ids = new Ids();
  ids.apply(makeGeneration([only]));
  const store = new RowStore(path.table, path.state, ids, SELF);
  for (let port = 1; port <= rows; port++) {
    const entry: Entry = {
      key: new SessionKey(wireId(only.id), KIND_FLOW, [0, 0, 0xffff, 0xc6336407], port, 80),
      isn: port,
      previousIsn: -1,
      generation: 0,
      server: wireId(only.servers[0]!.id),
      origin: SELF,
      bits: 0,
      openedAt: 0,
      lastSeen: 0,
      refreshedAt: 0,
      sharedBits: 0,
    };
    expect(store.put(entry, undefined)).toBe(true);
  }
  return store;
}

/** Ports that each step of a pass visited. */
function pass(store: RowStore, count: number, stepMs = 10): number[][] {
  const steps: number[][] = [];
  for (let cursor = 0; steps.length === 0 || cursor !== 0; ) {
    const seen: number[] = [];
    store.now += stepMs;
    cursor = store.scan(cursor, count, (entry) => seen.push(entry.key.clientPort));
    steps.push(seen);
  }
  return steps;
}

describe('a pass of the sweep', () => {
  it.each([
    [10, 1, 10],
    [640, 10, 64],
    [6_400, 100, 64],
    [10_000, 100, 100],
  ])('over %i rows is %i steps of at most %i rows, and sees each once', (rows, steps, most) => {
    const seen = pass(storeOf(rows), LARGE);
    expect(seen.length).toBe(steps);
    expect(Math.max(...seen.map((step) => step.length))).toBe(most);
    expect(new Set(seen.flat()).size).toBe(rows);
    expect(seen.flat().length).toBe(rows);
  });

  it('takes no more at once than it is asked to', () => {
    expect(Math.max(...pass(storeOf(10_000), 50).map((step) => step.length))).toBe(50);
  });

  it('takes a second also where steps are late', () => {
    const steps = pass(storeOf(10_000), 10_000, 50);
    expect(steps.length).toBe(20);
    expect(Math.max(...steps.map((step) => step.length))).toBe(500);
  });

  it('is not what a copy is made by', () => {
    let seen = 0;
    expect(storeOf(10_000).walk(0, 10_000, () => seen++)).toBe(0);
    expect(seen).toBe(10_000);
  });
});
