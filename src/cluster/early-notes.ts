/**
 * Ends of flows that went by hash in a flood past a dispatcher that has no entry for them yet: noted when the entry comes,
 * or a connection that both sides ended would live on in all tables until it is idle (rule 12 of PROTOCOL.md). Bounded.
 */

import type { Entry } from './entry.ts';

interface EarlyNote {
  readonly bits: number;
  readonly at: number;
}

/** Flows of which ends are kept; beyond it the oldest is forgotten. */
export const MAX_EARLY_NOTES = 1_024;

export class EarlyNotes {
  readonly byKey = new Map<string, EarlyNote>();

  /** @param bits BIT_ constants of entry.ts */
  add(text: string, bits: number, now: number): void {
    const held = this.byKey.get(text)?.bits ?? 0;
    this.byKey.delete(text);
    this.byKey.set(text, { bits: held | bits, at: now });
    if (this.byKey.size <= MAX_EARLY_NOTES) return;
    for (const oldest of this.byKey.keys()) {
      this.byKey.delete(oldest);
      break;
    }
  }

  /** What was noted for this entry's flow, once; 0 where it may be about an earlier connection: it opened after the note. */
  take(entry: Entry): number {
    if (this.byKey.size === 0) return 0;
    const { text } = entry.key;
    const note = this.byKey.get(text);
    if (note === undefined) return 0;
    this.byKey.delete(text);
    return entry.openedAt <= note.at ? note.bits : 0;
  }
}
