/**
 * Metrics in Prometheus text, made from the daemon's own counters when somebody scrapes; nothing is kept here.
 *
 * `latchway_packets_total{verdict}` (without `to-dispatcher`) and `latchway_drops_total{reason}` add up to all packets
 * that arrived; `latchway_events_total{event}` says what else happened; `latchway_peer_*{dispatcher}` are of the cluster. Served on the control socket, and by TCP where the
 * configuration has `metrics: { listen }`.
 */
import { createServer } from 'node:http';
import { Counter, Gauge, Registry } from 'prom-client';
import { COUNTER_INFO, type CounterKind } from '../../base/counters.ts';
import { LatchwayError } from '../../base/fault.ts';
import { type Endpoint, formatAddress, formatEndpoint } from '../../wire/address.ts';
import type { ClusterStatus, PeerView } from '../cluster/cluster-views.ts';
import type { ControlTarget } from './control.ts';

export type MetricsTarget = Pick<ControlTarget, 'status' | 'counters' | 'servers' | 'cluster' | 'peers'>;

export interface Metrics {
  readonly contentType: string;
  text(): Promise<string>;
}

/** Scrapers at one time: idle connections must not use up the descriptors that the daemon needs. */
const MAX_CONNECTIONS = 64;

/** Part of a gauge, which is made anew at every scrape; samples with the same labels add up. */
type Sample = readonly [labels: Readonly<Record<string, string>>, value: number];

export function createMetrics(target: MetricsTarget): Metrics {
  const registry = new Registry();
  addCounters(registry, target);
  addTable(registry, target);
  addServers(registry, target);
  const seen: SeenCluster = { status: null, peers: [] };
  addCluster(registry, seen);
  const text = async (): Promise<string> => {
    // Asked of the dispatcher thread, so once for all gauges of a scrape.
    seen.status = await target.cluster();
    seen.peers = seen.status === null ? [] : await target.peers();
    return registry.metrics();
  };
  return { contentType: registry.contentType, text };
}

/** The cluster as it was when a scrape began. */
interface SeenCluster {
  /** Null for a dispatcher alone. */
  status: ClusterStatus | null;
  peers: readonly PeerView[];
}

function gauge(
  registry: Registry,
  name: string,
  help: string,
  labelNames: readonly string[],
  samples: () => readonly Sample[],
): void {
  new Gauge({
    name,
    help,
    labelNames: [...labelNames],
    registers: [registry],
    collect() {
      this.reset();
      for (const [labels, value] of samples()) this.inc(labels, value);
    },
  });
}

function addCounters(registry: Registry, target: MetricsTarget): void {
  const add = (kind: CounterKind, name: string, label: string, help: string): void => {
    new Counter({
      name,
      help,
      labelNames: [label],
      registers: [registry],
      collect() {
        this.reset();
        const values = target.counters();
        for (const info of COUNTER_INFO)
          if (info.kind === kind) this.inc({ [label]: info.name.replace(/^drop-/, '') }, values[info.name]);
      },
    });
  };
  add('verdict', 'latchway_packets_total', 'verdict', 'Packets by what was done with them');
  add('drop', 'latchway_drops_total', 'reason', 'Packets dropped, by reason');
  add('event', 'latchway_events_total', 'event', 'Other things that happened, by name');
}

function addTable(registry: Registry, target: MetricsTarget): void {
  gauge(
    registry,
    'latchway_info',
    'Always 1; its labels say who this is',
    ['node', 'version', 'config_hash'],
    () => {
      const { node, version, config } = target.status();
      return [[{ node, version, config_hash: config.hash }, 1]];
    },
  );
  gauge(registry, 'latchway_ready', 'Whether the dispatcher forwards and knows the table', [], () => [
    [{}, target.status().ready ? 1 : 0],
  ]);
  gauge(registry, 'latchway_uptime_seconds', 'Seconds since the start', [], () => [
    [{}, target.status().uptimeMs / 1000],
  ]);
  gauge(registry, 'latchway_table_entries', 'Entries in the dispatch table', [], () => [
    [{}, target.status().table.used],
  ]);
  gauge(registry, 'latchway_table_capacity', 'Entries that the dispatch table has room for', [], () => [
    [{}, target.status().table.capacity],
  ]);
}

