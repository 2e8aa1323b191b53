/**
 * The sysctls that were changed, on disk, so that they can be put back after the process was killed.
 *
 * One file per network namespace: /run/latchway/host-INODE.json, written before each change. It is believed only
 * when the namespace still has routes or rules of ours: those are placed before the first sysctl is touched and
 * removed after the last one is put back, so a file without them belongs to another namespace that had this inode.
 * Routes, rules and tables need no journal: they carry their owner (state.ts).
 */

import { mkdirSync, readFileSync, readlinkSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import type { SysctlChange } from './sysctl.ts';

export const JOURNAL_DIRECTORY = '/run/latchway';

/** The file of this process's network namespace. */
export function journalPath(directory: string = JOURNAL_DIRECTORY): string {
  // "net:[4026531840]"
  const inode = /\d+/.exec(readlinkSync('/proc/self/ns/net'))![0];
  return `${directory}/host-${inode}.json`;
}

/** @returns what a run noted and did not clear; nothing when there is no file or it cannot be read. */
export function readJournal(path: string): SysctlChange[] {
  try {
    const read: unknown = JSON.parse(readFileSync(path, 'utf8'));
    const changes = (read as { changes?: unknown }).changes;
    return Array.isArray(changes) ? changes.filter(isChange) : [];
  } catch {
    return [];
  }
}

function isChange(item: unknown): item is SysctlChange {
  if (typeof item !== 'object' || item === null) return false;
  const { key, from, to } = item as Record<string, unknown>;
  // Only keys that this daemon ever writes: a file in /run must not be a way to write elsewhere in /proc.
  return (
    typeof key === 'string' &&
    /^net\/ipv[46]\/(?!.*\.\.\/)/.test(key) &&
    typeof from === 'string' &&
    typeof to === 'string'
  );
}

/** Replaces the file as a whole. Throws what the file system says. */
export function writeJournal(path: string, changes: readonly SysctlChange[]): void {
  mkdirSync(path.slice(0, path.lastIndexOf('/')), { recursive: true, mode: 0o755 });
  writeFileSync(`${path}.new`, `${JSON.stringify({ changes })}\n`, { mode: 0o600 });
  renameSync(`${path}.new`, path);
}

export function removeJournal(path: string): void {
  rmSync(path, { force: true });
  rmSync(`${path}.new`, { force: true });
}
