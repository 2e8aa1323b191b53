/** The UDP datagram in a captured packet: any bytes are taken; what is cut off, a fragment or of another protocol is none. */
import { formatAddress, MAPPED_WORD } from '../wire/address.ts';
import {
  IPV4_FRAGMENT_MASK,
  IPV4_HEADER_SIZE,
  IPV4_MF,
  ipVersion,
  ipv4Destination,
  ipv4FragmentBits,
  ipv4HeaderSize,
  ipv4Protocol,
} from '../wire/ipv4.ts';
import {
  chainFragment,
  chainHeaderLength,
  chainProtocol,
  FRAGMENT_NONE,
  IPV6_HEADER_SIZE,
  ipv6Destination,
  ipv6WalkChain,
} from '../wire/ipv6.ts';
import { PROTOCOL_UDP } from '../wire/protocol.ts';
import { UDP_HEADER_SIZE, udpDestinationPort, udpLength } from '../wire/udp.ts';

export interface UdpDatagram {
  readonly destination: string;
  readonly destinationPort: number;
  readonly payload: Buffer;
}

/** @param bytes an IP packet. Never throws. */
export function udpDatagram(bytes: Buffer): UdpDatagram | undefined {
  if (bytes.length < IPV4_HEADER_SIZE) return undefined;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const ip = ipVersion(view, 0) === 4 ? udpInIpv4(view) : udpInIpv6(view);
  if (ip === undefined || ip.start + UDP_HEADER_SIZE > bytes.length) return undefined;
  const end = ip.start + udpLength(view, ip.start);
  if (end < ip.start + UDP_HEADER_SIZE || end > bytes.length) return undefined;
  return {
    destination: ip.destination,
    destinationPort: udpDestinationPort(view, ip.start),
    payload: bytes.subarray(ip.start + UDP_HEADER_SIZE, end),
  };
}

function udpInIpv4(view: DataView): { readonly destination: string; readonly start: number } | undefined {
  const start = ipv4HeaderSize(view, 0);
  const isFragment = (ipv4FragmentBits(view, 0) & (IPV4_FRAGMENT_MASK | IPV4_MF)) !== 0;
  if (start < IPV4_HEADER_SIZE || isFragment || ipv4Protocol(view, 0) !== PROTOCOL_UDP) return undefined;
  return { destination: formatAddress([0, 0, MAPPED_WORD, ipv4Destination(view, 0)]), start };
}

function udpInIpv6(view: DataView): { readonly destination: string; readonly start: number } | undefined {
  if (ipVersion(view, 0) !== 6 || view.byteLength < IPV6_HEADER_SIZE) return undefined;
  const chain = ipv6WalkChain(view, 0, view.byteLength);
  if (chain < 0 || chainProtocol(chain) !== PROTOCOL_UDP || chainFragment(chain) !== FRAGMENT_NONE)
    return undefined;
  const word = (index: number): number => ipv6Destination(view, 0, index);
  const destination = formatAddress([word(0), word(1), word(2), word(3)]);
  return { destination, start: chainHeaderLength(chain) };
}
