/** What the protocol must know of a packet: facts of its headers, and the keys that they make. */
import type { Packet } from '../../cluster/context.ts';
import { KIND_FLOW, ReplyKey, SessionKey } from '../../cluster/session-key.ts';
import type { PathState } from '../../forward/path-state.ts';
import type { AddressWords } from '../../wire/address.ts';
import { PROTOCOL_TCP } from '../../wire/protocol.ts';
import { TCP_ACK, TCP_RST, TCP_SYN, tcpSequence } from '../../wire/tcp.ts';
import type { Ids } from './ids.ts';
import type { RowStore } from './row-store.ts';

export type PacketFacts = Pick<Packet, 'flow' | 'session' | 'reply' | 'opens' | 'isn' | 'life'>;

/** Of request `index` of the batch. */
export function requestFacts(state: PathState, index: number, ids: Ids, store: RowStore): PacketFacts {
  const { parsed } = state;
  const service = state.service[index]!;
  const flow = new SessionKey(
    ids.serviceId(service),
    KIND_FLOW,
    words(parsed.source0, parsed.source1, parsed.source2, parsed.source3, index),
    parsed.sourcePort[index]!,
    parsed.destinationPort[index]!,
  );
  const tcp = parsed.protocol[index] === PROTOCOL_TCP;
  const flags = parsed.tcpFlags[index]!;
  const opens = !tcp || (flags & (TCP_SYN | TCP_ACK | TCP_RST)) === TCP_SYN;
  const transport = state.batch.rxOffset[index]! + parsed.headerLength[index]!;
  return {
    flow,
    session: state.services.isSession(service) ? store.keys.sessionOf(service, flow) : undefined,
    reply: undefined,
    opens,
    isn: opens && tcp ? tcpSequence(state.view, transport) : 0,
    life: tcp && (flags & (TCP_SYN | TCP_RST)) === 0,
  };
}

/** Of reply `index` of the batch. */
export function replyFacts(state: PathState, index: number): PacketFacts {
  const { parsed } = state;
  const reply = new ReplyKey(
    parsed.protocol[index]!,
    words(parsed.source0, parsed.source1, parsed.source2, parsed.source3, index),
    parsed.sourcePort[index]!,
    words(parsed.destination0, parsed.destination1, parsed.destination2, parsed.destination3, index),
    parsed.destinationPort[index]!,
  );
  const life = parsed.protocol[index] !== PROTOCOL_TCP || (parsed.tcpFlags[index]! & TCP_RST) === 0;
  return { flow: undefined, session: undefined, reply, opens: false, isn: 0, life };
}

interface Column {
  readonly [index: number]: number;
}

function words(w0: Column, w1: Column, w2: Column, w3: Column, index: number): AddressWords {
  return [w0[index]! >>> 0, w1[index]! >>> 0, w2[index]! >>> 0, w3[index]! >>> 0];
}
