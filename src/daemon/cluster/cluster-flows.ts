/**
 * The flows of all dispatchers, merged: each once, with who knows it and who has something else under its key.
 *
 *   1. own flows, a batch at a time: every other dispatcher is asked what it has under those keys
 *   2. the tables of the others, one after the other: what is not known here; a flow that an earlier one listed is left out
 *
 * Nothing is kept but a batch, whatever the size of the tables, and nothing is read ahead of who reads. The tables change meanwhile: the
 * answer is about moments that are close to each other, not one (`diff` looks twice). One that does not answer is named, and asked no more.
 */

import { isControl } from '../../cluster/messages.ts';
import { readRecords } from '../../cluster/messages-read.ts';
import type { EntryRecord } from '../../cluster/records.ts';
import { KIND_FLOW, KIND_SESSION } from '../../cluster/session-key.ts';
import { emptyFlowRow, type FlowRow, STATE_OPENING, STATE_SESSION, STATE_UDP } from '../../table/flow-row.ts';
import type { SharedTable } from '../../table/shared-table.ts';
import { PROTOCOL_UDP } from '../../wire/protocol.ts';
import type { ClusterFlowView, FlowFilter } from '../control/control.ts';
import { type FoundFlow, findFlows, flowView, passes } from '../control/flow-views.ts';
import { type KnownEntry, MAX_KEYS, type PlainKey } from '../member/answers.ts';
import { wireId } from '../member/ids.ts';
import { stateOfBits } from '../member/row-bits.ts';
import type { MemberAddress } from '../member/setup.ts';
import type { Pool } from '../pool/pool.ts';
import type { ServerRecord, ServiceRecord } from '../pool/records.ts';
import type { Threads } from '../threads/threads.ts';
import type { Conversation } from './conversation.ts';
import type { PeerLinks } from './peer-links.ts';

/** Where own flows are read. */
export interface FlowSource {
  readonly pool: Pool;
  readonly table: SharedTable;
  /** Time of the table, monotonic ms. */
  now(): number;
}

interface Peer {
  readonly address: MemberAddress;
  readonly conversation: Conversation;
}

/** A flow that is being merged. */
interface Draft {
  readonly key: PlainKey;
  readonly entry: KnownEntry;
  readonly view: Omit<ClusterFlowView, 'knownBy' | 'differs' | 'unanswered'>;
}

export class ClusterFlows {
  /** Dispatchers that do not answer, and why; grows while flows are read. */
  readonly unanswered: Record<string, string> = {};
  readonly #self: MemberAddress;
  readonly #peers: readonly Peer[];
  readonly #links: PeerLinks;
  readonly #threads: Threads;
  readonly #source: FlowSource;
  readonly #filter: FlowFilter;
  readonly #services: ReadonlyMap<number, ServiceRecord>;
  readonly #servers: ReadonlyMap<number, ServerRecord>;

