/**
 * The protocol's entries, kept in the dispatch table: one row and its columns an entry.
 *
 * An `Entry` is made from a row when the core asks, and written back whole by `put`. Entries of services or servers that this configuration does not know
 * (yet) are kept aside, so that dispatchers in the middle of a reload understand each other; `generationChanged` takes them up.
 */

import { PROTOCOL_UDP } from '../../balance/generation.ts';
import { COUNTER } from '../../base/counters.ts';
import { BIT_TOMBSTONE, type Entry } from '../../cluster/entry.ts';
import { KIND_SESSION, type ReplyKey, type SessionKey } from '../../cluster/session-key.ts';
import type { EntryStore } from '../../cluster/store.ts';
import { count, type PathState } from '../../forward/path-state.ts';
import { holdSession } from '../../forward/session.ts';
import type { DispatchTable } from '../../table/dispatch-table.ts';
import {
  FLAG_HOLDS,
  flowMeta,
  MAX_IDLE_MS,
  NO_ROW,
  packEndpointPort,
  packPorts,
  STATE_CLOSING,
  STATE_FREE,
  STATE_OPENING,
  STATE_SESSION,
  STATE_UDP,
  sessionMeta,
  TABLE_FULL,
} from '../../table/flow-row.ts';
import { REASON_EXPIRED, REASON_REMOVED } from '../../table/release-reason.ts';
import { AsideEntries } from './aside-entries.ts';
import { EntryColumns } from './entry-columns.ts';
import { type Ids, UNKNOWN } from './ids.ts';
import { flagsOfBits, stateOfBits } from './row-bits.ts';
import { RowKeys } from './row-keys.ts';
import { SweepPace } from './sweep-pace.ts';

const FLOW_OPENED = COUNTER['flow-opened'];
const SESSION_OPENED = COUNTER['session-opened'];

/** Cursors of a scan from here on are of entries kept aside: no table has so many rows. */
const ASIDE_CURSOR = 2 ** 32;
/** Rows that one early drop may cost. */
const DROPS_PER_PUT = 2;

export class RowStore implements EntryStore {
  readonly columns: EntryColumns;
  readonly keys: RowKeys;
  readonly self: number;
  /** Protocol time of the running step, ms; the same moment in the table's time is `state.now`. */
  now = 0;
  readonly #table: DispatchTable;
  readonly #state: PathState;
  readonly #ids: Ids;
  readonly #aside = new AsideEntries();
  readonly #pace = new SweepPace();

  /** @param self this dispatcher's node: what it selected counts as opened here */
  constructor(table: DispatchTable, state: PathState, ids: Ids, self: number) {
    this.self = self;
    this.#table = table;
    this.#state = state;
    this.#ids = ids;
    this.columns = new EntryColumns(table.capacity);
    this.keys = new RowKeys(table, state, ids);
  }

  get size(): number {
    return this.#table.size + this.#aside.size;
  }

  /** Whether there may be sessions in the table. */
  get hasSessions(): boolean {
    return this.#state.services.hasSessions;
  }

  /** Entries of services or servers that are not known here. */
  get aside(): number {
    return this.#aside.size;
  }

  find(key: SessionKey): Entry | undefined {
    const row = this.keys.rowOf(key);
    if (row !== NO_ROW) return this.entry(row, key);
    return this.#aside.find(key);
  }

  findReply(reply: ReplyKey): Entry | undefined {
    const { services } = this.#state;
    const [s0, s1, s2, s3] = reply.server;
    const endpoint = services.findEndpoint(s0 | 0, s1 | 0, s2 | 0, s3 | 0, reply.protocol);
    if (endpoint < 0) return undefined;
    const endpointPort = packEndpointPort(endpoint, reply.serverPort);
    const [a0, a1, a2, a3] = reply.client;
    const table = this.#table;
    const hash = table.hashReverse(a0 | 0, a1 | 0, a2 | 0, a3 | 0, reply.clientPort, endpointPort);
    const row = table.findReverse(hash, a0 | 0, a1 | 0, a2 | 0, a3 | 0, reply.clientPort, endpointPort);
    return row === NO_ROW ? undefined : this.entry(row, undefined);
  }

