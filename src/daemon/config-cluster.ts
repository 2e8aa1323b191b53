/**
 * The `cluster` section. This version runs one dispatcher alone: a section that names exactly one is accepted and
 * checked whole (so that the file of a later cluster is valid today), one that names more is refused.
 */
import { readFileSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { LatchwayError } from '../base/fault.ts';
import type { Address } from '../wire/address.ts';
import type { FaultList } from './config-document.ts';
import { CLUSTER_KEY_SIZE } from './config-limits.ts';
import { CLUSTER } from './config-schema.ts';
import { type Complete, type Draft, readNamed, readSection } from './config-section.ts';
import { ADDRESS } from './config-values.ts';

export interface DispatcherConfig {
  readonly name: string;
  /** The address used between dispatchers. */
  readonly address: Address;
}

export interface ClusterConfig {
  readonly name: string;
  /** Absolute path. */
  readonly keyFile: string;
  readonly port: number;
  readonly heartbeatMs: number;
  readonly deadAfterMs: number;
  readonly leaseMs: number;
  readonly confirmTimeoutMs: number;
  readonly dispatchers: readonly DispatcherConfig[];
}

export interface ClusterDraft {
  readonly keys: Draft<typeof CLUSTER>;
  readonly dispatchers: readonly DispatcherConfig[];
}

export function readCluster(value: unknown, list: FaultList): ClusterDraft {
  const keys = readSection(value, ['cluster'], CLUSTER, list);
  const { heartbeat = 0, 'dead-after': deadAfter } = keys;
  if (deadAfter !== undefined && deadAfter < 2 * heartbeat)
    list.add(
      ['cluster', 'dead-after'],
      'must be at least twice the heartbeat, else one lost datagram is a death',
    );
  return { keys, dispatchers: readDispatchers(keys.dispatchers, list) };
}

function readDispatchers(value: unknown, list: FaultList): DispatcherConfig[] {
  const path = ['cluster', 'dispatchers'];
  const dispatchers: DispatcherConfig[] = [];
  for (const [name, text] of readNamed(value, path, list)) {
    const { [name]: address } = readSection({ [name]: text }, path, { [name]: ADDRESS }, list);
    if (address === undefined) continue;
    dispatchers.push({ name, address });
  }
  if (dispatchers.length > 1)
    list.add(['cluster'], 'more than one dispatcher is not supported by this version');
  return dispatchers;
}

/** @param file the configuration file, which `key-file` is relative to */
export function completeCluster(draft: ClusterDraft, file: string): ClusterConfig {
  const keys = draft.keys as Complete<typeof CLUSTER>;
  return {
    name: keys.name,
    keyFile: resolve(dirname(file), keys['key-file']),
    port: keys.port,
    heartbeatMs: keys.heartbeat,
    deadAfterMs: keys['dead-after'],
    leaseMs: keys.lease,
    confirmTimeoutMs: keys['confirm-timeout'],
    dispatchers: draft.dispatchers,
  };
}

/**
 * The key that a key file holds: 64 hexadecimal digits, as `latchway keygen` prints them.
 * @throws LatchwayError `file` without the key's text in it
 */
export function readKeyFile(file: string): Buffer {
  const hint = "make one with 'latchway keygen'";
  let text: string;
  try {
    text = readFileSync(file, 'latin1').trim();
  } catch (error) {
    throw new LatchwayError({
      code: 'file',
      file,
      detail: `cannot be read (${(error as Error).message}): ${hint}`,
    });
  }
  if (!/^[0-9a-fA-F]+$/.test(text) || text.length !== 2 * CLUSTER_KEY_SIZE)
    throw new LatchwayError({
      code: 'file',
      file,
      detail: `is no cluster key of 64 hexadecimal digits: ${hint}`,
    });
  return Buffer.from(text, 'hex');
}
