/**
 * The last stage: a packet whose server or client is decided leaves toward it, by the mode of its service.
 *
 * `nat`: one end is rewritten in place and the packet goes back to the device; the kernel forwards it. `ipip`: the packet itself goes,
 * unchanged, to the raw socket, which puts an outer header before it; super-packets are cut first, since nothing after us would.
 *
 * The kernel takes one from the TTL on the way to the device and, in `nat`, one more on the way back: what it took second is given back
 * here, so that a dispatcher counts as one hop in every mode. The way to the server is compared with the packet before anything is
 * rewritten, so that an error quotes what the client itself sent. The way to a client needs no such look: when the kernel
 * finds a reply too big, it tells the VIP, and that error comes back here and goes on to the server (icmp-errors.ts).
 */
import { MODE_IPIP } from '../balance/service-table.ts';
import { COUNTER } from '../base/counters.ts';
import { NO_ROOM } from '../wire/batch.ts';
import { IPV4_TTL, ipv4DontFragment, ipv4MoveChecksum, ipv4Ttl } from '../wire/ipv4.ts';
import { IPV6_HOP_LIMIT, ipv6HopLimit } from '../wire/ipv6.ts';
import { PROTOCOL_TCP } from '../wire/protocol.ts';
import { rewriteEndpoint, SIDE_DESTINATION, SIDE_SOURCE } from '../wire/rewrite.ts';
import { TCP_HEADER_SIZE, TCP_SYN, tcpClampMss, tcpHeaderSize } from '../wire/tcp.ts';
import { UDP_HEADER_SIZE } from '../wire/udp.ts';
import { GSO_NONE, vnetGsoSize, vnetGsoType, vnetNeedsChecksum } from '../wire/virtio.ts';
import { answerTimeExceeded, answerTooBig } from './answer.ts';
import { count, type PathState, transmit } from './path-state.ts';
import { completeChecksum, segmentPacket } from './segment.ts';

const NAT_REQUEST = COUNTER['nat-request'];
const NAT_REPLY = COUNTER['nat-reply'];
const IPIP_REQUEST = COUNTER['ipip-request'];
const DROP_WRITE = COUNTER['drop-write'];
const SEGMENTED = COUNTER['segmented'];
const MSS_CLAMPED = COUNTER['mss-clamped'];

/** Bytes of the outer header by the server's family. */
const OUTER_SIZE_4 = 20;
const OUTER_SIZE_6 = 40;
/** What every IPv6 link takes (RFC 8200 section 5): no sender goes below, whatever it is told. */
const IPV6_MTU_MIN = 1280;
/** No SYN is clamped below (TCP_MIN_MSS of Linux), however small the way in. */
const MSS_MIN = 88;

/**
 * Sends a client's TCP or UDP packet to a server.
 * @param vipPort where the server keeps the packet's port. Allocates nothing, never throws.
 */
export function sendToServer(
  state: PathState,
  index: number,
  service: number,
  server: number,
  vipPort: number,
): void {
  const { parsed, view, services } = state;
  const offset = state.batch.rxOffset[index]!;
  const family = parsed.family[index]!;
  if (ttlOf(view, offset, family) === 0) return answerTimeExceeded(state, index);
  const tunnelled = services.mode[service] === MODE_IPIP;
  const outer = tunnelled ? (services.serverFamily[server] === 4 ? OUTER_SIZE_4 : OUTER_SIZE_6) : 0;
  const room = services.serverMtu[server]! - outer;
  // An IPv6 packet of 1,280 bytes goes in whatever its tunnel takes: the outer packet is fragmented (RFC 2473 section 7.1).
  const most = family === 6 && room < IPV6_MTU_MIN ? IPV6_MTU_MIN : room;
  if (wireLength(state, index) > most && mayNotFragment(view, offset, family))
    return answerTooBig(state, index, most);
  if (tunnelled) return encapsulate(state, index, server, room);
  raiseTtl(view, offset, family);
  const at = server * 4;
  const words = services.serverAddress;
  rewriteEndpoint(
    view,
    offset,
    family,
    parsed.protocol[index]!,
    parsed.headerLength[index]!,
    SIDE_DESTINATION,
    words[at]!,
    words[at + 1]!,
    words[at + 2]!,
    words[at + 3]!,
    services.serverPort[server]! || vipPort,
    vnetNeedsChecksum(view, offset),
  );
  transmit(state, index, NAT_REQUEST);
}