  put(entry: Entry, reply: ReplyKey | undefined): boolean {
    const { key } = entry;
    const service = this.#ids.serviceIndex(key.service);
    const server = this.#ids.serverIndex(entry.server);
    if (service === UNKNOWN || server === UNKNOWN || !this.#state.services.isServerOf(service, server)) {
      this.#removeRow(key, REASON_REMOVED);
      return this.#aside.put(entry);
    }
    this.#aside.remove(key);
    const endpointPort = this.keys.endpointPort(reply);
    const row = this.keys.rowOf(key);
    const over = (entry.bits & BIT_TOMBSTONE) !== 0;
    if (row !== NO_ROW && this.#fits(row, server, endpointPort, key)) {
      this.#write(row, entry);
      // The session may have come after the flow: as a repair.
      if (!over && !this.#isHeld(row)) this.#hold(row, service, key);
      return true;
    }
    const held = row !== NO_ROW && this.#isHeld(row);
    if (row !== NO_ROW && key.kind === KIND_SESSION) {
      // A session that moves keeps its row, and with it its holds.
      this.#table.moveSession(row, server);
      this.#write(row, entry);
      return true;
    }
    if (row !== NO_ROW) this.#table.remove(row);
    const made = this.#insert(entry, service, server, endpointPort);
    if (made === TABLE_FULL) return false;
    if (row === NO_ROW && entry.origin === this.self)
      count(this.#state, key.kind === KIND_SESSION ? SESSION_OPENED : FLOW_OPENED);
    this.#write(made, entry);
    if (!over && (held || row === NO_ROW)) this.#hold(made, service, key);
    return true;
  }

  /** By the sweep: its time is over. */
  remove(key: SessionKey): void {
    this.#removeRow(key, REASON_EXPIRED);
    this.#aside.remove(key);
  }

  /** For the sweep. */
  scan(cursor: number, count: number, visit: (entry: Entry) => void): number {
    const size = this.#table.usedRows + this.#aside.size;
    return this.walk(cursor, this.#pace.rows(size, this.now, count), visit);
  }

  /**
   * As `scan`, and takes `count` at its word. Rows first, then what is kept aside: it ages, is compared and copied like the rest.
   * @param only of the rows, those of sessions or those of flows
   */
  walk(cursor: number, count: number, visit: (entry: Entry) => void, only?: 'sessions' | 'flows'): number {
    if (cursor >= ASIDE_CURSOR) {
      const next = this.#aside.scan(cursor - ASIDE_CURSOR, count, visit);
      return next < 0 ? 0 : ASIDE_CURSOR + next;
    }
    const table = this.#table;
    const end = Math.min(table.usedRows, cursor + count);
    for (let row = cursor; row < end; row++) {
      if (table.state(row) === STATE_FREE) continue;
      if (only !== undefined && table.isSession(row) !== (only === 'sessions')) continue;
      const entry = this.entry(row, undefined);
      // Its service is gone, or its server, which had to be without flows for that.
      if (entry === undefined) table.remove(row);
      else visit(entry);
    }
    if (end < table.usedRows) return end;
    return this.#aside.size > 0 && only !== 'sessions' ? ASIDE_CURSOR : 0;
  }

  /** The entry in a row; undefined when its service or server is gone. */
  entry(row: number, key: SessionKey | undefined): Entry | undefined {
    const table = this.#table;
    const { columns } = this;
    const server = this.#ids.serverId(table.server(row));
    if (server === 0 || this.#ids.serviceId(table.service(row)) === 0) return undefined;
    const held = table.isSession(row) && table.isn(row) > 0;
    return {
      key: key ?? this.keys.keyOf(row),
      isn: table.isSession(row) ? 0 : table.isn(row) >>> 0,
      previousIsn: columns.previousIsn(row),
      generation: columns.generation[row]!,
      server,
      origin: columns.origin[row]!,
      bits: columns.bits[row]!,
      openedAt: this.#fromTable(table.openedAt(row)),
      lastSeen: held ? this.now : this.#fromTable(table.lastSeen(row)),
      refreshedAt: this.#fromTable(columns.refreshedAt[row]!),
      sharedBits: columns.sharedBits[row]!,
    };
  }

  /** Services or servers have changed: what was kept aside may be known now. */
  generationChanged(): void {
    for (const entry of this.#aside.all()) {
      if (this.#ids.serviceIndex(entry.key.service) === UNKNOWN) continue;
      if (this.#ids.serverIndex(entry.server) === UNKNOWN) continue;
      this.#aside.remove(entry.key);
      this.put(entry, this.keys.replyOf(entry.key, entry.server));
    }
  }

  #fits(row: number, server: number, endpointPort: number, key: SessionKey): boolean {
    const table = this.#table;
    if (table.server(row) !== server) return false;
    return key.kind === KIND_SESSION || table.endpointPort(row) === endpointPort >>> 0;
  }

  #isHeld(row: number): boolean {
    return (this.#table.flags(row) & FLAG_HOLDS) !== 0;
  }

  #write(row: number, entry: Entry): void {
    const table = this.#table;
    const { columns } = this;
    const session = entry.key.kind === KIND_SESSION;
    const renewed = !session && table.isn(row) >>> 0 !== entry.isn;
    const kept = renewed ? table.flags(row) & FLAG_HOLDS : table.flags(row);
    // That a reset closed it the protocol may not know yet (late-notes.ts).
    const closing = !session && !renewed && table.state(row) === STATE_CLOSING;
    const state = closing ? STATE_CLOSING : stateOfBits(this.#kindOf(row, session), entry.bits);
    table.setFlags(row, kept | flagsOfBits(entry.bits));
    if (table.state(row) !== state) table.setState(row, state);
    if (!session) table.setIsn(row, entry.isn);
    table.setTimes(row, this.#toTable(entry.lastSeen), this.#toTable(entry.openedAt));
    columns.bits[row] = entry.bits;
    columns.sharedBits[row] = entry.sharedBits;
    columns.generation[row] = entry.generation;
    columns.origin[row] = entry.origin;
    columns.refreshedAt[row] = this.#toTable(entry.refreshedAt);
    columns.setPreviousIsn(row, entry.previousIsn);
  }

  #kindOf(row: number, session: boolean): number {
    if (session) return STATE_SESSION;
    const udp = this.#state.services.protocol[this.#table.service(row)] === PROTOCOL_UDP;
    return udp ? STATE_UDP : STATE_OPENING;
  }

  #insert(entry: Entry, service: number, server: number, endpointPort: number): number {
    const { key } = entry;
    const table = this.#table;
    const [a0, a1, a2, a3] = key.client;
    const session = key.kind === KIND_SESSION;
    const ports = session ? 0 : packPorts(key.clientPort, key.vipPort);
    const meta = session ? sessionMeta(service) : flowMeta(service);
    const udp = this.#state.services.protocol[service] === PROTOCOL_UDP;
    const kind = session ? STATE_SESSION : udp ? STATE_UDP : STATE_OPENING;
    const forward = table.hashForward(a0 | 0, a1 | 0, a2 | 0, a3 | 0, ports, meta);
    const reverse =
      endpointPort === 0
        ? 0
        : table.hashReverse(a0 | 0, a1 | 0, a2 | 0, a3 | 0, key.clientPort, endpointPort);
    for (let tries = 0; ; tries++) {
      const row = table.insert(
        forward,
        reverse,
        a0,
        a1,
        a2,
        a3,
        ports,
        meta,
        endpointPort,
        server,
        stateOfBits(kind, entry.bits),
        session ? 0 : entry.isn,
        this.#toTable(entry.lastSeen),
      );
      if (row !== TABLE_FULL || tries >= DROPS_PER_PUT || !table.earlyDrop(this.#state.now)) return row;
    }
  }

  /** A flow of a service with sessions takes hold of its client's, if it is known. */
  #hold(row: number, service: number, key: SessionKey): void {
    const { services } = this.#state;
    if (key.kind === KIND_SESSION || !services.isSession(service)) return;
    const session = this.keys.rowOf(this.keys.sessionOf(service, key));
    if (session !== NO_ROW) holdSession(this.#table, session, row);
  }

  #removeRow(key: SessionKey, reason: number): void {
    const row = this.keys.rowOf(key);
    if (row !== NO_ROW) this.#table.remove(row, reason);
  }

  /** A moment of the table in the protocol's time. One ahead is now. */
  #fromTable(then: number): number {
    const elapsed = (this.#state.now - then) >>> 0;
    return elapsed > MAX_IDLE_MS ? this.now : this.now - elapsed;
  }

  /** What was longer ago than the table can say is as long ago as it can say. */
  #toTable(moment: number): number {
    const elapsed = Math.min(MAX_IDLE_MS, Math.max(0, Math.round(this.now - moment)));
    return (this.#state.now - elapsed) >>> 0;
  }
}
