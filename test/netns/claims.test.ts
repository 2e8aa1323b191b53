/**
 * One test for each claim of US patent 7,290,059 that is behaviour of this cluster, on packets captured in a lab of three dispatchers; what each says
 * is in netns/scenarios/claims.mjs, in our words.
 */
import { beforeAll, expect, test } from 'vitest';
import { CLAIMS, claims } from '../../netns/scenarios/claims.mjs';
import type { Verdict } from '../../netns/scenarios/verdict.mjs';

const TITLES: Readonly<Record<number, string>> = {
  32: 'an entry sends a packet to its server, a client lock to the dispatcher that locked',
  33: 'the locking dispatcher selects a server and transmits to it what came under the lock',
  34: 'its update goes to all other dispatchers, names the server and ends the lock',
  35: 'a request without an entry places a client lock in the tables of all',
  37: "the client's second packet, at another dispatcher, goes to the one that locked",
  38: 'after the update all dispatchers forward directly to the selected server',
};

let verdict: Verdict;

beforeAll(async () => {
  verdict = await claims();
});

test.each(CLAIMS.map((number) => [number, TITLES[number]] as const))('claim %i: %s', (number) => {
  const found = verdict.claims.filter(({ claim }) =>
    new RegExp(`^(control of )?claim ${number}\\b`).test(claim),
  );
  expect(found.map(({ claim }) => claim.split(':')[0])).toEqual([
    `claim ${number}`,
    `control of claim ${number}`,
  ]);
  expect(found.filter(({ holds }) => !holds)).toEqual([]);
});