function addServers(registry: Registry, target: MetricsTarget): void {
  // A server that left may have the name of one that came.
  const configured = () => target.servers().filter((server) => !server.leaving);
  const names = ['service', 'server'];
  gauge(registry, 'latchway_server_up', 'Whether the server is up', names, () =>
    configured().map(({ service, server, up }) => [{ service, server }, up ? 1 : 0]),
  );
  gauge(registry, 'latchway_server_weight', 'Weight in force; 0 while drained', names, () =>
    configured().map(({ service, server, weight, drained }) => [{ service, server }, drained ? 0 : weight]),
  );
  gauge(
    registry,
    'latchway_server_flows',
    'Flows by server: open (active), and opening or closing (inactive)',
    [...names, 'state'],
    () =>
      target.servers().flatMap(({ service, server, active, inactive }): Sample[] => [
        [{ service, server, state: 'active' }, active],
        [{ service, server, state: 'inactive' }, inactive],
      ]),
  );
}

/** Zeros and no peers for a dispatcher alone. */
function addCluster(registry: Registry, seen: SeenCluster): void {
  const here = (name: string, help: string, value: (cluster: ClusterStatus) => number): void =>
    gauge(registry, name, help, [], () => (seen.status === null ? [] : [[{}, value(seen.status)]]));
  here('latchway_flood', 'Whether new flows are forwarded by hash, without an entry', ({ flood }) =>
    flood ? 1 : 0,
  );
  here('latchway_locks', 'Client locks in the local table', ({ locks }) => locks);
  here(
    'latchway_questions',
    'Questions about unknown flows that wait for answers',
    ({ questions }) => questions,
  );
  here('latchway_waiting_packets', 'Packets that wait for a lock or an answer', (one) => one.waitingPackets);
  const peers = (name: string, help: string, value: (peer: PeerView) => number): void =>
    gauge(registry, name, help, ['dispatcher'], () =>
      seen.peers.map((peer) => [{ dispatcher: peer.name }, value(peer)]),
    );
  peers('latchway_peer_up', 'Whether this dispatcher and that one hear each other', ({ state }) =>
    state === 'up' ? 1 : 0,
  );
  peers('latchway_peer_ready', 'Whether it is up and knows the table', ({ ready }) => (ready ? 1 : 0));
  peers('latchway_peer_flood', 'Whether it is flooded', ({ flooding }) => (flooding ? 1 : 0));
  peers('latchway_peer_drift', 'Whether it has another configuration', ({ drift }) => (drift ? 1 : 0));
  peers(
    'latchway_peer_missing',
    'Datagrams of its updates that are being asked for',
    ({ missing }) => missing,
  );
  peers('latchway_peer_lost', 'Datagrams of its updates that were lost for good', ({ lost }) => lost);
  peers('latchway_peer_repaired', 'Datagrams of its updates that were had again', ({ repaired }) => repaired);
}

/** Serves GET /metrics, and nothing else, by TCP. @returns a function that stops it. @throws LatchwayError `file` */
export function listenMetrics(endpoint: Endpoint, metrics: Metrics): Promise<() => Promise<void>> {
  const server = createServer((request, response) => {
    if (request.url !== '/metrics') {
      response.writeHead(404).end('only /metrics is here\n');
      return;
    }
    metrics.text().then(
      (text) => response.writeHead(200, { 'content-type': metrics.contentType }).end(text),
      (error: Error) => response.writeHead(500).end(`${error.message}\n`),
    );
  });
  const stop = (): Promise<void> =>
    new Promise((resolve) => {
      server.close(() => resolve());
      server.closeAllConnections();
    });
  server.maxConnections = MAX_CONNECTIONS;
  return new Promise((resolve, reject) => {
    // After the start: of one connection that could not be taken. The next may be.
    server.on('error', (error) => {
      const file = `metrics.listen ${formatEndpoint(endpoint.address, endpoint.port)}`;
      reject(new LatchwayError({ code: 'file', file, detail: error.message }));
    });
    server.listen(endpoint.port, formatAddress(endpoint.address), () => resolve(stop));
  });
}
