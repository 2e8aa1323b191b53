/** Which settings a running daemon cannot change. */
import type { Config } from './config/config.ts';

export interface Kept {
  /** The new configuration, with the running one's value of all that takes a restart. */
  readonly config: Config;
  /** A sentence for each of those that the file changed. */
  readonly needs: readonly string[];
}

/** What of a reloaded configuration takes effect now, and what only at the next start. */
export function keepRunning(next: Config, running: Config): Kept {
  const { device, table, cluster, metrics } = running;
  const needs: string[] = [];
  for (const key of ['device', 'table', 'cluster', 'metrics'] as const) {
    if (JSON.stringify(next[key]) === JSON.stringify(running[key])) continue;
    needs.push(`${key} changed: it takes effect at the next start`);
  }
  return { config: { ...next, device, table, cluster, metrics }, needs };
}
