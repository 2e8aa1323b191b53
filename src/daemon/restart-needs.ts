/** Which settings a running daemon cannot change. */
import type { Config } from './config.ts';

/** What of a new configuration takes effect at the next start only. */
export function needsRestart(before: Config, after: Config): string[] {
  const changed: string[] = [];
  if (before.device.name !== after.device.name) changed.push('device.name');
  if (before.device.queues !== after.device.queues) changed.push('device.queues');
  if (before.table.capacity !== after.table.capacity) changed.push('table.capacity');
  if (JSON.stringify(before.cluster) !== JSON.stringify(after.cluster)) changed.push('cluster');
  if (JSON.stringify(before.metrics) !== JSON.stringify(after.metrics)) changed.push('metrics');
  return changed.map((key) => `${key} changed: it takes effect at the next start`);
}
