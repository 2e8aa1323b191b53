/**
 * Updates by multicast: each is sent once, comes to all by the group, and is had by repair where the group is cut.
 */

import { writeFileSync } from 'node:fs';
import { afterEach, expect, test } from 'vitest';
import { CLUSTER_GROUP } from '../../netns/cluster.mjs';
import { PROGRAM } from '../../netns/dispatcher.mjs';
import { Dispatchers } from '../../netns/dispatchers.mjs';
import { waitFor } from '../../netns/host.mjs';
import { ClusterLab, PATIENT } from '../../netns/scenarios/cluster-lab.mjs';
import { natService } from '../../netns/services.mjs';
import type { PeerView } from '../../src/daemon/cluster/cluster-views.ts';
import { withLab } from '../support/lab.ts';

const NAMES = ['d1', 'd2', 'd3'];
const REQUESTS = 40;

let bed: ClusterLab | undefined;
afterEach(() => bed?.close());

/** What a dispatcher's kernel sends to the group and to the other dispatchers, and what it lets in. */
function watchKernel(lab: ClusterLab['lab'], name: string, family: 4 | 6): void {
  const ip = family === 4 ? 'ip' : 'ip6';
  lab.nftables(
    name,
    `table inet watch {
  counter sent { }
  counter cut { }
  chain out {
    type filter hook output priority filter
    ${ip} daddr ${CLUSTER_GROUP[family]} udp dport 7373 counter name sent
  }
  chain in {
    type filter hook input priority filter
  }
}`,
  );
}

function cut(lab: ClusterLab['lab'], name: string, what: string): void {
  lab.nftables(name, `add rule inet watch in ${what} counter name cut drop`);
}

function kernelCounter(lab: ClusterLab['lab'], host: string, counter: string): number {
  const { nftables } = JSON.parse(lab.must(host, 'nft', '-j', 'list', 'counter', 'inet', 'watch', counter));
  return nftables.find((entry: { counter?: unknown }) => entry.counter !== undefined).counter.packets;
}

test.each([4, 6] as const)(
  'IPv%i: one datagram an update, and repairs where the group is cut',
  async (family) => {
    const one = { mode: 'nat', scheduler: 'rr', lock: 'announce', family: 4 } as const;
    const lab = new ClusterLab({
      dispatchers: 3,
      servers: 2,
      combinations: [one],
      settings: { ...PATIENT, multicast: CLUSTER_GROUP[family] },
      kinds: ['web'],
      bridged: true,
      clusterFamily: family,
    });
    bed = lab;
    for (const name of NAMES) watchKernel(lab.lab, name, family);
    await lab.start();

    const load = async () => {
      const { url } = lab.services.web(one);
      const words = ['--url', `${url}/`, '--requests', REQUESTS, '--concurrency', 5];
      const { ok, broken } = await lab.lab.tool('client', 'http-load', words);
      expect({ ok, broken }).toEqual({ ok: REQUESTS, broken: 0 });
    };
    const look = () =>
      Promise.all(
        NAMES.map(async (name) => {
          const counters = await lab.dispatchers.counters(name);
          const peers: PeerView[] = await lab.dispatchers.get(name).ask('/peers');
          return {
            sequences: peers.map((peer) => peer.sent),
            sent: counters['cluster-multicasts-sent']!,
            sentByKernel: kernelCounter(lab.lab, name, 'sent'),
            received: counters['cluster-multicasts-received']!,
            repaired: counters['cluster-datagrams-repaired']!,
          };
        }),
      );

    await load();
    expect(await lab.converge()).toBe('');
    // Its stream is numbered: a datagram a number, sent once, and had by the others by the group.
    const once = async () => {
      const seen = await look();
      const all = seen.reduce((sum, { sent }) => sum + sent, 0);
      return seen.every(
        ({ sequences, sent, sentByKernel, received }) =>
          sent > 0 &&
          sentByKernel === sent &&
          received === all - sent &&
          sequences.every((last) => last === sent),
      );
    };
    await waitFor(once, {
      what: 'every number of every stream to have been sent and heard once',
      everyMs: 100,
    });

    const group = `${family === 4 ? 'ip' : 'ip6'} daddr ${CLUSTER_GROUP[family]}`;
    for (const name of NAMES) cut(lab.lab, name, group);
    const before = await look();
    await load();
    expect(await lab.converge()).toBe('');
    for (const [index, now] of (await look()).entries()) {
      expect(now.received).toBe(before[index]!.received);
      expect(now.repaired).toBeGreaterThan(before[index]!.repaired);
      expect(kernelCounter(lab.lab, NAMES[index]!, 'cut')).toBeGreaterThan(0);
    }

    // Control: without what repairs come by, the tables differ.
    cut(lab.lab, 'd3', 'udp dport 7373');
    lab.spraying.set(['d1', 'd2']);
    await load();
    const list: { knownBy: string[] }[] = lab.dispatchers.get('d1').json('flows', '--cluster');
    expect(list.filter(({ knownBy }) => !knownBy.includes('d3')).length).toBeGreaterThanOrEqual(REQUESTS);
  },
);

