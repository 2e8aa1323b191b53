/**
 * ICMP that concerns a VIP or a flow: echo is answered here, errors are delivered to the end that sent the quoted packet.
 *
 * | error | quoted packet | goes to | what changes |
 * | --- | --- | --- | --- |
 * | to a VIP | VIP -> client: a reply, as the client's side of the network saw it | the server | quote's source and the destination become the server; in ipip it is encapsulated as it is |
 * | to a client | client -> server: a request, as the server's side saw it | the client | quote's destination becomes the VIP, and so does the source if the error is of a server |
 *
 * An error whose quote names a server's service port, but no flow, is dropped: it would tell a client of a server. Errors about
 * anything else pass. Source: RFC 792, 4443, 5508 (translation of quotes), 1812 section 4.3.2.
 */
import { COUNTER } from '../base/counters.ts';
import { flowMeta, NO_ROW, packEndpointPort, packPorts } from '../table/flow-row.ts';
import { ICMP_KIND_ECHO_REQUEST, ICMP_KIND_ERROR, icmpKind, icmpQuoteOffset } from '../wire/icmp.ts';
import { FRAGMENT_LATER } from '../wire/ipv6.ts';
import { parseQuote } from '../wire/parse.ts';
import { PARSED_OK } from '../wire/parsed-batch.ts';
import { PROTOCOL_TCP, PROTOCOL_UDP } from '../wire/protocol.ts';
import { rewriteIcmpAddress, rewriteQuote, SIDE_DESTINATION, SIDE_SOURCE } from '../wire/rewrite.ts';
import { vnetNeedsChecksum } from '../wire/virtio.ts';
import { answerEcho } from './answer.ts';
import { raiseTtl, sendInside } from './egress.ts';
import { count, type PathState, pass, transmit } from './path-state.ts';

const DROP_ICMP = COUNTER['drop-icmp'];
const ICMP_TO_SERVER = COUNTER['icmp-to-server'];
const ICMP_TO_CLIENT = COUNTER['icmp-to-client'];

/** Handles ICMP `index` to a VIP. Allocates nothing, never throws. */
export function handleVipIcmp(state: PathState, index: number): void {
  const { parsed } = state;
  const kind = icmpKind(parsed.family[index]!, parsed.icmpType[index]!);
  if (kind === ICMP_KIND_ECHO_REQUEST) answerEcho(state, index);
  else if (kind === ICMP_KIND_ERROR && readQuote(state, index)) deliverToServer(state, index);
  else count(state, DROP_ICMP);
}

/** Handles ICMP error `index` that is not to a VIP. Allocates nothing, never throws. */
export function handlePassingError(state: PathState, index: number): void {
  if (!readQuote(state, index)) return pass(state, index);
  const { quote, services, table } = state;
  const endpoint = services.findEndpoint(
    quote.destination0[0]! | 0,
    quote.destination1[0]! | 0,
    quote.destination2[0]! | 0,
    quote.destination3[0]! | 0,
    quote.protocol[0]!,
  );
  const port = quote.destinationPort[0]!;
  if (endpoint < 0 || !services.endpointPortIsServer(endpoint, port)) return pass(state, index);
  const a0 = quote.source0[0]! | 0;
  const a1 = quote.source1[0]! | 0;
  const a2 = quote.source2[0]! | 0;
  const a3 = quote.source3[0]! | 0;
  const key = packEndpointPort(endpoint, port);
  const clientPort = quote.sourcePort[0]!;
  const hash = table.hashReverse(a0, a1, a2, a3, clientPort, key);
  const row = table.findReverse(hash, a0, a1, a2, a3, clientPort, key);
  if (row === NO_ROW || !services.isService(table.service(row))) return count(state, DROP_ICMP);
  deliverToClient(state, index, table.service(row), table.vipPort(row));
}

/** Parses the quote into `state.quote`. @returns whether it is the beginning of a TCP or UDP packet of the error's own family. */
function readQuote(state: PathState, index: number): boolean {
  const { parsed, quote, view } = state;
  const offset = state.batch.rxOffset[index]!;
  const at = icmpQuoteOffset(offset + parsed.headerLength[index]!);
  const result = parseQuote(view, at, offset + parsed.length[index]! - at, quote, 0);
  if (result !== PARSED_OK || quote.family[0] !== parsed.family[index]) return false;
  const protocol = quote.protocol[0]!;
  return (protocol === PROTOCOL_TCP || protocol === PROTOCOL_UDP) && quote.fragment[0] !== FRAGMENT_LATER;
}

