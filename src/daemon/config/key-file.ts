/**
 * Key files of a cluster: one word of 64 hexadecimal digits, the key; and in one that follows another a second word of 16.
 *
 * Hashes that dispatchers must agree on (ranks, maglev, digest ranges) are keyed as well. That key is derived from the first cluster key, and
 * handed on from key file to key file: while keys are being changed all dispatchers go on computing alike.
 */
import { randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { type ClusterKey, selectionKey } from '../../balance/cluster-key.ts';
import { LatchwayError } from '../../base/fault.ts';
import { CLUSTER_KEY_SIZE } from './limits.ts';

const FORMAT = /^([0-9a-f]{64})(?:\s+([0-9a-f]{8})([0-9a-f]{8}))?$/i;
const HINT = "make one with 'latchway keygen'";

export interface KeyFile {
  /** 32 bytes. */
  readonly key: Buffer;
  readonly hashes: ClusterKey;
}

/** @throws LatchwayError `file` without the key's text in it */
export function readKeyFile(file: string): KeyFile {
  let text: string;
  try {
    text = readFileSync(file, 'latin1').trim();
  } catch (error) {
    throw fault(file, `cannot be read (${(error as Error).message}): ${HINT}`);
  }
  const [, digits, high, low] = FORMAT.exec(text) ?? [];
  if (digits === undefined) throw fault(file, `is no cluster key of 64 hexadecimal digits: ${HINT}`);
  const key = Buffer.from(digits, 'hex');
  const given = high === undefined || low === undefined ? undefined : ([high, low] as const);
  return {
    key,
    hashes: given ? [Number.parseInt(given[0], 16), Number.parseInt(given[1], 16)] : selectionKey(key),
  };
}

/** The text of a new key file. @param after the one that it is to follow */
export function newKeyFile(after?: KeyFile): string {
  const key = randomBytes(CLUSTER_KEY_SIZE).toString('hex');
  const hashes = after?.hashes.map((word) => word.toString(16).padStart(8, '0')).join('');
  return hashes === undefined ? key : `${key} ${hashes}`;
}

/** Whether one of them follows the other, however often keys were changed in between. */
export function follows(one: KeyFile, other: KeyFile): boolean {
  return one.hashes[0] === other.hashes[0] && one.hashes[1] === other.hashes[1];
}

function fault(file: string, detail: string): LatchwayError {
  return new LatchwayError({ code: 'file', file, detail });
}
