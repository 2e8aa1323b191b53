/** A daemon that only the control socket needs: fixed views, any number of flows, and a record of what was asked. */
import { COUNTER_INFO, type CounterName } from '../../src/base/counters.ts';
import { LatchwayError } from '../../src/base/fault.ts';
import type { ClusterStatus, PeerView } from '../../src/daemon/cluster/cluster-views.ts';
import type {
  ControlTarget,
  FlowFilter,
  FlowView,
  ServerView,
  StatusView,
} from '../../src/daemon/control/control.ts';
import type { Log } from '../../src/daemon/log.ts';

export const STATUS: StatusView = {
  node: 'd1',
  version: '0.1.0',
  pid: 4242,
  startedAt: '2026-01-02T03:04:05.000Z',
  uptimeMs: 3_725_000,
  ready: true,
  config: { file: '/etc/latchway.yaml', hash: 'ab'.repeat(32), loadedAt: '2026-01-02T03:04:05.000Z' },
  generation: 7,
  device: { name: 'lw0', queues: 2, offloads: ['csum', 'tso4', 'tso6'] },
  table: { used: 12_345, capacity: 1_048_576, bytes: 67_108_864 },
  flowsPerSecond: 41.5,
  services: [
    { service: 'web', up: 1, servers: 2, down: ['s2'], drained: [] },
    { service: 'dns', up: 1, servers: 1, down: [], drained: ['s1'] },
  ],
  sysctls: [{ name: 'net.ipv4.conf.eth0.forwarding', from: '0', to: '1' }],
  warnings: ['this kernel has no USO offload'],
};

export const PEER: PeerView = {
  ...{ name: 'd2', address: '10.0.9.2', state: 'up', ready: true, flooding: false },
  ...{ incarnation: 'ab'.repeat(16), lastHeardMs: 42, sent: 7, sequence: 9, received: 8, missing: 1 },
  ...{ lost: 0, repaired: 2, version: 1, configuration: '0badcafe', drift: false },
};

export const CLUSTER: ClusterStatus = {
  ...{
    dispatchers: 3,
    up: 2,
    ready: 1,
    joining: 'copying',
    incarnation: '',
    flood: true,
    floodElsewhere: ['d2'],
  },
  ...{ silent: { d3: 'is silent' }, drift: ['d2'], locks: 1, questions: 2, waitingPackets: 3, sequence: 4 },
  ...{ multicast: '239.1.2.3 on eth2', asideEntries: 0, unsealable: 5, refusedConnections: {} },
};

const WEB = {
  service: 'web',
  vip: '192.0.2.10',
  protocol: 'tcp',
  ports: '80,443',
  mode: 'nat',
  scheduler: 'wlc',
  affinity: 'flow',
  leaving: false,
  waiting: false,
  health: 'tcp',
} as const;

export const SERVERS: readonly ServerView[] = [
  {
    ...WEB,
    server: 's1',
    address: '10.0.2.1',
    port: 8080,
    weight: 3,
    drained: false,
    up: true,
    since: '2026-01-02T03:04:05.000Z',
    detail: 'connected',
    active: 120,
    inactive: 4,
  },
  {
    ...WEB,
    server: 's2',
    address: '10.0.2.2',
    port: 8080,
    weight: 2,
    drained: true,
    up: false,
    since: '2026-01-02T04:00:00.000Z',
    detail: 'ECONNREFUSED',
    active: 0,
    inactive: 1,
  },
  {
    ...WEB,
    service: 'dns',
    vip: '2001:db8::53',
    protocol: 'udp',
    ports: 'any',
    mode: 'ipip',
    scheduler: 'maglev',
    health: 'none',
    server: 's1',
    address: '2001:db8:1::1',
    port: 0,
    weight: 1,
    drained: false,
    up: true,
    since: '2026-01-02T03:04:05.000Z',
    detail: 'not checked',
    active: 9,
    inactive: 0,
  },
];

export function flow(index: number): FlowView {
  return {
    service: 'web',
    protocol: 'tcp',
    client: `198.51.${(index >> 8) & 255}.${index & 255}:${1024 + (index >> 16)}`,
    vip: '192.0.2.10:80',
    server: `s${index % 2}`,
    serverAddress: `10.0.2.${index % 2}:8080`,
    state: 'established',
    idleMs: index % 1000,
    ageMs: index,
  };
}

export interface FakeTarget extends ControlTarget {
  /** What was asked for, in order. */
  readonly calls: unknown[];
  /** Flows that were made so far. */
  readonly pulled: () => number;
  /** Resolves when the iteration of flows has ended, by its reader's doing or its own. */
  readonly ended: Promise<void>;
}

/** @param flowCount flows that it has @param failAt index of a flow at which the iteration throws */
export function fakeTarget(flowCount = 3, failAt = -1): FakeTarget {
  const calls: unknown[] = [];
  let pulled = 0;
  let onEnd: () => void;
  const ended = new Promise<void>((resolve) => {
    onEnd = resolve;
  });
  function* flows(filter: FlowFilter): Generator<FlowView> {
    calls.push(filter);
    try {
      for (let index = 0; index < flowCount; index++) {
        if (index === failAt) throw new Error('the table went away');
        pulled++;
        yield flow(index);
      }
    } finally {
      onEnd();
    }
  }
  return {
    calls,
    pulled: () => pulled,
    ended,
    status: () => STATUS,
    cluster: async () => null,
    peers: async () => [],
    locks: async () => [],
    explain: async () => [],
    diff: async () => ({ entries: {}, silent: {}, differences: [], unlisted: 0 }),
    counters: () =>
      Object.fromEntries(COUNTER_INFO.map(({ name }, index) => [name, index % 5])) as Record<
        CounterName,
        number
      >,
    servers: () => SERVERS,
    flows,
    clusterFlows: () => {
      throw new LatchwayError({ code: 'daemon-refused', detail: 'this dispatcher is alone' });
    },
    setServer: async (service, server, change) => {
      calls.push([service, server, change]);
      const found = SERVERS.find((one) => one.service === service && one.server === server);
      if (found === undefined)
        throw new LatchwayError({ code: 'daemon-refused', detail: `no service is named '${service}'` });
      return 'weight' in change
        ? { ...found, weight: change.weight }
        : { ...found, drained: 'drain' in change };
    },
    reload: async () => {
      calls.push('reload');
      return { generation: 8, hash: 'cd'.repeat(32), warnings: [] };
    },
  };
}

/** A log that keeps its lines. */
export function keptLog(): Log & { readonly lines: string[] } {
  const lines: string[] = [];
  const keep = (...parts: unknown[]): void => {
    lines.push(parts.map((part) => (typeof part === 'string' ? part : JSON.stringify(part))).join(' '));
  };
  return { lines, debug: keep, info: keep, warn: keep, error: keep, fatal: keep } as Log & {
    lines: string[];
  };
}
