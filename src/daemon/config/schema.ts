/**
 * The schema of the configuration file: one table of keys for each of its maps.
 *
 * Key names are a contract with tools outside the project: add to them, never rename.
 */
import { z } from 'zod';
import { MAX_WEIGHT } from '../../balance/generation.ts';
import * as limits from './limits.ts';
import {
  ADDRESS,
  affinity,
  choice,
  deviceName,
  duration,
  endpoint,
  filePath,
  GROUP,
  name,
  ports,
  wholeNumber,
} from './values.ts';

const port = wholeNumber(1, 65_535);
const lifetime = duration(limits.MIN_LIFETIME_MS, limits.MAX_LIFETIME_MS);
const clusterTime = duration(limits.MIN_CLUSTER_MS, limits.MAX_CLUSTER_MS);
const healthTime = duration(limits.MIN_HEALTH_MS, limits.MAX_HEALTH_MS);
const riseFall = wholeNumber(1, limits.MAX_RISE_FALL);
/** A map with its own section, read by its own call. */
const section = z.unknown().optional();

export const ROOT = {
  cluster: section,
  device: section,
  table: section,
  flood: section,
  timeouts: section,
  metrics: section,
  services: section,
};

export const CLUSTER = {
  name,
  'key-file': filePath,
  'next-key-file': filePath.optional(),
  'previous-key-file': filePath.optional(),
  port: port.default(7373),
  multicast: GROUP.optional(),
  heartbeat: clusterTime.default(100),
  'dead-after': clusterTime.default(500),
  lease: clusterTime.default(250),
  'confirm-timeout': clusterTime.default(20),
  dispatchers: section,
};

export const DEVICE = {
  name: deviceName.default(limits.DEFAULT_DEVICE),
  queues: wholeNumber(1, limits.MAX_QUEUES).default(1),
};

export const TABLE = {
  capacity: wholeNumber(limits.MIN_TABLE_CAPACITY, limits.MAX_TABLE_CAPACITY).default(
    limits.DEFAULT_TABLE_CAPACITY,
  ),
};

export const FLOOD = { 'new-sessions-per-second': wholeNumber(1, limits.MAX_NEW_SESSIONS).default(50_000) };

/** All optional: what a service leaves out comes from the global section, and what that leaves out from DEFAULT_TIMEOUTS. */
export const TIMEOUTS = {
  'tcp-established': lifetime.optional(),
  'tcp-opening': lifetime.optional(),
  'tcp-closing': lifetime.optional(),
  udp: lifetime.optional(),
  client: lifetime.optional(),
};

export const METRICS = { listen: endpoint };

export const SERVICE = {
  vip: ADDRESS,
  protocol: choice(['tcp', 'udp']),
  ports,
  mode: choice(['nat', 'ipip'], ['gue', 'dsr']).default('nat'),
  scheduler: choice(['maglev', 'rr', 'wrr', 'lc', 'wlc', 'sh', 'random']).default('maglev'),
  affinity: affinity.default({ kind: 'flow' }),
  lock: choice(['auto', 'announce', 'confirm']).default('auto'),
  unknown: choice(['auto', 'reset', 'drop', 'hash']).default('auto'),
  'on-server-down': choice(['keep', 'reset', 'rebind']).default('keep'),
  timeouts: section,
  servers: section,
  health: section,
};

export const SERVER = {
  address: ADDRESS,
  port: port.optional(),
  weight: wholeNumber(0, MAX_WEIGHT).default(1),
};

export const HEALTH_TYPE = {
  type: choice(['none', 'tcp'], ['http', 'https', 'icmp', 'udp', 'dns', 'script', 'exec']).default('tcp'),
};

export const HEALTH = {
  ...HEALTH_TYPE,
  interval: healthTime.default(1000),
  timeout: healthTime.default(500),
  rise: riseFall.default(2),
  fall: riseFall.default(3),
  port: port.optional(),
};
