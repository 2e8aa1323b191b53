/**
 * The configuration of a dispatcher: one YAML file, the same on every dispatcher, read into one readonly value.
 *
 * text -> document (document.ts) -> sections (schema.ts) -> drafts (services.ts, cluster.ts)
 * -> what drafts say about each other (conflicts.ts) -> Config. Every fault on the way is collected, and all are
 * thrown as one error. Invariant: a Config has no faults left: no two services share a VIP, protocol and port, families
 * fit their modes, times are milliseconds, ports sorted and disjoint, names match NAME_PATTERN.
 */
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { LatchwayError } from '../../base/fault.ts';
import type { Endpoint } from '../../wire/address.ts';
import { type ClusterConfig, completeCluster, keyFiles, readCluster } from './cluster.ts';
import { checkConflicts, checkShared } from './conflicts.ts';
import { type FaultList, readDocument } from './document.ts';
import { follows, type KeyFile, readKeyFile } from './key-file.ts';
import { MAX_CONFIG_SIZE } from './limits.ts';
import { defaultNode } from './node-name.ts';
import { DEVICE, FLOOD, METRICS, ROOT, TABLE } from './schema.ts';
import { type Complete, readMap, readSection } from './section.ts';
import { completeServices, readServices, type ServiceConfig } from './services.ts';

export interface Config {
  /** Absolute path of the file that this came from. */
  readonly file: string;
  readonly cluster: ClusterConfig | undefined;
  readonly device: { readonly name: string; readonly queues: number };
  /** Flows. */
  readonly table: { readonly capacity: number };
  readonly flood: { readonly newSessionsPerSecond: number };
  /** Where Prometheus may scrape by TCP, if anywhere; the control socket always answers. */
  readonly metrics: { readonly listen: Endpoint } | undefined;
  /** In the order of the file; at least one. */
  readonly services: readonly ServiceConfig[];
}

/**
 * Reads and checks a configuration file, and the key files that it names.
 * @throws LatchwayError `file` (cannot be read, is not text), `config` (every fault at once)
 */
export function loadConfig(file: string): Config {
  const path = resolve(file);
  const text = readText(path);
  const config = parseConfig(text, path);
  if (config.cluster === undefined) return config;
  const { list } = readDocument(text);
  checkKeyFiles(config.cluster, list);
  if (list.faults.length > 0) throw new LatchwayError({ code: 'config', file: path, faults: list.faults });
  return config;
}

/**
 * Checks the text of a configuration file; touches no other file.
 * @param file absolute path of the text: for messages, and for the paths in it that are relative
 * @throws LatchwayError `config` with every fault, each with path and line, in the order of the file
 */
export function parseConfig(text: string, file: string): Config {
  const { root, readable, list } = readDocument(text);
  const config = readable ? readConfig(root, file, list) : undefined;
  if (config !== undefined) return config;
  throw new LatchwayError({ code: 'config', file, faults: list.faults.toSorted((a, b) => a.line - b.line) });
}

function checkKeyFiles(cluster: ClusterConfig, list: FaultList): void {
  let used: KeyFile | undefined;
  for (const [name, file] of keyFiles(cluster)) {
    try {
      const found = readKeyFile(file);
      used ??= found;
      if (!follows(found, used))
        list.add(
          ['cluster', name],
          "and key-file do not follow each other, so dispatchers would hash differently: make the new one with 'latchway keygen --after OLD'",
        );
    } catch (error) {
      list.add(['cluster', name], (error as Error).message);
    }
  }
}

/** @returns undefined when `list` has faults. */
function readConfig(root: unknown, file: string, list: FaultList): Config | undefined {
  if (root !== null && readMap(root, [], list) === undefined) return undefined;
  const top = readSection(root ?? {}, [], ROOT, list);
  const cluster = top.cluster === undefined ? undefined : readCluster(top.cluster, list);
  const device = readSection(top.device, ['device'], DEVICE, list);
  const table = readSection(top.table, ['table'], TABLE, list);
  const flood = readSection(top.flood, ['flood'], FLOOD, list);
  const metrics =
    top.metrics === undefined ? undefined : readSection(top.metrics, ['metrics'], METRICS, list);
  const services = readServices(top, list);
  checkShared(services, cluster !== undefined, list);
  checkConflicts(services, cluster?.dispatchers ?? [], list);
  if (list.faults.length > 0) return undefined;
  // Without faults every draft is complete.
  return {
    file,
    cluster: cluster === undefined ? undefined : completeCluster(cluster, file),
    device: device as Complete<typeof DEVICE>,
    table: table as Complete<typeof TABLE>,
    flood: { newSessionsPerSecond: (flood as Complete<typeof FLOOD>)['new-sessions-per-second'] },
    metrics: metrics as Complete<typeof METRICS> | undefined,
    services: completeServices(services),
  };
}

function readText(file: string): string {
  const fail = (detail: string): never => {
    throw new LatchwayError({ code: 'file', file, detail });
  };
  let bytes: Buffer;
  try {
    bytes = readFileSync(file);
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT') return fail('there is no such file');
    if (code === 'EISDIR') return fail('is a directory, not a configuration file');
    return fail(code === 'EACCES' ? 'permission denied' : message);
  }
  if (bytes.length > MAX_CONFIG_SIZE)
    return fail(`is larger than ${MAX_CONFIG_SIZE} bytes: not a configuration file`);
  if (bytes.includes(0)) return fail('is not a text file (it has NUL bytes)');
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch {
    return fail('is not a text file (it is not UTF-8)');
  }
}

/**
 * SHA-256 over what the configuration means, 64 hexadecimal digits: equal for equal meaning, wherever the file lies and
 * whatever its order of services and servers.
 */
export function configHash(config: Config): string {
  const byName = <T extends { readonly name: string }>(items: readonly T[]): T[] =>
    items.toSorted((a, b) => (a.name < b.name ? -1 : 1));
  const services = byName(config.services).map((service) => ({
    ...service,
    servers: byName(service.servers),
  }));
  const cluster = config.cluster && {
    ...config.cluster,
    keyFile: undefined,
    nextKeyFile: undefined,
    previousKeyFile: undefined,
    dispatchers: byName(config.cluster.dispatchers),
  };
  const meaning = { ...config, file: undefined, cluster, services };
  return createHash('sha256').update(JSON.stringify(meaning)).digest('hex');
}

/**
 * The name of this dispatcher: `--node`, else the host name.
 * @throws LatchwayError `unknown-node` when the configuration has a cluster that does not name it
 */
export function chooseNode(config: Config, node: string | undefined): string {
  const chosen = node ?? defaultNode();
  const known = config.cluster?.dispatchers.map(({ name }) => name);
  if (known !== undefined && !known.includes(chosen))
    throw new LatchwayError({ code: 'unknown-node', node: chosen, known });
  return chosen;
}
