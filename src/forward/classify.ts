/**
 * Pass 1 over a batch: parse each packet, tell what it is to us, hash its key; then bring what the table knows of it near.
 *
 * | kind | what | columns |
 * | --- | --- | --- |
 * | KIND_REQUEST | TCP or UDP to a service | `service`, `key` = ports, `hash` = forward |
 * | KIND_REPLY | TCP or UDP from a server's service port | `key` = endpoint and port, `hash` = reverse |
 * | KIND_VIP_ICMP | ICMP to a VIP | |
 * | KIND_ICMP_ERROR | an ICMP error to anyone else | |
 * | KIND_PASS | none of ours | |
 * | KIND_DONE | dropped and counted | |
 *
 * Fragments: a reply in fragments cannot be told by its ports, so every fragment from a server of its protocol is dropped, as
 * are those to a VIP. So is the first fragment of an ICMP error, whose quote cannot be translated (nobody fragments errors: they have 576
 * or 1,280 bytes at most).
 */
import { NO_SERVICE } from '../balance/service-table.ts';
import { COUNTER } from '../base/counters.ts';
import { flowMeta, packEndpointPort, packPorts } from '../table/flow-row.ts';
import { DIRECTION_FORWARD, DIRECTION_NONE, DIRECTION_REVERSE } from '../table/locate.ts';
import { ICMP_KIND_ERROR, icmpKind, isIcmp } from '../wire/icmp.ts';
import { FRAGMENT_NONE } from '../wire/ipv6.ts';
import { parsePacket } from '../wire/parse.ts';
import { PARSE_COUNTERS, PARSED_OK } from '../wire/parsed-batch.ts';
import { PROTOCOL_TCP, PROTOCOL_UDP } from '../wire/protocol.ts';
import { TCP_FIN, TCP_SYN } from '../wire/tcp.ts';
import {
  count,
  KIND_DONE,
  KIND_ICMP_ERROR,
  KIND_PASS,
  KIND_REPLY,
  KIND_REQUEST,
  KIND_VIP_ICMP,
  type PathState,
} from './path-state.ts';

const RX_PACKETS = COUNTER['rx-packets'];
const RX_BYTES = COUNTER['rx-bytes'];
const DROP_FRAGMENT = COUNTER['drop-fragment'];
const DROP_STOPPING = COUNTER['drop-stopping'];
const DROP_NO_SERVICE = COUNTER['drop-no-service'];
/** Drop counter by parse result. */
const PARSE_DROPS: Uint8Array = Uint8Array.from(PARSE_COUNTERS, (name) =>
  name === undefined ? 0 : COUNTER[name],
);

/** Counts what the batch holds as arrived. Allocates nothing, never throws. */
export function countArrivals(state: PathState): void {
  const { batch, counters } = state;
  let bytes = 0;
  for (let index = 0; index < batch.rxCount; index++) bytes += batch.rxLength[index]!;
  counters[RX_PACKETS] = counters[RX_PACKETS]! + batch.rxCount;
  counters[RX_BYTES] = counters[RX_BYTES]! + bytes;
}

/** Fills `state.kind` and what goes with it for all packets of the batch. Allocates nothing, never throws. */
export function classifyBatch(state: PathState): void {
  const packets = state.batch.rxCount;
  for (let index = 0; index < packets; index++) {
    state.direction[index] = DIRECTION_NONE;
    state.kind[index] = classify(state, index);
  }
  state.table.locate(state.hash, state.direction, state.candidate, packets);
}

function classify(state: PathState, index: number): number {
  const { batch, parsed, services } = state;
  const result = parsePacket(state.view, batch.rxOffset[index]!, batch.rxLength[index]!, parsed, index);
  if (result !== PARSED_OK) return drop(state, PARSE_DROPS[result]!);
  // What was received beyond the packet is padding.
  batch.rxLength[index] = parsed.length[index]!;
  const protocol = parsed.protocol[index]!;
  const d0 = parsed.destination0[index]! | 0;
  const d1 = parsed.destination1[index]! | 0;
  const d2 = parsed.destination2[index]! | 0;
  const d3 = parsed.destination3[index]! | 0;
  const service = services.findService(d0, d1, d2, d3, protocol, parsed.destinationPort[index]!);
  if (service !== NO_SERVICE) return toVip(state, index, service, protocol);
  if (protocol === PROTOCOL_TCP || protocol === PROTOCOL_UDP) return fromServer(state, index, protocol);
  if (!isIcmp(parsed.family[index]!, protocol)) return KIND_PASS;
  if (icmpKind(parsed.family[index]!, parsed.icmpType[index]!) !== ICMP_KIND_ERROR) return KIND_PASS;
  return parsed.fragment[index] === FRAGMENT_NONE ? KIND_ICMP_ERROR : drop(state, DROP_FRAGMENT);
}

function drop(state: PathState, counter: number): number {
  count(state, counter);
  return KIND_DONE;
}

/** @param service index, or VIP_ONLY. */
function toVip(state: PathState, index: number, service: number, protocol: number): number {
  const { parsed, table } = state;
  if (parsed.fragment[index] !== FRAGMENT_NONE) return drop(state, DROP_FRAGMENT);
  if (isIcmp(parsed.family[index]!, protocol)) return KIND_VIP_ICMP;
  if (service < 0) return drop(state, DROP_NO_SERVICE);
  if (state.quiescing && asksForAnswer(state, index, protocol)) return drop(state, DROP_STOPPING);
  const ports = packPorts(parsed.sourcePort[index]!, parsed.destinationPort[index]!);
  const hash = table.hashForward(
    parsed.source0[index]! | 0,
    parsed.source1[index]! | 0,
    parsed.source2[index]! | 0,
    parsed.source3[index]! | 0,
    ports,
    flowMeta(service),
  );
  state.service[index] = service;
  state.key[index] = ports;
  state.hash[index] = hash;
  state.direction[index] = DIRECTION_FORWARD;
  return KIND_REQUEST;
}

/** Whether a server would answer the packet: all but bare acknowledgments and resets. */
function asksForAnswer(state: PathState, index: number, protocol: number): boolean {
  if (protocol !== PROTOCOL_TCP) return true;
  return (
    state.parsed.payloadLength[index]! > 0 || (state.parsed.tcpFlags[index]! & (TCP_SYN | TCP_FIN)) !== 0
  );
}

function fromServer(state: PathState, index: number, protocol: number): number {
  const { parsed, services, table } = state;
  const s0 = parsed.source0[index]! | 0;
  const s1 = parsed.source1[index]! | 0;
  const s2 = parsed.source2[index]! | 0;
  const s3 = parsed.source3[index]! | 0;
  const endpoint = services.findEndpoint(s0, s1, s2, s3, protocol);
  if (endpoint < 0) return KIND_PASS;
  if (parsed.fragment[index] !== FRAGMENT_NONE) return drop(state, DROP_FRAGMENT);
  const port = parsed.sourcePort[index]!;
  if (!services.endpointPortIsServer(endpoint, port)) return KIND_PASS;
  const key = packEndpointPort(endpoint, port);
  const hash = table.hashReverse(
    parsed.destination0[index]! | 0,
    parsed.destination1[index]! | 0,
    parsed.destination2[index]! | 0,
    parsed.destination3[index]! | 0,
    parsed.destinationPort[index]!,
    key,
  );
  state.key[index] = key;
  state.hash[index] = hash;
  state.direction[index] = DIRECTION_REVERSE;
  return KIND_REPLY;
}
