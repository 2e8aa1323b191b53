/** What the dispatcher thread answers about its cluster (answers.ts), read off the protocol without changing it. */

import type { ServiceSpec } from '../../balance/generation.ts';
import { isLive } from '../../cluster/context.ts';
import { BIT_TOMBSTONE, isEnded, NO_SERVER } from '../../cluster/entry.ts';
import type { ForeignLock, OwnLock } from '../../cluster/lock-state.ts';
import type { Locks } from '../../cluster/locks.ts';
import type { Member as Peer } from '../../cluster/membership.ts';
import { KIND_FLOW, KIND_SESSION, SessionKey } from '../../cluster/session-key.ts';
import type {
  ClusterState,
  Explained,
  ExplainedPacket,
  KnownEntry,
  LockState,
  PeerState,
  PlainKey,
} from './answers.ts';
import type { Member } from './member.ts';

export function peerStates(member: Member, now: number): PeerState[] {
  return [...member.node.membership.members.values()].map((peer) => ({
    node: peer.peer.node,
    state: stateOf(peer),
    ready: isLive(peer.peer) && peer.peer.ready,
    flooding: peer.peer.flooding,
    incarnation: peer.incarnation,
    lastHeardMs: Math.round(now - peer.heardAt),
    sequence: Math.max(0, peer.stream.next - 1),
    received: peer.stream.received,
    missing: peer.stream.missing.size,
    lost: peer.stream.lost,
    repaired: peer.stream.repaired,
    configuration: peer.configuration,
    version: peer.version,
  }));
}

function stateOf({ peer }: Peer): PeerState['state'] {
  if (isLive(peer)) return 'up';
  if (peer.up) return 'one-way';
  return peer.stopped ? 'stopped' : 'silent';
}

export function lockStates(member: Member, now: number): LockState[] {
  return [...member.node.core.locks.table.values()].map((lock) =>
    lock.kind === 'own' ? ownLock(member, lock, now) : foreignLock(member, lock, now),
  );
}

function ownLock(member: Member, lock: OwnLock, now: number): LockState {
  return {
    ...keyFields(lock.claim.key),
    holder: member.node.core.context.self,
    server: lock.server,
    ageMs: Math.round(now - lock.placedAt),
    leaseLeftMs: Math.max(0, Math.round(lock.leaseEnd - now)),
    waiting: lock.queue.length,
    pending: [...lock.pending],
  };
}

function foreignLock(member: Member, lock: ForeignLock, now: number): LockState {
  const { leaseMs } = member.node.core.context.settings;
  const left = Math.max(0, Math.round(lock.leaseEnd - now));
  return {
    ...keyFields(lock.record.key),
    holder: lock.holder,
    server: lock.record.server,
    ageMs: Math.max(0, leaseMs - left),
    leaseLeftMs: left,
    waiting: lock.queue.length,
    pending: [],
  };
}

function keyFields(
  key: SessionKey,
): Pick<LockState, 'service' | 'session' | 'client' | 'clientPort' | 'vipPort'> {
  return {
    service: key.service,
    session: key.kind === KIND_SESSION,
    client: key.client,
    clientPort: key.clientPort,
    vipPort: key.vipPort,
  };
}

export function clusterState(member: Member): ClusterState {
  const { node, store } = member;
  const { core } = node;
  return {
    ready: core.context.ready,
    joining: node.joining.state.kind,
    flooding: core.flood.here,
    locks: core.locks.table.size,
    questions: core.questions.table.size,
    waitingPackets: core.room.packets,
    sequence: node.link.ring.last,
    configuration: node.configuration,
    asideEntries: store.aside,
  };
}

export function knownEntries(member: Member, keys: readonly PlainKey[]): (KnownEntry | null)[] {
  return keys.map(([service, kind, c0, c1, c2, c3, clientPort, vipPort]) => {
    const key = new SessionKey(
      service,
      kind === KIND_SESSION ? KIND_SESSION : KIND_FLOW,
      [c0, c1, c2, c3],
      clientPort,
      vipPort,
    );
    const entry = member.store.find(key);
    return entry === undefined ? null : { server: entry.server, isn: entry.isn };
  });
}

/** Which packet rule of cluster/PROTOCOL.md would apply to a packet now, and where it would go. Changes nothing. */
export function explainPacket(
  member: Member,
  packet: ExplainedPacket,
  service: ServiceSpec | undefined,
): Explained {
  const { core } = member.node;
  const { context } = core;
  const answer = (rule: number, verdict: string, server = 0, dispatcher = 0): Explained => ({
    rule,
    verdict,
    server,
    dispatcher,
  });
  if (service === undefined) return answer(0, 'no service has this address, protocol and port');
  if (!context.ready) return answer(0, 'not ready: it does not know the table of its cluster yet');
  const flow = new SessionKey(
    member.ids.serviceId(service.index),
    KIND_FLOW,
    packet.client,
    packet.clientPort,
    packet.vipPort,
  );
  const entry = context.store.find(flow);
  if (entry !== undefined && (entry.bits & BIT_TOMBSTONE) === 0 && !(packet.opens && isEnded(entry)))
    return answer(
      1,
      isEnded(entry) ? 'forward: its flow is closing' : 'forward: its flow is known',
      entry.server,
    );
  const key = service.affinity.kind === 'client' ? member.store.keys.sessionOf(service.index, flow) : flow;
  const held = key === flow ? undefined : context.store.find(key);
  const session =
    held !== undefined && context.environment.accepts(key.service, held.server) ? held : undefined;
  // What opens nothing, or whose session has its server, waits for locks of its own flow only.
  const lock =
    lockOf(core.locks, flow) ?? (packet.opens && session === undefined ? lockOf(core.locks, key) : undefined);
  if (lock?.kind === 'own') return answer(3, 'wait: this dispatcher holds the client lock', lock.server);
  if (lock !== undefined)
    return answer(2, 'tunnel: another dispatcher holds the client lock', 0, lock.holder);
  if (!packet.opens) return answer(6, `ask all dispatchers; if none knows it: ${service.unknown}`);
  if (session !== undefined) return answer(1, 'forward: the session of its client is known', session.server);
  const certain = service.scheduler === 'maglev' || service.scheduler === 'sh';
  const server = certain ? context.environment.hashSelect(key) : NO_SERVER;
  if (core.flood.here)
    return answer(0, 'forward by hash, without an entry: flood', context.environment.hashSelect(key));
  const confirm =
    service.lock === 'confirm' || (service.lock === 'auto' && (key !== flow || service.protocol === 17));
  return answer(
    confirm ? 7 : 4,
    `lock, ${confirm ? 'ask all, ' : ''}select by ${service.scheduler}, broadcast, forward`,
    server,
  );
}

function lockOf(locks: Locks, key: SessionKey): OwnLock | ForeignLock | undefined {
  const lock = locks.table.get(key.text);
  return lock === undefined || lock.kind === 'own' || locks.isValid(lock) ? lock : undefined;
}
