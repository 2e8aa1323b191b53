/**
 * What packets showed of flows (answered, established, closed) and the protocol has not been told yet.
 *
 * The first packet of a flow must not leave before its update does; what later ones show has time. It is kept for DELAY_MS, so that the
 * notes of many flows share datagrams: a connection is then little more than one datagram to each peer instead of three (measured). To the protocol it
 * is as if these packets had come that much later; so that they do not come out of order, a note is told before any packet of its own flow is
 * asked about, and not at all once the flow's entry is of another connection. Bounded by COUNT_MAX.
 */
import type { SessionKey } from '../../cluster/session-key.ts';

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
const NOTHING: readonly Note[] = [];

export class LateNotes {
  #notes: Note[] = [];
  #dueAt = Number.POSITIVE_INFINITY;

  /** When the first of them must be told, in protocol time. */
  get deadline(): number {
    return this.#dueAt;
  }

  /** @param now protocol time. @returns whether they have to be told now. */
  add(note: Note, now: number): boolean {
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

  /** All of them, in their order. */
  take(): readonly Note[] {
    if (this.#notes.length === 0) return NOTHING;
    const taken = this.#notes;
    this.#notes = [];
    this.#dueAt = Number.POSITIVE_INFINITY;
    return taken;
  }
}
