/** After the quiet time all dispatchers hold the same live entries, and everybody is ready. */

import { isEnded } from '../../cluster/entry.ts';
import type { MapStore } from '../../cluster/store.ts';
import type { CheckedWorld, Checker } from '../checker.ts';

export class TablesConverge implements Checker {
  readonly name = 'tables-converge';

  finish(world: CheckedWorld): readonly string[] {
    const faults: string[] = [];
    const tables = world.dispatchers.map(({ name, node, store }) => {
      if (!node.core.context.ready) faults.push(`${name} is not ready`);
      return { name, lines: liveLines(store) };
    });
    const first = tables[0];
    for (const table of tables.slice(1)) {
      for (const [text, line] of table.lines) {
        const other = first!.lines.get(text);
        if (other !== line) faults.push(`${text}: ${first!.name} has ${other}, ${table.name} has ${line}`);
      }
      for (const [text, line] of first!.lines) {
        if (!table.lines.has(text))
          faults.push(`${text}: ${first!.name} has ${line}, ${table.name} has nothing`);
      }
    }
    return faults;
  }
}

function liveLines(store: MapStore): Map<string, string> {
  const lines = new Map<string, string>();
  for (const [text, entry] of store.entries) {
    if (!isEnded(entry))
      lines.set(text, `server ${entry.server} isn ${entry.isn} generation ${entry.generation}`);
  }
  return lines;
}
