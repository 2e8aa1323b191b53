/**
 * The scenario of spread, affinity and drain, with fewer connections than `netns/scenarios/spread` by hand: each of its
 * claims, negative controls included. And the definitions it judges by, put to figures at their edges.
 */
import { describe, expect, test } from 'vitest';
import { spread } from '../../netns/scenarios/spread.mjs';
import {
  byNetwork,
  fairDraw,
  inTurn,
  level,
  nothingNew,
  oneServerEach,
  sameServers,
  twoChoices,
} from '../../netns/scenarios/spread-definitions.mjs';

const CONNECTIONS = process.env['LATCHWAY_FULL'] === '1' ? 1000 : 600;

test('every claim about spread, affinity and drain holds, and so does every control', async () => {
  const { broken, claims } = await spread({ connections: CONNECTIONS });
  expect(broken).toEqual([]);
  expect(claims.filter(({ claim }) => claim.startsWith('control: ')).length).toBeGreaterThanOrEqual(12);
});

describe('definitions at their edges', () => {
  const even = { s1: 1, s2: 1 };
  const rising = { s1: 1, s2: 3 };

  test.each([
    ['in turn', inTurn({ s1: 51, s2: 49 }, even), 0],
    ['in turn, two off', inTurn({ s1: 52, s2: 48 }, even), 2],
    ['in turn by weight', inTurn({ s1: 25, s2: 75 }, rising), 0],
    ['a server that nobody named', inTurn({ s1: 50, s2: 50, s3: 1 }, even), 1],
    ['level', level({ s1: 55, s2: 45 }, even), 0],
    ['not level', level({ s1: 56, s2: 44 }, even), 2],
    ['a server left out', level({ s1: 100 }, even), 2],
    ['a fair draw, four deviations off', fairDraw({ s1: 70, s2: 30 }, even), 0],
    ['a fair draw, more', fairDraw({ s1: 71, s2: 29 }, even), 2],
    ['two choices', twoChoices({ s1: 53, s2: 47 }, even, 4), 0],
    ['two choices, too full', twoChoices({ s1: 55, s2: 45 }, even, 4), 1],
    ['one server each', oneServerEach({ a: { s1: 3 }, b: { s2: 1 } }, even), 0],
    ['a client on two', oneServerEach({ a: { s1: 3, s2: 1 } }, even), 1],
    ['a server without clients', oneServerEach({ a: { s1: 3 } }, even), 1],
    ['the same servers', sameServers({ a: { s1: 1 } }, { a: { s1: 9 } }), 0],
    ['another server', sameServers({ a: { s1: 1 } }, { a: { s2: 9 } }), 1],
    ['nothing new', nothingNew({ s1: 5 }, { s1: 4, s2: 9 }, 's1'), 0],
    ['something new', nothingNew({ s1: 5 }, { s1: 6 }, 's1'), 1],
  ])('%s', (_, faults, count) => {
    expect(faults).toHaveLength(count);
  });

  test('clients of one network count together', () => {
    const networks = byNetwork({
      '198.18.1.1': { s1: 2 },
      '198.18.1.9': { s1: 1, s2: 1 },
      '198.18.2.1': { s2: 4 },
    });
    expect(networks).toEqual({ '198.18.1.0/24': { s1: 3, s2: 1 }, '198.18.2.0/24': { s2: 4 } });
  });
});
