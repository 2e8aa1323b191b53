/** Saving the table at a stop, and what is said of the one that was saved at the last. */
import type { Generation } from '../../balance/generation.ts';
import type { SharedTable } from '../../table/shared-table.ts';
import type { Log } from '../log.ts';
import type { LoadedTable } from '../threads/messages.ts';
import { removeTable, saveTable } from './store.ts';

/** A table that cannot be saved is a fault for the log. */
export function keepTable(
  file: string,
  { table, generation, now }: { table: SharedTable; generation: Generation; now: number },
  log: Log,
): void {
  try {
    log.info({ rows: saveTable(file, table, generation, now), file }, 'table saved');
  } catch (error) {
    log.error({ error: String(error), file }, 'the table could not be saved');
  }
}

export function noteSaved({ loaded, skipped, result, problem }: LoadedTable, log: Log): void {
  if (result?.ok === true) log.info({ rows: loaded, skipped }, 'saved table loaded');
  else if (result !== undefined)
    log.warn(
      { rows: loaded, skipped, fault: result.fault },
      'saved table was damaged; what was good is loaded',
    );
  if (problem !== undefined) log.warn({ problem }, 'the saved table could not be used: starting without it');
}

/** What was loaded lives on; an old file must not be loaded a second time. */
export function forgetSaved(file: string, log: Log): void {
  try {
    removeTable(file);
  } catch (error) {
    log.warn(
      { error: String(error), file },
      'the saved table could not be removed: remove it before the next start',
    );
  }
}
