/**
 * The tunnel between dispatchers: a client's packet, as it came, inside an outer header to the dispatcher that holds the client lock.
 *
 * How often a packet was tunnelled is the number of its outer headers: one that is tunnelled again goes inside its first outer header, so
 * that tcpdump shows where it was and no router changes the count. Outer headers are IPIP (protocol 4) or protocol 41; the outermost one is
 * the kernel's, which may fragment it. Sources: RFC 2003, RFC 2473, RFC 4213.
 */
import { COUNTER } from '../../base/counters.ts';
import { sendInside } from '../../forward/egress.ts';
import { count, type PathState } from '../../forward/path-state.ts';
import { PEER_TARGET } from '../../io/raw-socket.ts';
import type { AddressWords } from '../../wire/address.ts';
import {
  IPV4_HEADER_SIZE,
  ipVersion,
  ipv4Destination,
  ipv4HeaderSize,
  ipv4Protocol,
  ipv4Source,
  ipv4TotalLength,
} from '../../wire/ipv4.ts';
import { IPV6_DESTINATION, IPV6_HEADER_SIZE, IPV6_SOURCE, ipv6NextHeader } from '../../wire/ipv6.ts';
import { PROTOCOL_IPIP, PROTOCOL_IPV6 } from '../../wire/protocol.ts';
import { outerHeaderSize, prependOuter } from '../../wire/tunnel.ts';
import { vnetClear } from '../../wire/virtio.ts';

const TUNNELLED = COUNTER['tunnel-sent'];
const DROP_WRITE = COUNTER['drop-write'];
const TUNNEL_RECEIVED = COUNTER['tunnel-received'];
const DROP_TUNNEL_BAD = COUNTER['drop-tunnel-bad'];
const DROP_TUNNEL_STRANGER = COUNTER['drop-tunnel-stranger'];

/** TTL of an outer header that is written here: the one inside the kernel's. */
const INNER_OUTER_TTL = 64;

/** A dispatcher as the tunnel knows it. */
export interface TunnelEnd {
  readonly node: number;
  readonly words: AddressWords;
}

/** What became of the outer headers of a packet that came by the tunnel. */
export interface Opened {
  /** Offset of the client's packet; 0 when it is refused. */
  offset: number;
  length: number;
  hops: number;
}

/**
 * Puts packet `index` on the raw list for a dispatcher.
 * @param target index of the dispatcher among the peers
 * @param through who tunnelled it here before, or undefined the first time
 */
export function tunnelPacket(
  state: PathState,
  index: number,
  target: number,
  self: TunnelEnd,
  through: TunnelEnd | undefined,
): void {
  if (through === undefined) return sendInside(state, index, PEER_TARGET + target, TUNNELLED);
  const { batch, view, parsed } = state;
  const family = self.words[2] === 0xffff && self.words[0] === 0 && self.words[1] === 0 ? 4 : 6;
  const length = parsed.length[index]!;
  const [s0, s1, s2, s3] = through.words;
  const [d0, d1, d2, d3] = self.words;
  const outer = prependOuter(
    view,
    batch.rxOffset[index]!,
    length,
    family,
    s0,
    s1,
    s2,
    s3,
    d0,
    d1,
    d2,
    d3,
    INNER_OUTER_TTL,
    0,
    false,
  );
  const sent = batch.pushRaw(outer, length + outerHeaderSize(family), PEER_TARGET + target);
  count(state, sent ? TUNNELLED : DROP_WRITE);
}

/**
 * Takes what is left of outer headers off the packets of a batch, says who tunnelled each and how often, and leaves out those that are refused.
 * @param sources four words a packet: who sent it
 */
export function openTunnelledBatch(
  state: PathState,
  sources: Uint32Array,
  peers: readonly TunnelEnd[],
): void {
  const { batch } = state;
  const isPeer = (address: AddressWords): boolean => peers.some((one) => sameWords(one.words, address));
  const opened: Opened = { offset: 0, length: 0, hops: 0 };
  let kept = 0;
  for (let index = 0; index < batch.rxCount; index++) {
    const via = addressAt(sources, index);
    const peer = peers.find((one) => sameWords(one.words, via));
    if (peer === undefined) {
      count(state, DROP_TUNNEL_STRANGER);
      continue;
    }
    openTunnelled(state.view, batch.rxOffset[index]!, batch.rxLength[index]!, via, isPeer, opened);
    if (opened.offset === 0) {
      count(state, DROP_TUNNEL_BAD);
      continue;
    }
    count(state, TUNNEL_RECEIVED);
    batch.rxOffset[kept] = opened.offset;
    batch.rxLength[kept] = opened.length;
    state.from[kept] = peer.node;
    state.hops[kept] = opened.hops;
    kept++;
  }
  batch.rxCount = kept;
}

/**
 * Takes the second outer header off, if there is one: it must be from a dispatcher to the one that sent the packet here.
 * @param offset of what was inside the outermost header, `length` its bytes
 * @param via address of the dispatcher that sent it
 * @param isPeer whether an address is a dispatcher's
 * @param into gets the result; `offset` 0 when the packet is refused. Never throws.
 */
export function openTunnelled(
  view: DataView,
  offset: number,
  length: number,
  via: AddressWords,
  isPeer: (words: AddressWords) => boolean,
  into: Opened,
): void {
  into.offset = 0;
  into.length = 0;
  into.hops = 1;
  if (length < IPV4_HEADER_SIZE) return;
  const version = ipVersion(view, offset);
  let header = 0;
  if (version === 4) {
    const protocol = ipv4Protocol(view, offset);
    if (protocol === PROTOCOL_IPIP || protocol === PROTOCOL_IPV6) {
      header = ipv4HeaderSize(view, offset);
      if (header < IPV4_HEADER_SIZE || header > length || ipv4TotalLength(view, offset) > length) return;
      if (!isPeer([0, 0, 0xffff, ipv4Source(view, offset)])) return;
      if (via[3] !== ipv4Destination(view, offset) || via[2] !== 0xffff) return;
    }
  } else if (version === 6) {
    if (length < IPV6_HEADER_SIZE) return;
    const next = ipv6NextHeader(view, offset);
    if (next === PROTOCOL_IPIP || next === PROTOCOL_IPV6) {
      header = IPV6_HEADER_SIZE;
      if (!isPeer(wordsAt(view, offset + IPV6_SOURCE))) return;
      if (wordsAt(view, offset + IPV6_DESTINATION).some((word, at) => word !== via[at])) return;
    }
  }
  if (header > 0) into.hops = 2;
  into.offset = offset + header;
  into.length = length - header;
  vnetClear(view, into.offset);
}

function wordsAt(view: DataView, at: number): AddressWords {
  return [view.getUint32(at), view.getUint32(at + 4), view.getUint32(at + 8), view.getUint32(at + 12)];
}

function addressAt(sources: Uint32Array, index: number): AddressWords {
  const at = index * 4;
  return [sources[at]!, sources[at + 1]!, sources[at + 2]!, sources[at + 3]!];
}

function sameWords(a: AddressWords, b: AddressWords): boolean {
  return a[0] === b[0] && a[1] === b[1] && a[2] === b[2] && a[3] === b[3];
}
