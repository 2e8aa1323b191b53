/**
 * Points in time that can be compared after a restart of the process: the wall clock, and the uptime of the boot that they
 * are in. NTP and administrators step the wall clock; the uptime (CLOCK_BOOTTIME, which counts suspends) they cannot.
 * Source: proc(5), random(4).
 */

import { readFileSync } from 'node:fs';

export interface BootMoment {
  /** Unix time in ms. */
  readonly unixMs: number;
  /** ms since the kernel started. */
  readonly uptimeMs: number;
  /** UUID of this boot, in small letters; empty: not known. */
  readonly bootId: string;
}

/** Now. Without /proc the boot is not known, and the wall clock counts. */
export function bootMoment(): BootMoment {
  const uptimeMs = Math.round(Number.parseFloat(readText('/proc/uptime')) * 1000);
  const known = Number.isFinite(uptimeMs);
  return {
    unixMs: Date.now(),
    uptimeMs: known ? uptimeMs : 0,
    bootId: known ? readText('/proc/sys/kernel/random/boot_id').trim().toLowerCase() : '',
  };
}

function readText(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    return '';
  }
}

/** ms from `earlier` to `later`, never negative: by the uptime within one boot, else by the wall clock. */
export function passedMs(earlier: BootMoment, later: BootMoment): number {
  const sameBoot = earlier.bootId !== '' && earlier.bootId === later.bootId;
  return Math.max(0, sameBoot ? later.uptimeMs - earlier.uptimeMs : later.unixMs - earlier.unixMs);
}
