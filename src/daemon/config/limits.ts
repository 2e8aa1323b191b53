/**
 * Bounds of what a configuration file may say, each with its reason. The schema states them in its messages.
 * Durations are milliseconds.
 */

/** Bytes of a configuration file: 4,096 services of some 1,000 bytes each. */
export const MAX_CONFIG_SIZE = 4 * 1024 * 1024;

/**
 * Indexes of services are 16 bits wide and are not reused at once when a reload replaces a service, so the file may
 * use up a sixteenth of them only.
 */
export const MAX_SERVICES = 4096;

/** The same for servers: a quarter of 65,535 indexes, so that a reload may replace every server three times over. */
export const MAX_SERVERS = 16_384;

/** Maglev's 65,537 slots spread within 1 % only while they are about a hundred times the servers. */
export const MAX_SERVERS_PER_SERVICE = 655;

/** Port ranges of one service; a service that needs more wants `any`. */
export const MAX_PORT_RANGES = 256;

/** Flows. The least keeps the index above one page; the most is 1 GiB of entries at 64 bytes each. */
export const MIN_TABLE_CAPACITY = 1024;
export const MAX_TABLE_CAPACITY = 16_777_216;
export const DEFAULT_TABLE_CAPACITY = 1_048_576;

/** One reader thread a queue; more than eight outrun the one dispatcher thread. */
export const MAX_QUEUES = 8;

/** IFNAMSIZ (16, linux/if.h) with its NUL. */
export const MAX_DEVICE_NAME = 15;

/** Ages in the table are u32 milliseconds that wrap after 49 days; a week leaves room. */
export const MIN_LIFETIME_MS = 100;
export const MAX_LIFETIME_MS = 7 * 24 * 3_600_000;

export const MIN_HEALTH_MS = 10;
export const MAX_HEALTH_MS = 3_600_000;
export const MAX_RISE_FALL = 100;

/** Timing of a cluster: below 10 ms is scheduling noise, above a minute nobody would call it a heartbeat. */
export const MIN_CLUSTER_MS = 10;
export const MAX_CLUSTER_MS = 60_000;

export const MAX_NEW_SESSIONS = 10_000_000;

/** Name of the device when the configuration gives none. */
export const DEFAULT_DEVICE = 'lw0';

/** Bytes of the cluster key: two hexadecimal digits each in its file. */
export const CLUSTER_KEY_SIZE = 32;

/** Every dispatcher talks to every other. */
export const MAX_DISPATCHERS = 64;