/** The quote is VIP:port -> client: find the flow by the client's key. */
function deliverToServer(state: PathState, index: number): void {
  const { quote, services, table, parsed } = state;
  const vipPort = quote.sourcePort[0]!;
  const s0 = quote.source0[0]! | 0;
  const s1 = quote.source1[0]! | 0;
  const s2 = quote.source2[0]! | 0;
  const s3 = quote.source3[0]! | 0;
  const service = services.findService(s0, s1, s2, s3, quote.protocol[0]!, vipPort);
  if (service < 0) return count(state, DROP_ICMP);
  const a0 = quote.destination0[0]! | 0;
  const a1 = quote.destination1[0]! | 0;
  const a2 = quote.destination2[0]! | 0;
  const a3 = quote.destination3[0]! | 0;
  const ports = packPorts(quote.destinationPort[0]!, vipPort);
  const hash = table.hashForward(a0, a1, a2, a3, ports, flowMeta(service));
  const row = table.findForward(hash, a0, a1, a2, a3, ports, flowMeta(service));
  if (row === NO_ROW) return count(state, DROP_ICMP);
  const server = table.server(row);
  if (!services.isServerOf(service, server)) return count(state, DROP_ICMP);
  if (services.isOneWay(service)) return sendInside(state, index, server, ICMP_TO_SERVER);
  const words = services.serverAddress;
  const at = server * 4;
  const port = table.serverPort(row);
  translate(state, index, SIDE_SOURCE, words[at]!, words[at + 1]!, words[at + 2]!, words[at + 3]!, port);
  rewriteIcmpAddress(
    state.view,
    state.batch.rxOffset[index]!,
    parsed.family[index]!,
    parsed.headerLength[index]!,
    SIDE_DESTINATION,
    words[at]!,
    words[at + 1]!,
    words[at + 2]!,
    words[at + 3]!,
    vnetNeedsChecksum(state.view, state.batch.rxOffset[index]!),
  );
  raiseTtl(state.view, state.batch.rxOffset[index]!, parsed.family[index]!);
  transmit(state, index, ICMP_TO_SERVER);
}

function deliverToClient(state: PathState, index: number, service: number, vipPort: number): void {
  const { services, parsed, view } = state;
  const words = services.vip;
  const at = service * 4;
  const offset = state.batch.rxOffset[index]!;
  const ofServer = comesFromServer(state, index);
  translate(
    state,
    index,
    SIDE_DESTINATION,
    words[at]!,
    words[at + 1]!,
    words[at + 2]!,
    words[at + 3]!,
    vipPort,
  );
  if (ofServer) {
    rewriteIcmpAddress(
      state.view,
      offset,
      parsed.family[index]!,
      parsed.headerLength[index]!,
      SIDE_SOURCE,
      words[at]!,
      words[at + 1]!,
      words[at + 2]!,
      words[at + 3]!,
      vnetNeedsChecksum(view, offset),
    );
  }
  raiseTtl(view, offset, parsed.family[index]!);
  transmit(state, index, ICMP_TO_CLIENT);
}

/** Whether the error comes from a server: the one that the quoted packet was for, or another on the way to it. */
function comesFromServer(state: PathState, index: number): boolean {
  const { parsed, services } = state;
  const s0 = parsed.source0[index]! | 0;
  const s1 = parsed.source1[index]! | 0;
  const s2 = parsed.source2[index]! | 0;
  const s3 = parsed.source3[index]! | 0;
  return (
    services.findEndpoint(s0, s1, s2, s3, PROTOCOL_TCP) >= 0 ||
    services.findEndpoint(s0, s1, s2, s3, PROTOCOL_UDP) >= 0
  );
}

/** Changes one end of the quoted packet. */
function translate(
  state: PathState,
  index: number,
  side: number,
  a0: number,
  a1: number,
  a2: number,
  a3: number,
  port: number,
): void {
  const { parsed, quote, view } = state;
  const offset = state.batch.rxOffset[index]!;
  rewriteQuote(
    view,
    offset + parsed.headerLength[index]!,
    offset + parsed.length[index]!,
    quote.family[0]!,
    quote.protocol[0]!,
    quote.headerLength[0]!,
    side,
    a0,
    a1,
    a2,
    a3,
    port,
    vnetNeedsChecksum(view, offset),
  );
}