test('an update that comes by the group is taken at once, without a word from one to the other', async () => {
  const one = { mode: 'nat', scheduler: 'rr', lock: 'announce', family: 4 } as const;
  const lab = new ClusterLab({
    dispatchers: 3,
    servers: 2,
    combinations: [one],
    settings: { ...PATIENT, multicast: CLUSTER_GROUP[4], 'dead-after': '10s' },
    kinds: ['web'],
    bridged: true,
  });
  bed = lab;
  watchKernel(lab.lab, 'd2', 4);
  await lab.start();
  lab.spraying.set(['d1']);
  // Heartbeats and repairs among it: nothing is left that d2 could have an entry by.
  cut(lab.lab, 'd2', `ip daddr != ${CLUSTER_GROUP[4]} udp dport 7373`);
  const { url } = lab.services.web(one);
  const words = ['--url', `${url}/`, '--requests', REQUESTS, '--concurrency', 5];
  const { ok, broken } = await lab.lab.tool('client', 'http-load', words);
  expect({ ok, broken }).toEqual({ ok: REQUESTS, broken: 0 });
  const flows = () => lab.dispatchers.get('d2').json('flows') as unknown as unknown[];
  await waitFor(() => flows().length === REQUESTS, { what: 'd2 to know all flows by the group alone' });
  expect(kernelCounter(lab.lab, 'd2', 'cut')).toBeGreaterThan(0);
});

test('check --host tells of dispatchers that multicast does not reach', async () => {
  const warnings = (bridged: boolean): Promise<string[]> =>
    withLab({ topology: 'cluster', dispatchers: 3, servers: 1, bridged }, async (lab) => {
      const multicast = CLUSTER_GROUP[4];
      const { config } = new Dispatchers(
        lab,
        { web: natService('192.0.2.10', 'tcp', 80, 8080, { count: 1 }) },
        { multicast },
      );
      writeFileSync(lab.file('check.yaml'), JSON.stringify(config));
      const checked = lab.must(
        'd1',
        process.execPath,
        PROGRAM,
        'check',
        '--host',
        '--node',
        'd1',
        '--json',
        lab.file('check.yaml'),
      );
      const { host } = JSON.parse(checked) as { host: { warnings: string[] } };
      return host.warnings.filter((warning) => warning.startsWith('cluster.multicast: '));
    });
  expect(await warnings(true)).toEqual([]);
  expect(await warnings(false)).toEqual([
    expect.stringMatching(/ dispatcher d2 \(10.0.9.2\) is behind a gateway, which multicast does not pass: /),
    expect.stringMatching(/ dispatcher d3 \(10.0.9.3\) is behind a gateway/),
  ]);
});