  constructor(options: {
    readonly self: MemberAddress;
    readonly peers: readonly MemberAddress[];
    readonly links: PeerLinks;
    readonly threads: Threads;
    readonly source: FlowSource;
    readonly filter: FlowFilter;
  }) {
    this.#self = options.self;
    this.#links = options.links;
    this.#threads = options.threads;
    this.#source = options.source;
    this.#filter = options.filter;
    this.#peers = options.peers.map((address) => ({
      address,
      conversation: options.links.converse(address),
    }));
    const { services } = options.source.pool;
    this.#services = new Map(services.map((service) => [wireId(service.id), service]));
    this.#servers = new Map(
      services.flatMap(({ servers }) => servers.map((server) => [wireId(server.id), server])),
    );
  }

  async *flows(): AsyncGenerator<ClusterFlowView> {
    try {
      // Who is there is known before the first flow.
      await Promise.all(this.#peers.map((peer) => this.#known(peer, [])));
      yield* this.#own();
      for (const peer of this.#peers) if (this.#answers(peer)) yield* this.#onlyAt(peer);
    } finally {
      for (const { conversation } of this.#peers) conversation.close();
    }
  }

  async *#own(): AsyncGenerator<ClusterFlowView> {
    const { pool, table, now } = this.#source;
    let batch: Draft[] = [];
    for (const found of findFlows(pool, table, this.#filter)) {
      batch.push(this.#draft(found, now()));
      if (batch.length < MAX_KEYS) continue;
      yield* this.#merged(batch, undefined);
      batch = [];
    }
    yield* this.#merged(batch, undefined);
  }

  /** What this one knows and we do not. */
  async *#onlyAt(peer: Peer): AsyncGenerator<ClusterFlowView> {
    let batch: Draft[] = [];
    try {
      for await (const piece of this.#links.table(peer.address)) {
        for (const record of readRecords(piece, peer.address.node) ?? []) {
          const found = isControl(record) || record.type !== 'entry' ? undefined : this.#foundOf(record);
          if (found === undefined || !passes(this.#filter, found)) continue;
          batch.push(this.#draft(found, this.#source.now()));
          if (batch.length < MAX_KEYS) continue;
          yield* this.#unknownHere(batch, peer);
          batch = [];
        }
      }
    } catch (error) {
      this.#fails(peer, error);
    }
    yield* this.#unknownHere(batch, peer);
  }

  async *#unknownHere(batch: readonly Draft[], peer: Peer): AsyncGenerator<ClusterFlowView> {
    if (batch.length === 0) return;
    const { entries } = await this.#threads.ask({ what: 'known', keys: batch.map(({ key }) => key) });
    yield* this.#merged(
      batch.filter((_, index) => entries[index] === null),
      peer,
    );
  }

  /** @param at whose flows these are; undefined: our own */
  async *#merged(batch: readonly Draft[], at: Peer | undefined): AsyncGenerator<ClusterFlowView> {
    if (batch.length === 0) return;
    const keys = batch.map(({ key }) => key);
    const said = await Promise.all(
      this.#peers.map(async (peer) => ({ peer, entries: peer === at ? [] : await this.#known(peer, keys) })),
    );
    const unanswered = Object.keys(this.unanswered);
    for (const [index, draft] of batch.entries()) {
      const knownBy = [(at?.address ?? this.#self).name];
      const differs: Record<string, string> = {};
      let listed = false;
      for (const { peer, entries } of said) {
        const entry = entries?.[index] ?? undefined;
        if (entry === undefined) continue;
        const { name } = peer.address;
        knownBy.push(name);
        if (at !== undefined && this.#peers.indexOf(peer) < this.#peers.indexOf(at)) listed = true;
        if (entry.server !== draft.entry.server) differs[name] = this.#serverName(entry.server);
        else if (entry.isn !== draft.entry.isn)
          differs[name] = `${this.#serverName(entry.server)}, another connection`;
      }
      if (!listed) yield { ...draft.view, knownBy: knownBy.sort(), differs, unanswered };
    }
  }

  #answers(peer: Peer): boolean {
    return !Object.hasOwn(this.unanswered, peer.address.name);
  }

  /** @returns undefined when it does not answer. */
  async #known(peer: Peer, keys: readonly PlainKey[]): Promise<readonly (KnownEntry | null)[] | undefined> {
    if (!this.#answers(peer)) return undefined;
    try {
      return (await peer.conversation.ask({ what: 'known', keys })).entries;
    } catch (error) {
      this.#fails(peer, error);
      return undefined;
    }
  }

  #fails(peer: Peer, error: unknown): void {
    this.unanswered[peer.address.name] = error instanceof Error ? error.message : String(error);
  }

  #draft(found: FoundFlow, now: number): Draft {
    const { row, service, server } = found;
    const { client0, client1, client2, client3, session, clientPort, vipPort } = row;
    const kind = session ? KIND_SESSION : KIND_FLOW;
    const ports = session ? ([0, 0] as const) : ([clientPort, vipPort] as const);
    return {
      key: [wireId(service.id), kind, client0, client1, client2, client3, ...ports],
      entry: { server: server === undefined ? 0 : wireId(server.id), isn: session ? 0 : row.isn >>> 0 },
      view: flowView(found, now),
    };
  }

  /** An entry of another dispatcher as a row of ours would show it; undefined for a service that is not ours. */
  #foundOf(record: EntryRecord): FoundFlow | undefined {
    const { key } = record;
    const service = this.#services.get(key.service);
    if (service === undefined) return undefined;
    const server = this.#servers.get(record.server);
    const now = this.#source.now();
    const session = key.kind === KIND_SESSION;
    const kind = session
      ? STATE_SESSION
      : service.config.protocol === PROTOCOL_UDP
        ? STATE_UDP
        : STATE_OPENING;
    const [client0, client1, client2, client3] = key.client;
    const row: FlowRow = {
      ...emptyFlowRow(),
      ...{ client0, client1, client2, client3, clientPort: key.clientPort, vipPort: key.vipPort, session },
      service: service.index,
      serverPort: server?.config.port ?? 0,
      state: stateOfBits(kind, record.bits),
      isn: record.isn,
      lastSeen: (now - Math.round(record.idleMs)) >>> 0,
      openedAt: (now - Math.round(record.ageMs)) >>> 0,
    };
    return { row, service, server };
  }

  #serverName(id: number): string {
    return this.#servers.get(id)?.config.name ?? `#${id}`;
  }
}
