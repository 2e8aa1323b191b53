/**
 * Copies of a table to a joiner over a stream of its own, which loses nothing: vector first, then entries in pieces while
 * life goes on. The stream breaks when either end dies.
 */

import type { SimulatedDispatcher } from './dispatcher.ts';
import type { Network } from './network.ts';
import type { Timeline } from './timeline.ts';

const PIECE = 8;

export function copyTable(
  timeline: Timeline,
  network: Network,
  source: SimulatedDispatcher,
  to: SimulatedDispatcher,
): void {
  const vector = source.node.vector();
  const keys = [...source.store.entries.keys()];
  const next = (cursor: number): void => {
    if (!source.alive) {
      to.step({ kind: 'copy-failed' });
      return;
    }
    const end = cursor + PIECE;
    const { context, entries } = source.node.core;
    context.now = source.local(timeline.now);
    const held = keys.slice(cursor, end).flatMap((text) => source.store.entries.get(text) ?? []);
    const records = held.map((entry) => entries.record(entry, 'copy', 0));
    timeline.after(network.delay() + 1, () => {
      to.step({ kind: 'copy', records });
      if (end >= keys.length) to.step({ kind: 'copy-end', vector });
      else next(end);
    });
  };
  timeline.after(network.delay() + 1, () => next(0));
}
