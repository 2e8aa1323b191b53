/**
 * What the control socket shows and what it may do: the views as they are sent in JSON, and `ControlTarget`, which the
 * daemon implements. Field names of the views are read by scripts: add to them, do not rename.
 *
 * Addresses are text (RFC 5952), endpoints `address:port` or `[address]:port`, times ISO 8601 in UTC, durations
 * milliseconds (`...Ms`).
 */
import type { CounterName } from '../../base/counters.ts';
import type { AddressWords } from '../../wire/address.ts';
import type { ClusterStatus, DiffView, ExplainView, LockView, PeerView } from '../cluster/cluster-views.ts';
import type { ServerChange } from '../pool/pool.ts';

export interface ServiceStatus {
  readonly service: string;
  /** Servers that are up, and all that the configuration names. */
  readonly up: number;
  readonly servers: number;
  /** Names of those that are down, and of those that are up and drained. */
  readonly down: readonly string[];
  readonly drained: readonly string[];
}

export interface StatusView {
  readonly node: string;
  readonly version: string;
  readonly pid: number;
  readonly startedAt: string;
  readonly uptimeMs: number;
  /** Forwards, and knows the table. */
  readonly ready: boolean;
  readonly config: { readonly file: string; readonly hash: string; readonly loadedAt: string };
  /** Grows by one with every change of services, servers, weights or health. */
  readonly generation: number;
  readonly device: { readonly name: string; readonly queues: number; readonly offloads: readonly string[] };
  /** Entries; `bytes` is the memory of the whole table. */
  readonly table: { readonly used: number; readonly capacity: number; readonly bytes: number };
  /** New flows a second, over the last seconds. */
  readonly flowsPerSecond: number;
  readonly services: readonly ServiceStatus[];
  /** Values of the host that the daemon changed, and puts back when it stops. */
  readonly sysctls: readonly { readonly name: string; readonly from: string; readonly to: string }[];
  readonly warnings: readonly string[];
}

/** What `GET /status` answers. */
export interface FullStatusView extends StatusView {
  /** Null for a dispatcher alone. */
  readonly cluster: ClusterStatus | null;
}

/** One server of one service; what belongs to the service is repeated in each of its rows. */
export interface ServerView {
  readonly service: string;
  readonly vip: string;
  readonly protocol: 'tcp' | 'udp';
  /** `80,443,8000-8099` or `any` */
  readonly ports: string;
  readonly mode: string;
  readonly scheduler: string;
  /** `flow` or `client/24` */
  readonly affinity: string;
  readonly server: string;
  readonly address: string;
  /** 0: the packet's port is kept. */
  readonly port: number;
  /** In force when not drained: the configured one, or what was set at run time. */
  readonly weight: number;
  /** Set by hand: takes no new flows until enabled. */
  readonly drained: boolean;
  /** No longer in the configuration; keeps its flows until they end. */
  readonly leaving: boolean;
  /** Added by a reload; takes no new flows until all dispatchers know it. */
  readonly waiting: boolean;
  readonly up: boolean;
  /** Of the last change between up and down. */
  readonly since: string;
  readonly health: 'none' | 'tcp';
  /** Why it is up or down, from the last probe. */
  readonly detail: string;
  /** Flows that are open, and flows that are opening or closing. */
  readonly active: number;
  readonly inactive: number;
}

export type FlowState = 'opening' | 'established' | 'closing' | 'udp' | 'session';

export interface FlowView {
  readonly service: string;
  readonly protocol: 'tcp' | 'udp';
  /** `address:port`; of a session entry the prefix, `198.51.100.0/24` */
  readonly client: string;
  /** `address:port`; of a session entry the address alone */
  readonly vip: string;
  /** Its name. */
  readonly server: string;
  /** `address:port`; of a session entry the address alone */
  readonly serverAddress: string;
  readonly state: FlowState;
  readonly idleMs: number;
  readonly ageMs: number;
}

/** A flow of the cluster. What is shown of it is what the first that knows it says, the asked dispatcher before all others. */
export interface ClusterFlowView extends FlowView {
  /** Names of the dispatchers that have an entry for it. */
  readonly knownBy: readonly string[];
  /** Those among them that name another server, or mean another connection: name to what they say. */
  readonly differs: Readonly<Record<string, string>>;
  /** Dispatchers that did not answer: what they know is not known. */
  readonly unanswered: readonly string[];
}

export interface ClusterFlowList {
  flows(): AsyncIterable<ClusterFlowView>;
  /** Name to why; complete when all flows have been read. */
  readonly unanswered: Readonly<Record<string, string>>;
}

/** Which flows; what is undefined does not restrict. Session entries are shown only when `state` asks for them. */
export interface FlowFilter {
  readonly service: string | undefined;
  readonly server: string | undefined;
  readonly state: FlowState | undefined;
  readonly client: ClientFilter | undefined;
}

/** Clients whose masked words are `words` and, where it is given, whose port is `port`. */
export interface ClientFilter {
  readonly words: AddressWords;
  readonly mask: AddressWords;
  readonly port: number | undefined;
}

export interface ReloadView {
  readonly generation: number;
  readonly hash: string;
  readonly warnings: readonly string[];
}

/** The daemon, as the control socket and the metrics see it. Throws LatchwayError for what a person got wrong. */
export interface ControlTarget {
  status(): StatusView;
  /** Null for a dispatcher alone, and while the daemon starts or stops. */
  cluster(): Promise<ClusterStatus | null>;
  /** The other dispatchers; none for a dispatcher alone. */
  peers(): Promise<readonly PeerView[]>;
  locks(): Promise<readonly LockView[]>;
  /** Where a packet would go, at each dispatcher. */
  explain(packet: string): Promise<readonly ExplainView[]>;
  /** What the tables of the dispatchers do not have alike. */
  diff(): Promise<DiffView>;
  counters(): Readonly<Record<CounterName, number>>;
  servers(): readonly ServerView[];
  /** Entries that match, in any order, made one at a time as they are asked for; ended early by `return()`. */
  flows(filter: FlowFilter): AsyncIterable<FlowView> | Iterable<FlowView>;
  /** The same of all dispatchers, each flow once. @throws LatchwayError daemon-refused for a dispatcher alone */
  clusterFlows(filter: FlowFilter): ClusterFlowList;
  /** @returns the server after the change. */
  setServer(service: string, server: string, change: ServerChange): Promise<ServerView>;
  /** Rereads the configuration, as SIGHUP does; on a fault nothing changes. */
  reload(): Promise<ReloadView>;
}

/** Whether a client address and port pass the filter. Allocates nothing, never throws. */
export function matchesClient(
  filter: ClientFilter,
  a0: number,
  a1: number,
  a2: number,
  a3: number,
  port: number,
): boolean {
  const { words, mask } = filter;
  return (
    ((a0 & mask[0]) ^ words[0]) === 0 &&
    ((a1 & mask[1]) ^ words[1]) === 0 &&
    ((a2 & mask[2]) ^ words[2]) === 0 &&
    ((a3 & mask[3]) ^ words[3]) === 0 &&
    (filter.port === undefined || filter.port === port)
  );
}
