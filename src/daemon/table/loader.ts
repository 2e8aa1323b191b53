/**
 * From the rows of a saved table to entries of this process: under the indexes that their services and servers have now, and
 * older by the time that the table lay on disk. Rows whose time is over, or whose service or server this configuration does
 * not name, are left out.
 */
import { type Generation, PROTOCOL_UDP } from '../../balance/generation.ts';
import { affinityMask } from '../../balance/service-table.ts';
import type { DispatchTable } from '../../table/dispatch-table.ts';
import {
  FLAG_HOLDS,
  NO_ROW,
  STATE_FREE,
  STATE_SESSION,
  STATE_UDP,
  sessionMeta,
} from '../../table/flow-row.ts';
import { timeoutsByState } from '../../table/lifetimes.ts';
import { type RestoreTarget, restoreRow } from '../../table/restore.ts';
import type { SavedRow, TableFileSink } from '../../table/table-decoder.ts';
import type { SavedHeader } from '../../table/table-file.ts';
import { type BootMoment, passedMs } from './boot-clock.ts';

export class TableLoader implements TableFileSink {
  loaded = 0;
  skipped = 0;
  readonly #table: DispatchTable;
  readonly #now: number;
  readonly #moment: BootMoment;
  readonly #services: ReadonlyMap<string, Generation['services'][number]>;
  readonly #servers: ReadonlyMap<
    string,
    { readonly index: number; readonly endpoint: number; readonly service: number }
  >;
  readonly #timeouts = new Map<number, Uint32Array>();
  #sinceSaveMs = 0;
  /** By the saver's index. */
  #serviceIds = new Map<number, string>();
  #serverIds = new Map<number, string>();

  /** @param now monotonic ms. @param moment the same moment by the clocks that outlive a process. */
  constructor(table: DispatchTable, generation: Generation, now: number, moment: BootMoment) {
    this.#table = table;
    this.#now = now;
    this.#moment = moment;
    this.#services = new Map(generation.services.map((service) => [service.id, service]));
    this.#servers = new Map(
      generation.services.flatMap((service) =>
        service.servers.map(
          ({ id, index, endpoint }) => [id, { index, endpoint, service: service.index }] as const,
        ),
      ),
    );
    for (const service of generation.services)
      this.#timeouts.set(service.index, timeoutsByState(service.timeoutsMs));
  }

  header(header: SavedHeader): void {
    const { savedAtMs: unixMs, uptimeMs, bootId } = header;
    this.#sinceSaveMs = passedMs({ unixMs, uptimeMs, bootId }, this.#moment);
    this.#serviceIds = new Map(header.services.map(({ index, id }) => [index, id]));
    this.#serverIds = new Map(header.servers.map(({ index, id }) => [index, id]));
  }

  row(row: SavedRow): void {
    const target = this.#target(row);
    const restored =
      target !== undefined && restoreRow(this.#table, row, target, this.#sinceSaveMs, this.#now) >= 0;
    if (restored) this.loaded++;
    else this.skipped++;
  }

  #target(row: SavedRow): RestoreTarget | undefined {
    const service = this.#services.get(this.#serviceIds.get(row.service) ?? '');
    const server = this.#servers.get(this.#serverIds.get(row.server) ?? '');
    if (service === undefined || server === undefined || server.service !== service.index) return undefined;
    const kindFits =
      (service.protocol === PROTOCOL_UDP) === (row.state === STATE_UDP) || row.state === STATE_SESSION;
    // Flows have a reply tuple in `nat` only; sessions never have one.
    const modeFits = row.session || (service.mode === 'nat') === (row.serverPort !== 0);
    if (!kindFits || !modeFits) return undefined;
    const timeout = this.#timeouts.get(service.index)?.[row.state] ?? 0;
    // A session is held by its flows, whatever its own age.
    if (!row.session && row.idleMs + this.#sinceSaveMs >= timeout) return undefined;
    return { service: service.index, server: server.index, endpoint: server.endpoint };
  }

  /** Counts for each session entry the flows that hold it: the file does not say. */
  holdSessions(): void {
    const table = this.#table;
    for (const service of this.#services.values()) {
      if (service.affinity.kind !== 'client') continue;
      this.#holdSessionsOf(table, service.index, affinityMask(service));
    }
  }

  #holdSessionsOf(table: DispatchTable, service: number, mask: Int32Array): void {
    for (let row = 0; row < table.usedRows; row++) {
      if (table.state(row) === STATE_FREE || table.isSession(row) || table.service(row) !== service) continue;
      const a0 = table.clientWord(row, 0) & mask[0]!;
      const a1 = table.clientWord(row, 1) & mask[1]!;
      const a2 = table.clientWord(row, 2) & mask[2]!;
      const a3 = table.clientWord(row, 3) & mask[3]!;
      const meta = sessionMeta(service);
      const session = table.findForward(table.hashForward(a0, a1, a2, a3, 0, meta), a0, a1, a2, a3, 0, meta);
      if (session === NO_ROW) continue;
      table.setFlags(row, table.flags(row) | FLAG_HOLDS);
      table.holdSession(session);
    }
  }
}
