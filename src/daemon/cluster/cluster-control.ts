/**
 * What a person may ask about the cluster: peers, locks, where a packet would go, and whether all tables say the same.
 *
 * What other dispatchers know is asked of them over the sealed connection (peer-links.ts); one that does not answer is named, never left out.
 */
import type { Generation } from '../../balance/generation.ts';
import { sumCounters } from '../../base/counters.ts';
import { formatAddress, formatEndpoint } from '../../wire/address.ts';
import type { FlowFilter } from '../control/control.ts';
import type { Explained, ExplainedPacket, LockState, PeerState } from '../member/answers.ts';
import { wireId } from '../member/ids.ts';
import type { MemberAddress } from '../member/setup.ts';
import type { Threads } from '../threads/threads.ts';
import { ClusterFlows, type FlowSource } from './cluster-flows.ts';
import type { ClusterSide } from './cluster-side.ts';
import type { ClusterStatus, DiffView, ExplainView, LockView, PeerView } from './cluster-views.ts';
import { compareTables, type TableSource } from './table-diff.ts';

export class ClusterControl {
  readonly #side: ClusterSide;
  readonly #threads: Threads;
  readonly #generation: () => Generation;
  readonly #source: FlowSource;

  constructor(options: {
    readonly side: ClusterSide;
    readonly threads: Threads;
    readonly generation: () => Generation;
    readonly source: FlowSource;
  }) {
    this.#side = options.side;
    this.#threads = options.threads;
    this.#generation = options.generation;
    this.#source = options.source;
  }

