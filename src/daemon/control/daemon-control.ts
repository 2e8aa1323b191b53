/** The daemon as its control socket sees it: `ControlTarget` over a running `Daemon`. */
import type { CounterName } from '../../base/counters.ts';
import { LatchwayError } from '../../base/fault.ts';
import { OFFLOAD } from '../../io/native.ts';
import { ClusterControl } from '../cluster/cluster-control.ts';
import type { ClusterStatus, DiffView, ExplainView, LockView, PeerView } from '../cluster/cluster-views.ts';
import { configHash } from '../config/config.ts';
import type { Daemon } from '../daemon.ts';
import type { ServerChange } from '../pool/pool.ts';
import { VERSION } from '../version.ts';
import type {
  ClusterFlowList,
  ControlTarget,
  FlowFilter,
  FlowView,
  ReloadView,
  ServerView,
  StatusView,
} from './control.ts';
import { explainAlone } from './explain-alone.ts';
import { parseExplained } from './explained-packet.ts';
import { findFlows, flowView } from './flow-views.ts';
import { serverView } from './views.ts';

export class DaemonControl implements ControlTarget {
  readonly #daemon: Daemon;
  readonly #cluster: ClusterControl | undefined;

  constructor(daemon: Daemon) {
    this.#daemon = daemon;
    const { cluster, threads } = daemon;
    this.#cluster =
      cluster &&
      new ClusterControl({ side: cluster, threads, generation: () => daemon.generation, source: daemon });
  }

  status(): StatusView {
    const daemon = this.#daemon;
    const { config, table, threads, host } = daemon;
    return {
      node: daemon.node,
      version: VERSION,
      pid: process.pid,
      startedAt: daemon.startedAt.toISOString(),
      uptimeMs: Date.now() - daemon.startedAt.getTime(),
      ready: daemon.ready,
      config: { file: config.file, hash: configHash(config), loadedAt: daemon.loadedAt.toISOString() },
      generation: daemon.generation.number,
      device: {
        name: config.device.name,
        queues: config.device.queues,
        offloads: Object.entries(OFFLOAD).flatMap(([name, bit]) =>
          (threads.offloads & bit) === 0 ? [] : [name],
        ),
      },
      table: { used: table.size, capacity: table.capacity, bytes: table.buffers.memory.byteLength },
      flowsPerSecond: daemon.openedFlows.perSecond,
      services: daemon.pool.services.map(({ config: service, servers }) => {
        const configured = servers.filter((server) => !server.leaving);
        return {
          service: service.name,
          up: configured.filter((server) => server.up).length,
          servers: configured.length,
          down: configured.filter((server) => !server.up).map((server) => server.config.name),
          drained: configured
            .filter((server) => server.up && server.drained)
            .map((server) => server.config.name),
        };
      }),
      sysctls: host.changed.map(({ key, from, to }) => ({ name: key, from, to })),
      warnings: host.warnings,
    };
  }

  async cluster(): Promise<ClusterStatus | null> {
    try {
      return (await this.#cluster?.status()) ?? null;
    } catch (error) {
      if (error instanceof LatchwayError) return null;
      throw error;
    }
  }

  async peers(): Promise<readonly PeerView[]> {
    return (await this.#cluster?.peers()) ?? [];
  }

  async locks(): Promise<readonly LockView[]> {
    return (await this.#cluster?.locks()) ?? [];
  }

  async explain(text: string): Promise<readonly ExplainView[]> {
    const packet = parseExplained(text);
    return (await this.#cluster?.explain(packet)) ?? [explainAlone(this.#daemon, packet)];
  }

  diff(): Promise<DiffView> {
    return this.#inCluster().diff();
  }

  /** @throws LatchwayError daemon-refused */
  #inCluster(): ClusterControl {
    if (this.#cluster !== undefined) return this.#cluster;
    throw new LatchwayError({
      code: 'daemon-refused',
      detail: 'this dispatcher is alone: its configuration has no cluster',
    });
  }

  counters(): Readonly<Record<CounterName, number>> {
    return this.#daemon.counters();
  }

  servers(): readonly ServerView[] {
    const { pool, table } = this.#daemon;
    return pool.services.flatMap((service) =>
      service.servers.map((server) => serverView(service, server, table)),
    );
  }

  *flows(filter: FlowFilter): Generator<FlowView> {
    const { pool, table } = this.#daemon;
    const now = this.#daemon.now();
    for (const found of findFlows(pool, table, filter)) yield flowView(found, now);
  }

  clusterFlows(filter: FlowFilter): ClusterFlowList {
    return this.#inCluster().flows(filter);
  }

  async setServer(service: string, server: string, change: ServerChange): Promise<ServerView> {
    await this.#daemon.changeServer(service, server, change);
    const view = this.servers().find(
      (one) => one.service === service && one.server === server && !one.leaving,
    );
    // The change found it; only a reload in between can have taken it away.
    if (view === undefined)
      throw new LatchwayError({
        code: 'daemon-refused',
        detail: `${service}/${server} has just been removed`,
      });
    return view;
  }

  async reload(): Promise<ReloadView> {
    const warnings = await this.#daemon.reload();
    const { generation, config } = this.#daemon;
    return { generation: generation.number, hash: configHash(config), warnings };
  }
}
