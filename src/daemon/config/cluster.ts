/**
 * The `cluster` section: the dispatchers that stand side by side, how they reach each other, and the key that they share.
 *
 * Names and addresses differ; all addresses are of one family, since each dispatcher has one socket for all.
 */
import { dirname, resolve } from 'node:path';
import type { ClusterKey } from '../../balance/cluster-key.ts';
import { nodeId } from '../../cluster/identity.ts';
import { type Address, formatAddress } from '../../wire/address.ts';
import type { FaultList } from './document.ts';
import { readKeyFile } from './key-file.ts';
import { MAX_DISPATCHERS } from './limits.ts';
import { CLUSTER } from './schema.ts';
import { type Complete, type Draft, readNamed, readSection } from './section.ts';
import { ADDRESS } from './values.ts';

export interface DispatcherConfig {
  readonly name: string;
  /** The address used between dispatchers. */
  readonly address: Address;
}

export interface ClusterConfig {
  readonly name: string;
  /** Absolute path of the key that seals. */
  readonly keyFile: string;
  /** Absolute paths of keys that are accepted, while keys are being changed; at most one of them. */
  readonly nextKeyFile: string | undefined;
  readonly previousKeyFile: string | undefined;
  readonly port: number;
  /** Group to which updates are sent once for all; undefined: they are sent to each. */
  readonly multicast: Address | undefined;
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
  if (keys['next-key-file'] !== undefined && keys['previous-key-file'] !== undefined)
    list.add(
      ['cluster', 'next-key-file'],
      'excludes previous-key-file: end the change of keys that is under way first',
    );
  const dispatchers = readDispatchers(keys.dispatchers, list);
  const family = dispatchers[0]?.address.family;
  if (keys.multicast !== undefined && family !== undefined && keys.multicast.family !== family)
    list.add(
      ['cluster', 'multicast'],
      `must be of the family of the dispatchers' addresses, which are IPv${family}`,
    );
  return { keys, dispatchers };
}

function readDispatchers(value: unknown, list: FaultList): DispatcherConfig[] {
  const path = ['cluster', 'dispatchers'];
  const dispatchers: DispatcherConfig[] = [];
  for (const [name, text] of readNamed(value, path, list)) {
    const { [name]: address } = readSection({ [name]: text }, path, { [name]: ADDRESS }, list);
    if (address === undefined) continue;
    const at = [...path, name];
    const same = dispatchers.find((one) => formatAddress(one.address) === formatAddress(address));
    if (same !== undefined) list.add(at, `has the address of '${same.name}'`);
    if (dispatchers.some((one) => one.address.family !== address.family))
      list.add(at, 'must be of the same address family as the other dispatchers');
    const alike = dispatchers.find((one) => nodeId(one.name) === nodeId(name));
    if (alike !== undefined)
      list.add(at, `its name and '${alike.name}' cannot be told apart (same 32-bit id): choose another name`);
    dispatchers.push({ name, address });
  }
  if (dispatchers.length > MAX_DISPATCHERS)
    list.add(path, `names ${dispatchers.length} dispatchers: at most ${MAX_DISPATCHERS} are supported`);
  return dispatchers;
}

/** @param file the configuration file, which `key-file` is relative to */
export function completeCluster(draft: ClusterDraft, file: string): ClusterConfig {
  const keys = draft.keys as Complete<typeof CLUSTER>;
  const beside = (name: string | undefined) =>
    name === undefined ? undefined : resolve(dirname(file), name);
  return {
    name: keys.name,
    keyFile: resolve(dirname(file), keys['key-file']),
    nextKeyFile: beside(keys['next-key-file']),
    previousKeyFile: beside(keys['previous-key-file']),
    port: keys.port,
    multicast: keys.multicast,
    heartbeatMs: keys.heartbeat,
    deadAfterMs: keys['dead-after'],
    leaseMs: keys.lease,
    confirmTimeoutMs: keys['confirm-timeout'],
    dispatchers: draft.dispatchers,
  };
}

/** The key files that a cluster has now, by what they are called in the configuration; the one to seal with first. */
export function keyFiles({
  keyFile,
  nextKeyFile,
  previousKeyFile,
}: ClusterConfig): readonly [string, string][] {
  const named = [
    ['key-file', keyFile],
    ['next-key-file', nextKeyFile],
    ['previous-key-file', previousKeyFile],
  ] as const;
  return named.flatMap(([name, file]) => (file === undefined ? [] : [[name, file] as [string, string]]));
}

/** The keys of a cluster, the one to seal with first. @throws LatchwayError `file` */
export function clusterKeys(cluster: ClusterConfig): readonly Buffer[] {
  return keyFiles(cluster).map(([, file]) => readKeyFile(file).key);
}

/** The key of hashes that dispatchers agree on. @throws LatchwayError `file` */
export function sharedKey({ keyFile }: ClusterConfig): ClusterKey {
  return readKeyFile(keyFile).hashes;
}
