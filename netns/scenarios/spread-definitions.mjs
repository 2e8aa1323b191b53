/**
 * What each scheduler and each affinity promises, as functions of who got how much. Each returns the faults, one line each;
 * none: the definition is met. A definition that finds no fault with another scheduler's figures is worth nothing, so each
 * has its negative control where it is used (spread.mjs).
 */

/**
 * @typedef {Readonly<Record<string, number>>} Counts connections (or clients) by server
 * @typedef {Readonly<Record<string, number>>} Weights by server, 0: gets nothing
 * @typedef {Readonly<Record<string, Counts>>} ByClient
 */

/** @param {Readonly<Record<string, number>>} counts */
export const total = (counts) => Object.values(counts).reduce((sum, count) => sum + count, 0);

/**
 * Each server within what `slack` allows of the share that its weight gives it; nobody else got anything.
 * @param {Counts} counts
 * @param {Weights} weights
 * @param {(share: number, all: number) => number} slack
 */
function nearShare(counts, weights, slack) {
  const all = total(counts);
  const sum = total(weights);
  const faults = Object.keys(counts)
    .filter((name) => weights[name] === undefined)
    .map((name) => `${name} is no server of this service`);
  for (const [name, weight] of Object.entries(weights)) {
    const share = (all * weight) / sum;
    const got = counts[name] ?? 0;
    if (Math.abs(got - share) > slack(share, all))
      faults.push(`${name} has ${got} instead of ${share.toFixed(1)}`);
  }
  return faults;
}

/** rr (weights all 1) and wrr: exact, but for the one that the rest of a turn makes. @param {Counts} counts @param {Weights} weights */
export function inTurn(counts, weights) {
  return nearShare(counts, weights, () => 1);
}

/** lc (weights all 1) and wlc: within a tenth of the ideal. @param {Counts} counts @param {Weights} weights */
export function level(counts, weights) {
  return nearShare(counts, weights, (share) => share / 10);
}

/** maglev and sh: as a fair draw by weight, four standard deviations at most. @param {Counts} counts @param {Weights} weights */
export function fairDraw(counts, weights) {
  return nearShare(counts, weights, (share, all) => 4 * Math.sqrt(share * (1 - share / all)));
}

/**
 * random of two choices: the fullest of n servers has at most ln ln n / ln 2 + O(1) more than the mean, however many
 * connections there are (Berenbrink et al., STOC 2000); one draw alone would be off by their square root. `constant` is that O(1).
 * @param {Counts} counts @param {Weights} weights @param {number} constant
 */
export function twoChoices(counts, weights, constant) {
  const servers = Object.keys(weights).length;
  const most = Math.max(...Object.values(counts));
  const bound = total(counts) / servers + Math.log(Math.log(servers)) / Math.LN2 + constant;
  return most > bound ? [`the fullest has ${most}, more than ${bound.toFixed(1)}`] : [];
}

/** Affinity: each client (or network) on one server, all servers used. @param {ByClient} byClient @param {Weights} weights */
export function oneServerEach(byClient, weights) {
  const faults = Object.entries(byClient)
    .filter(([, counts]) => Object.keys(counts).length !== 1)
    .map(([client, counts]) => `${client} met ${Object.keys(counts).length} servers`);
  const used = new Set(Object.values(byClient).flatMap((counts) => Object.keys(counts)));
  for (const name of Object.keys(weights)) {
    if (!used.has(name)) faults.push(`${name} has no client`);
  }
  return faults;
}

/** The same clients with the same servers as before. @param {ByClient} before @param {ByClient} after */
export function sameServers(before, after) {
  return Object.entries(after)
    .filter(([client, counts]) => Object.keys(counts).some((server) => !(server in (before[client] ?? {}))))
    .map(([client]) => `${client} met another server`);
}

/** A drained server has no more than it had. @param {Counts} before @param {Counts} after @param {string} drained */
export function nothingNew(before, after, drained) {
  const had = before[drained] ?? 0;
  const has = after[drained] ?? 0;
  return has > had ? [`${drained} has ${has} instead of ${had}`] : [];
}

/** By /24 instead of by address. @param {ByClient} byClient */
export function byNetwork(byClient) {
  /** @type {Record<string, Record<string, number>>} */
  const networks = {};
  for (const [client, counts] of Object.entries(byClient)) {
    const network = `${client.split('.').slice(0, 3).join('.')}.0/24`;
    for (const [server, count] of Object.entries(counts)) {
      networks[network] ??= {};
      networks[network][server] = (networks[network][server] ?? 0) + count;
    }
  }
  return networks;
}

/** How many clients each server has, by their first. @param {ByClient} byClient */
export function clientsOf(byClient) {
  /** @type {Record<string, number>} */
  const clients = {};
  for (const counts of Object.values(byClient)) {
    const [server = ''] = Object.keys(counts);
    clients[server] = (clients[server] ?? 0) + 1;
  }
  return clients;
}
