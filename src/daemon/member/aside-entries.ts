/**
 * Entries of services or servers that this configuration does not know (yet): kept by key, bounded, and walked in steps like the rows of the table.
 */
import type { Entry } from '../../cluster/entry.ts';
import type { SessionKey } from '../../cluster/session-key.ts';

/** Entries kept; more are refused, and digests bring them when their time has come. */
const MAX_ASIDE = 65_536;

export class AsideEntries {
  readonly #entries = new Map<string, Entry>();

  get size(): number {
    return this.#entries.size;
  }

  find(key: SessionKey): Entry | undefined {
    return this.#entries.size === 0 ? undefined : this.#entries.get(key.text);
  }

  /** @returns false when there is no room. */
  put(entry: Entry): boolean {
    const { text } = entry.key;
    if (this.#entries.size >= MAX_ASIDE && !this.#entries.has(text)) return false;
    this.#entries.set(text, entry);
    return true;
  }

  remove(key: SessionKey): void {
    if (this.#entries.size > 0) this.#entries.delete(key.text);
  }

  all(): Entry[] {
    return [...this.#entries.values()];
  }

  /** As EntryStore.scan, but a cursor of 0 is as good as any. @returns the next cursor, or -1 at the end */
  scan(first: number, count: number, visit: (entry: Entry) => void): number {
    let at = 0;
    let kept = 0;
    for (const [text, entry] of this.#entries) {
      if (at++ < first) continue;
      if (at > first + count) return first + kept;
      visit(entry);
      if (this.#entries.has(text)) kept++;
    }
    return -1;
  }
}
