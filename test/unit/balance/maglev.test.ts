import { describe, expect, it } from 'vitest';
import { DEFAULT_CLUSTER_KEY, selectionKey } from '../../../src/balance/cluster-key.ts';
import { buildMaglev, MAGLEV_SLOTS, Maglev, NO_SLOT } from '../../../src/balance/maglev.ts';
import { NO_SERVER, poolOf } from '../../../src/balance/scheduler.ts';
import { ServerMask } from '../../../src/balance/server-mask.ts';
import { Prng } from '../../../src/base/prng.ts';
import { makeServer, makeServers } from '../../support/services.ts';

const KEY = DEFAULT_CLUSTER_KEY;

function shares(slots: Uint16Array): Map<number, number> {
  const counts = new Map<number, number>();
  for (const server of slots) counts.set(server, (counts.get(server) ?? 0) + 1);
  return counts;
}

/** Share of the slots that changed although neither the old nor the new server is `concerned`. */
function moved(before: Uint16Array, after: Uint16Array, concerned: number): number {
  let changes = 0;
  for (const [slot, server] of before.entries()) {
    if (server !== concerned && after[slot] !== concerned && server !== after[slot]) changes++;
  }
  return changes / MAGLEV_SLOTS;
}

describe('the table', () => {
  it('has 65,537 slots, all NO_SLOT without servers', () => {
    const slots = buildMaglev([], KEY);
    expect(slots.length).toBe(65_537);
    expect(slots.every((server) => server === NO_SLOT)).toBe(true);
  });

  it.each([1, 2, 7, 100, 1000])('of %i equal servers gives each the same share within 1 %', (count) => {
    const counts = shares(buildMaglev(makeServers(count), KEY));
    expect(counts.size).toBe(count);
    const ideal = MAGLEV_SLOTS / count;
    for (const slots of counts.values())
      expect(Math.abs(slots - ideal)).toBeLessThanOrEqual(Math.max(1, ideal / 100));
  });

  it.each([
    { weights: [1, 2, 3, 4] },
    { weights: [100, 1] },
    { weights: [5, 5, 1] },
    { weights: [65_535, 32_768, 655] },
    { weights: Array.from({ length: 50 }, (_, at) => at + 1) },
  ])('of weights $weights gives shares within 1 %', ({ weights }) => {
    const counts = shares(
      buildMaglev(
        weights.map((weight, index) => makeServer(index, { weight })),
        KEY,
      ),
    );
    const sum = weights.reduce((all, weight) => all + weight, 0);
    for (const [server, weight] of weights.entries()) {
      const ideal = (MAGLEV_SLOTS * weight) / sum;
      expect(Math.abs(counts.get(server)! - ideal)).toBeLessThanOrEqual(Math.max(2, ideal / 100));
    }
  });

  it('is the same for the same ids in any order and under any indexes', () => {
    const servers = makeServers(20);
    const renumbered = servers.map((server) => ({ ...server, index: 500 - server.index })).reverse();
    const one = buildMaglev(servers, KEY);
    const other = buildMaglev(renumbered, KEY);
    expect(one.every((server, slot) => other[slot] === 500 - server)).toBe(true);
  });

  it('is another one under another key', () => {
    const servers = makeServers(10);
    const other = buildMaglev(servers, selectionKey(new Uint8Array(32).fill(7)));
    let same = 0;
    for (const [slot, server] of buildMaglev(servers, KEY).entries()) if (other[slot] === server) same++;
    expect(same / MAGLEV_SLOTS).toBeGreaterThan(0.05);
    expect(same / MAGLEV_SLOTS).toBeLessThan(0.2);
  });

  it.each([5, 10, 50, 100])(
    'of %i servers moves under 2 %% of the others when one goes or comes',
    (count) => {
      const servers = makeServers(count);
      const full = buildMaglev(servers, KEY);
      for (const gone of [0, count >>> 1, count - 1]) {
        const rest = buildMaglev(
          servers.filter((server) => server.index !== gone),
          KEY,
        );
        expect(shares(rest).has(gone)).toBe(false);
        expect(moved(full, rest, gone)).toBeLessThan(0.02);
        expect(moved(rest, full, gone)).toBeLessThan(0.02);
      }
    },
  );
});

describe('selection', () => {
  const servers = makeServers(10);
  const slots = buildMaglev(servers, KEY);
  const none = new ServerMask();

  it('is the slot of the hash, signed or unsigned', () => {
    const maglev = new Maglev(slots, poolOf({ servers }));
    for (const hash of [0, 1, 65_536, 65_537, 0x7fffffff, 0x80000000, 0xffffffff]) {
      expect(maglev.select(hash, none)).toBe(slots[hash % MAGLEV_SLOTS]);
      expect(maglev.select(hash | 0, none)).toBe(slots[hash % MAGLEV_SLOTS]);
    }
  });

  it('spreads 10,000 keys evenly', () => {
    const maglev = new Maglev(slots, poolOf({ servers }));
    const random = new Prng(2);
    const counts = new Uint32Array(10);
    for (let key = 0; key < 10_000; key++) counts[maglev.select(random.next(), none)]! += 1;
    for (const count of counts) expect(Math.abs(count - 1000)).toBeLessThan(150);
  });

  it('moves only the keys of the server that is excluded, to all of the others', () => {
    const maglev = new Maglev(slots, poolOf({ servers }));
    const excluded = new ServerMask();
    excluded.add(4);
    const heirs = new Set<number>();
    for (let key = 0; key < MAGLEV_SLOTS; key++) {
      const server = maglev.select(key, excluded);
      if (slots[key] === 4) heirs.add(server);
      else if (server !== slots[key]) throw new Error(`key ${key} moved`);
    }
    expect(heirs).toEqual(new Set([0, 1, 2, 3, 5, 6, 7, 8, 9]));
  });

  it('passes over servers that are no candidates any more, although the table has them', () => {
    const left = servers.map((server) => ({ ...server, up: server.index === 6 }));
    const maglev = new Maglev(slots, poolOf({ servers: left }));
    const random = new Prng(3);
    for (let key = 0; key < 1000; key++) expect(maglev.select(random.next(), none)).toBe(6);
    const nobody = new Maglev(slots, poolOf({ servers: [] }));
    expect(nobody.select(5, none)).toBe(NO_SERVER);
    expect(new Maglev(buildMaglev([], KEY), poolOf({ servers })).select(5, none)).toBe(5);
  });

  it('finds the one server that is left when it has few slots', () => {
    const uneven = [makeServer(0, { weight: 60_000 }), makeServer(1, { weight: 1 })];
    const maglev = new Maglev(buildMaglev(uneven, KEY), poolOf({ servers: uneven }));
    const excluded = new ServerMask();
    excluded.add(0);
    for (let key = 0; key < MAGLEV_SLOTS; key += 100) expect(maglev.select(key, excluded)).toBe(1);
  });
});
