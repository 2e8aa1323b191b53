/** What the counters of all dispatchers together say of a load. */

/** @typedef {Record<string, number>} Counters */

/** Counters of drops, of those that rose. @param {Counters} counters */
export function dropsOf(counters) {
  return Object.fromEntries(Object.entries(counters).filter(([name]) => name.startsWith('drop-')));
}

/** What the dispatchers did, in a line. @param {Counters} counters */
export function protocolOf(counters) {
  const of = (/** @type {string} */ name) => counters[name] ?? 0;
  const opened = Math.max(1, of('flow-opened') + of('session-opened'));
  return {
    placed: of('lock-placed'),
    learnt: of('lock-learnt'),
    yielded: of('lock-yielded'),
    byTimeout: of('lock-granted-by-timeout'),
    tunnelled: of('tunnel-sent'),
    waited: of('waited'),
    updates: of('update-sent'),
    conflicts: of('conflict'),
    repaired: of('cluster-datagrams-repaired'),
    datagramsEach: Number((of('cluster-datagrams-sent') / opened).toFixed(2)),
    bytesEach: Math.round(of('cluster-bytes-sent') / opened),
  };
}
