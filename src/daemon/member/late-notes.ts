/**
 * What packets showed of flows (answered, established, closed) and the protocol has not been told yet.
 *
 * The first packet of a flow must not leave before its update does; what later ones show has time. It is kept for DELAY_MS, so that the
 * notes of many flows share datagrams: a connection is then little more than one datagram to each peer instead of three (measured). To the protocol it
 * is as if these packets had come that much later; so that they do not come out of order, a note is told before any packet of its own flow is
 * asked about, and not at all once the flow's entry is of another connection.
 *
 * A reset may be forged, and what the protocol was told it does not take back: that a reset closed a flow is told when it still does after RESET_MS.
 * All is bounded by count.
 */
import { BIT_CLOSING, BOTH_FINS } from '../../cluster/entry.ts';
import type { SessionKey } from '../../cluster/session-key.ts';
import type { DispatchTable } from '../../table/dispatch-table.ts';
import { NO_ROW, STATE_CLOSING } from '../../table/flow-row.ts';
import { bitsOfRow } from './row-bits.ts';
import type { RowStore } from './row-store.ts';

export interface Note {
  readonly key: SessionKey;
  /** The client's initial sequence number in the entry that it is about. */
  readonly isn: number;
  /** BIT_ constants of cluster/entry.ts. */
  readonly bits: number;
}

/** Above what a conversation on a local network takes from SYN to FIN, far below every time-out. */
const DELAY_MS = 2;
const COUNT_MAX = 64;
/** Above what a living flow is silent for while it is used. */
const RESET_MS = 1_000;
const RESETS_MAX = 16_384;
const NOTHING: readonly Note[] = [];

export class LateNotes {
  readonly #table: DispatchTable;
  readonly #store: RowStore;
  #notes: Note[] = [];
  #dueAt = Number.POSITIVE_INFINITY;
  /** By connection, in the order of their times: one that is reset again and again takes one place. */
  readonly #resets = new Map<string, { readonly note: Note; readonly dueAt: number }>();

  constructor(table: DispatchTable, store: RowStore) {
    this.#table = table;
    this.#store = store;
  }

  /** When the first of them must be told, in protocol time. */
  get deadline(): number {
    return Math.min(this.#dueAt, this.#resetAt);
  }

  get #resetAt(): number {
    if (this.#resets.size === 0) return Number.POSITIVE_INFINITY;
    return this.#resets.values().next().value!.dueAt;
  }

  /** A packet has changed a row. @param now protocol time. @returns whether something has to be told now. */
  changed(row: number, now: number): boolean {
    const known = this.#store.columns.bits[row]!;
    const bits = bitsOfRow(this.#table.state(row), this.#table.flags(row));
    if ((bits & ~known) === 0) return false;
    const flow = { key: this.#store.keys.keyOf(row), isn: this.#table.isn(row) };
    const isReset = (bits & BIT_CLOSING) !== 0 && (bits & BOTH_FINS) !== BOTH_FINS;
    const name = isReset ? `${flow.key.text} ${flow.isn}` : '';
    if (isReset && (this.#resets.size < RESETS_MAX || this.#resets.has(name))) {
      // At the end: the time begins anew.
      this.#resets.delete(name);
      this.#resets.set(name, { note: { ...flow, bits }, dueAt: now + RESET_MS });
      const rest = bits & ~BIT_CLOSING;
      return (rest & ~known) !== 0 && this.#add({ ...flow, bits: rest }, now);
    }
    return this.#add({ ...flow, bits }, now);
  }

  #add(note: Note, now: number): boolean {
    if (this.#notes.length === 0) this.#dueAt = now + DELAY_MS;
    this.#notes.push(note);
    return this.#notes.length >= COUNT_MAX;
  }

  /** Whether one may be about the flow of this client: last word of the address, and port. */
  concern(client3: number, clientPort: number): boolean {
    for (const { key } of this.#notes)
      if (key.clientPort === clientPort && key.client[3] === client3) return true;
    return false;
  }

  /** What is to be told now, in its order. @param until protocol time: resets that are due by then */
  take(until: number): readonly Note[] {
    if (this.#notes.length === 0 && (this.#resets.size === 0 || this.#resetAt > until)) return NOTHING;
    const resets: Note[] = [];
    for (const [name, { note, dueAt }] of this.#resets) {
      if (dueAt > until) break;
      this.#resets.delete(name);
      if (this.#isClosing(note)) resets.push(note);
    }
    const taken = this.#notes.filter((note) => this.#rowOf(note) !== NO_ROW);
    this.#notes = [];
    this.#dueAt = Number.POSITIVE_INFINITY;
    return [...taken, ...resets];
  }

  /** The row of the connection that a note is about. */
  #rowOf({ key, isn }: Note): number {
    const row = this.#store.keys.rowOf(key);
    return row !== NO_ROW && this.#table.isn(row) === isn ? row : NO_ROW;
  }

  #isClosing(note: Note): boolean {
    const row = this.#rowOf(note);
    return row !== NO_ROW && this.#table.state(row) === STATE_CLOSING;
  }
}