  async status(): Promise<ClusterStatus> {
    const { cluster } = await this.#threads.ask({ what: 'cluster' });
    const { peers } = await this.#threads.ask({ what: 'peers' });
    const { multicast } = this.#side.setup;
    const up = peers.filter((peer) => peer.state === 'up');
    return {
      dispatchers: peers.length + 1,
      up: up.length + 1,
      ready: up.filter((peer) => peer.ready).length + (cluster.ready ? 1 : 0),
      joining: cluster.joining,
      incarnation: this.#side.setup.incarnation,
      flood: cluster.flooding,
      floodElsewhere: up.filter((peer) => peer.flooding).map((peer) => this.#side.nameOf(peer.node)),
      silent: Object.fromEntries(
        peers
          .filter(({ state }) => state !== 'up')
          .map((peer) => [this.#side.nameOf(peer.node), whyNotUp(peer)]),
      ),
      drift: this.#drifting(peers, cluster.configuration),
      locks: cluster.locks,
      questions: cluster.questions,
      waitingPackets: cluster.waitingPackets,
      sequence: cluster.sequence,
      multicast: multicast === undefined ? null : `${formatAddress(multicast.group)} on ${multicast.device}`,
      asideEntries: cluster.asideEntries,
      unsealable: sumCounters(this.#threads.counters)['cluster-refused-seal'],
      refusedConnections: { ...this.#side.links.refused },
    };
  }

  async peers(): Promise<PeerView[]> {
    const { peers } = await this.#threads.ask({ what: 'peers' });
    const { cluster } = await this.#threads.ask({ what: 'cluster' });
    const drifting = this.#drifting(peers, cluster.configuration);
    return peers.map(({ node, configuration, ...rest }) => {
      const name = this.#side.nameOf(node);
      const address = this.#side.setup.peers.find((peer) => peer.node === node)?.address;
      return {
        name,
        address: address === undefined ? '' : formatAddress(address),
        ...rest,
        sent: cluster.sequence,
        configuration: configuration.toString(16).padStart(8, '0'),
        drift: drifting.includes(name),
      };
    });
  }

  async locks(): Promise<LockView[]> {
    const { locks } = await this.#threads.ask({ what: 'locks' });
    return locks.map((lock) => this.#lock(lock));
  }

  flows(filter: FlowFilter): ClusterFlows {
    const { setup, links } = this.#side;
    const { self, peers } = setup;
    return new ClusterFlows({ self, peers, links, threads: this.#threads, source: this.#source, filter });
  }

  async explain(packet: ExplainedPacket): Promise<ExplainView[]> {
    const { explained } = await this.#threads.ask({ what: 'explain', packet });
    const own = this.#explained(this.#side.setup.self, explained);
    const others = this.#side.setup.peers.map(async (peer): Promise<ExplainView> => {
      try {
        return this.#explained(
          peer,
          (await this.#side.links.ask(peer, { what: 'explain', packet })).explained,
        );
      } catch (error) {
        const verdict = `does not answer: ${error instanceof Error ? error.message : String(error)}`;
        return { dispatcher: peer.name, answered: false, rule: 0, verdict, server: '', to: '' };
      }
    });
    return [own, ...(await Promise.all(others))].toSorted((a, b) => (a.dispatcher < b.dispatcher ? -1 : 1));
  }

  /** Compares the tables of all dispatchers; looks twice at what differs, since updates take their time. */
  diff(): Promise<DiffView> {
    const { self, peers } = this.#side.setup;
    const sources: TableSource[] = [
      { name: self.name, node: self.node, table: () => this.#ownTable() },
      ...peers.map((peer) => ({
        name: peer.name,
        node: peer.node,
        table: () => this.#side.links.table(peer),
      })),
    ];
    return compareTables(sources, {
      service: (id) => this.#serviceName(id),
      server: (id) => this.#serverName(id),
    });
  }

  async *#ownTable(): AsyncGenerator<Buffer> {
    let cursor = 0;
    do {
      const piece = await this.#threads.ask({ what: 'copy', cursor });
      yield Buffer.from(piece.bytes.buffer, piece.bytes.byteOffset, piece.bytes.byteLength);
      cursor = piece.cursor;
    } while (cursor !== 0);
  }

  #drifting(peers: readonly PeerState[], own: number): string[] {
    return peers
      .filter((peer) => peer.state === 'up' && peer.configuration !== 0 && peer.configuration !== own)
      .map((peer) => this.#side.nameOf(peer.node));
  }

  #lock(lock: LockState): LockView {
    const [a0, a1, a2, a3] = lock.client as [number, number, number, number];
    const client = formatAddress([a0, a1, a2, a3]);
    return {
      service: this.#serviceName(lock.service),
      client: lock.session ? client : formatEndpoint([a0, a1, a2, a3], lock.clientPort),
      vipPort: lock.vipPort,
      session: lock.session,
      holder: this.#side.nameOf(lock.holder),
      server: this.#serverName(lock.server),
      ageMs: lock.ageMs,
      leaseLeftMs: lock.leaseLeftMs,
      waiting: lock.waiting,
      pending: lock.pending.map((node) => this.#side.nameOf(node)),
    };
  }

  #explained(dispatcher: MemberAddress, explained: Explained): ExplainView {
    return {
      dispatcher: dispatcher.name,
      answered: true,
      rule: explained.rule,
      verdict: explained.verdict,
      server: explained.server === 0 ? '' : this.#serverName(explained.server),
      to: explained.dispatcher === 0 ? '' : this.#side.nameOf(explained.dispatcher),
    };
  }

  #serviceName(id: number): string {
    return this.#generation().services.find((service) => wireId(service.id) === id)?.name ?? `#${id}`;
  }

  #serverName(id: number): string {
    for (const service of this.#generation().services) {
      const found = service.servers.find((server) => wireId(server.id) === id);
      if (found !== undefined) return found.name;
    }
    return id === 0 ? '' : `#${id}`;
  }
}

function whyNotUp(peer: PeerState): string {
  if (peer.incarnation === '') return 'never heard';
  if (peer.state === 'one-way') return 'is heard, and does not hear this one';
  return peer.state === 'stopped' ? 'has stopped' : 'is silent';
}