/** Sends a server's TCP or UDP packet to its client, in the VIP's name. Allocates nothing, never throws. */
export function sendToClient(state: PathState, index: number, service: number, vipPort: number): void {
  const { parsed, view, services } = state;
  const offset = state.batch.rxOffset[index]!;
  const family = parsed.family[index]!;
  if (ttlOf(view, offset, family) === 0) return answerTimeExceeded(state, index);
  raiseTtl(view, offset, family);
  const at = service * 4;
  const words = services.vip;
  rewriteEndpoint(
    view,
    offset,
    family,
    parsed.protocol[index]!,
    parsed.headerLength[index]!,
    SIDE_SOURCE,
    words[at]!,
    words[at + 1]!,
    words[at + 2]!,
    words[at + 3]!,
    vipPort,
    vnetNeedsChecksum(view, offset),
  );
  transmit(state, index, NAT_REPLY);
}

/** Sends a client's packet to `server` in an outer header. @param room what the inner packet may measure, in bytes. */
function encapsulate(state: PathState, index: number, server: number, room: number): void {
  const { parsed, view } = state;
  const offset = state.batch.rxOffset[index]!;
  if (parsed.protocol[index] === PROTOCOL_TCP && (parsed.tcpFlags[index]! & TCP_SYN) !== 0) {
    const headers = parsed.headerLength[index]! + TCP_HEADER_SIZE;
    const transport = offset + parsed.headerLength[index]!;
    const mss = Math.max(room - headers, MSS_MIN);
    if (tcpClampMss(view, transport, mss, vnetNeedsChecksum(view, offset))) count(state, MSS_CLAMPED);
  }
  sendInside(state, index, server, IPIP_REQUEST);
}

/**
 * Puts a packet on the raw list for `server`, to travel inside an outer header: cut if it is a super-packet, checksums complete.
 * @param verdict counted when it is on the list. Allocates nothing, never throws.
 */
export function sendInside(state: PathState, index: number, server: number, verdict: number): void {
  const { parsed, view, batch, segments } = state;
  const offset = batch.rxOffset[index]!;
  const length = parsed.length[index]!;
  if (vnetGsoType(view, offset) === GSO_NONE) {
    if (vnetNeedsChecksum(view, offset)) completeChecksum(view, offset, length, parsed.protocol[index]!);
    return count(state, batch.pushRaw(offset, length, server) ? verdict : DROP_WRITE);
  }
  const cut = segmentPacket(batch, offset, parsed, index, segments);
  if (cut === NO_ROOM || batch.rawCount + cut > batch.rawOffset.length) return count(state, DROP_WRITE);
  for (let at = 0; at < cut; at++) batch.pushRaw(segments.offset[at]!, segments.length[at]!, server);
  count(state, SEGMENTED);
  count(state, verdict);
}

/** Size of the largest packet that packet `index` becomes on a wire: of one segment, if it is a super-packet. */
function wireLength(state: PathState, index: number): number {
  const { parsed, view } = state;
  const offset = state.batch.rxOffset[index]!;
  if (vnetGsoType(view, offset) === GSO_NONE) return parsed.length[index]!;
  const ipHeaders = parsed.headerLength[index]!;
  const transport =
    parsed.protocol[index] === PROTOCOL_TCP ? tcpHeaderSize(view, offset + ipHeaders) : UDP_HEADER_SIZE;
  return Math.min(parsed.length[index]!, ipHeaders + transport + vnetGsoSize(view, offset));
}

function mayNotFragment(view: DataView, offset: number, family: number): boolean {
  return family === 6 || ipv4DontFragment(view, offset);
}

function ttlOf(view: DataView, offset: number, family: number): number {
  return family === 4 ? ipv4Ttl(view, offset) : ipv6HopLimit(view, offset);
}

/** One more hop to live; 255 stays. Allocates nothing, never throws. */
export function raiseTtl(view: DataView, offset: number, family: number): void {
  const ttl = ttlOf(view, offset, family);
  if (ttl === 255) return;
  if (family === 6) view.setUint8(offset + IPV6_HOP_LIMIT, ttl + 1);
  else {
    view.setUint8(offset + IPV4_TTL, ttl + 1);
    ipv4MoveChecksum(view, offset, 0x0100);
  }
}
