/** From the configuration to what the dispatcher thread must know of its cluster. */
import { randomBytes } from 'node:crypto';
import { nodeId } from '../../cluster/identity.ts';
import { clusterKeys, sharedKey } from '../config/cluster.ts';
import { type Config, configHash } from '../config/config.ts';
import { hostGroup } from '../host/input.ts';
import { groupLink } from '../host/multicast.ts';
import type { MemberSetup, ToldConfiguration } from '../member/setup.ts';

/**
 * The set-up of a new life of this dispatcher; undefined where the configuration has no cluster.
 * @param name of this dispatcher, which the configuration names
 * @throws LatchwayError `file` when a key cannot be read, host-conflict when no link leads to its group
 */
export async function memberSetup(config: Config, name: string): Promise<MemberSetup | undefined> {
  const { cluster } = config;
  if (cluster === undefined) return undefined;
  const all = cluster.dispatchers.map((one) => ({ ...one, node: nodeId(one.name) }));
  const keys = clusterKeys(cluster);
  const group = hostGroup(config);
  return {
    self: all.find((one) => one.name === name)!,
    peers: all.filter((one) => one.name !== name),
    port: cluster.port,
    multicast: group && (await groupLink(group)),
    incarnation: randomBytes(16).toString('hex'),
    clusterKeys: keys.map((key) => Uint8Array.from(key)),
    seed: sharedKey(cluster),
    ...toldConfiguration(config),
    heartbeatMs: cluster.heartbeatMs,
    deadAfterMs: cluster.deadAfterMs,
    leaseMs: cluster.leaseMs,
    confirmTimeoutMs: cluster.confirmTimeoutMs,
  };
}

/** What a dispatcher thread is told at its start, and again after each reload. */
export function toldConfiguration(config: Config): ToldConfiguration {
  return {
    configuration: Number.parseInt(configHash(config).slice(0, 8), 16),
    newSessionsPerSecond: config.flood.newSessionsPerSecond,
  };
}
