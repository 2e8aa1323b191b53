/**
 * One packet as one line, in the way of tcpdump: `IP 198.51.100.7:40000 > 192.0.2.10:80: Flags [S], length 0`.
 * Any bytes are taken; what is cut off or lies about itself is called so.
 */
import { addressFromWords, formatAddress, MAPPED_WORD } from '../wire/address.ts';
import {
  IPV4_FRAGMENT_MASK,
  IPV4_HEADER_SIZE,
  IPV4_MF,
  ipVersion,
  ipv4Destination,
  ipv4FragmentBits,
  ipv4HeaderSize,
  ipv4Protocol,
  ipv4Source,
  ipv4TotalLength,
} from '../wire/ipv4.ts';
import {
  chainFragment,
  chainHeaderLength,
  chainProtocol,
  FRAGMENT_LATER,
  FRAGMENT_NONE,
  IPV6_HEADER_SIZE,
  ipv6Destination,
  ipv6PayloadLength,
  ipv6Source,
  ipv6WalkChain,
} from '../wire/ipv6.ts';
import {
  PROTOCOL_ICMP,
  PROTOCOL_ICMPV6,
  PROTOCOL_IPIP,
  PROTOCOL_IPV6,
  PROTOCOL_TCP,
  PROTOCOL_UDP,
} from '../wire/protocol.ts';
import { TCP_HEADER_SIZE, tcpDestinationPort, tcpFlags, tcpHeaderSize, tcpSourcePort } from '../wire/tcp.ts';
import { UDP_HEADER_SIZE, udpDestinationPort, udpSourcePort } from '../wire/udp.ts';

/** Headers inside headers that are followed: a tunnel, and the packet that an error quotes in it. */
const MAX_DEPTH = 4;

/** The bytes of an IP packet in a line, without a line end. Never throws. */
export function packetLine(bytes: Uint8Array): string {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  return ipLine(view, 0, bytes.byteLength, MAX_DEPTH);
}

function ipLine(view: DataView, offset: number, end: number, depth: number): string {
  if (end - offset < 1) return 'IP [empty]';
  const version = ipVersion(view, offset);
  if (version === 4) return ipv4Line(view, offset, end, depth);
  return version === 6
    ? ipv6Line(view, offset, end, depth)
    : `IP version ${version} [not IP], length ${end - offset}`;
}

function ipv4Line(view: DataView, offset: number, end: number, depth: number): string {
  if (end - offset < IPV4_HEADER_SIZE) return `IP [truncated], length ${end - offset}`;
  const source = formatAddress([0, 0, MAPPED_WORD, ipv4Source(view, offset)]);
  const destination = formatAddress([0, 0, MAPPED_WORD, ipv4Destination(view, offset)]);
  const headerSize = ipv4HeaderSize(view, offset);
  const total = ipv4TotalLength(view, offset);
  const protocol = ipv4Protocol(view, offset);
  if (headerSize < IPV4_HEADER_SIZE || total < headerSize)
    return `IP ${source} > ${destination}: [bad header]`;
  const bits = ipv4FragmentBits(view, offset);
  const piece = (bits & IPV4_FRAGMENT_MASK) * 8;
  if (piece > 0)
    return `IP ${source} > ${destination}: fragment at ${piece}, ${protocolName(protocol)}, length ${total - headerSize}`;
  const payload = {
    view,
    start: offset + headerSize,
    end: Math.min(end, offset + total),
    length: total - headerSize,
  };
  const more = (bits & IPV4_MF) !== 0 ? ', first fragment' : '';
  return `IP ${payloadLine(payload, protocol, source, destination, depth)}${more}`;
}

function ipv6Line(view: DataView, offset: number, end: number, depth: number): string {
  if (end - offset < IPV6_HEADER_SIZE) return `IP6 [truncated], length ${end - offset}`;
  const words = (word: (view: DataView, offset: number, index: number) => number) =>
    formatAddress(
      addressFromWords(
        [0, 1, 2, 3].map((index) => word(view, offset, index)) as [number, number, number, number],
      ),
    );
  const source = words(ipv6Source);
  const destination = words(ipv6Destination);
  const packetEnd = offset + IPV6_HEADER_SIZE + ipv6PayloadLength(view, offset);
  const chain = ipv6WalkChain(view, offset, Math.min(end, packetEnd));
  if (chain < 0) return `IP6 ${source} > ${destination}: [bad extension headers]`;
  const start = offset + chainHeaderLength(chain);
  const length = packetEnd - start;
  const protocol = chainProtocol(chain);
  if (chainFragment(chain) === FRAGMENT_LATER)
    return `IP6 ${source} > ${destination}: fragment, ${protocolName(protocol)}, length ${length}`;
  const more = chainFragment(chain) === FRAGMENT_NONE ? '' : ', first fragment';
  const payload = { view, start, end: Math.min(end, packetEnd), length };
  return `IP6 ${payloadLine(payload, protocol, source, destination, depth)}${more}`;
}

/** Bytes after the IP header: those that were captured end at `end`, the headers speak of `length`. */
interface Payload {
  readonly view: DataView;
  readonly start: number;
  readonly end: number;
  readonly length: number;
}

function payloadLine(
  payload: Payload,
  protocol: number,
  source: string,
  destination: string,
  depth: number,
): string {
  const { view, start, end, length } = payload;
  const between = `${source} > ${destination}:`;
  const here = end - start;
  switch (protocol) {
    case PROTOCOL_TCP: {
      if (here < TCP_HEADER_SIZE) return `${between} TCP [truncated], length ${length}`;
      const [from, to] = [tcpSourcePort(view, start), tcpDestinationPort(view, start)];
      const data = length - tcpHeaderSize(view, start);
      const flags = flagLetters(tcpFlags(view, start));
      return `${ports(source, from, destination, to)} Flags [${flags}], ${data < 0 ? '[bad header]' : `length ${data}`}`;
    }
    case PROTOCOL_UDP: {
      if (here < UDP_HEADER_SIZE) return `${between} UDP [truncated], length ${length}`;
      const [from, to] = [udpSourcePort(view, start), udpDestinationPort(view, start)];
      return `${ports(source, from, destination, to)} UDP, length ${length - UDP_HEADER_SIZE}`;
    }
    case PROTOCOL_ICMP:
    case PROTOCOL_ICMPV6:
      return `${between} ${icmpLine(payload, protocol === PROTOCOL_ICMP ? ICMP : ICMPV6, depth)}`;
    case PROTOCOL_IPIP:
    case PROTOCOL_IPV6:
      if (depth > 1) return `${between} ${ipLine(view, start, end, depth - 1)}`;
      return `${between} ${protocolName(protocol)}, length ${length}`;
    default:
      return `${between} ${protocolName(protocol)}, length ${length}`;
  }
}

function ports(source: string, from: number, destination: string, to: number): string {
  const endpoint = (address: string, port: number): string =>
    address.includes(':') ? `[${address}]:${port}` : `${address}:${port}`;
  return `${endpoint(source, from)} > ${endpoint(destination, to)}:`;
}

/** tcpdump's letters, in its order: FIN, SYN, RST, PSH, ACK (a dot), URG, ECE, CWR. */
function flagLetters(flags: number): string {
  const letters = [...'FSRP.UEW'].filter((_, bit) => (flags & (1 << bit)) !== 0).join('');
  return letters === '' ? 'none' : letters;
}

/** `type` or `type/code`: its name; and the types that quote the packet they are about (RFC 792, RFC 4443). */
interface IcmpFamily {
  readonly name: string;
  readonly names: Readonly<Record<string, string>>;
  readonly errors: readonly number[];
  readonly echoes: readonly number[];
}

const ICMP: IcmpFamily = {
  name: 'ICMP',
  names: {
    '0': 'echo reply',
    '8': 'echo request',
    '3/0': 'network unreachable',
    '3/1': 'host unreachable',
    '3/3': 'port unreachable',
    '3/4': 'fragmentation needed',
    '3': 'destination unreachable',
    '11': 'time exceeded',
    '12': 'parameter problem',
  },
  errors: [3, 11, 12],
  echoes: [0, 8],
};

const ICMPV6: IcmpFamily = {
  name: 'ICMP6',
  names: {
    '1/0': 'no route',
    '1/4': 'port unreachable',
    '1': 'destination unreachable',
    '2': 'packet too big',
    '3': 'time exceeded',
    '4': 'parameter problem',
    '128': 'echo request',
    '129': 'echo reply',
  },
  errors: [1, 2, 3, 4],
  echoes: [128, 129],
};

const ICMP_HEADER_SIZE = 8;

function icmpLine({ view, start, end, length }: Payload, family: IcmpFamily, depth: number): string {
  if (end - start < ICMP_HEADER_SIZE) return `${family.name} [truncated], length ${length}`;
  const type = view.getUint8(start);
  const code = view.getUint8(start + 1);
  const name = family.names[`${type}/${code}`] ?? family.names[type] ?? `type ${type} code ${code}`;
  if (family.echoes.includes(type))
    return `${family.name} ${name}, id ${view.getUint16(start + 4)}, seq ${view.getUint16(start + 6)}, length ${length}`;
  if (!family.errors.includes(type) || depth <= 1) return `${family.name} ${name}, length ${length}`;
  const mtu =
    name === 'fragmentation needed'
      ? `, mtu ${view.getUint16(start + 6)}`
      : name === 'packet too big'
        ? `, mtu ${view.getUint32(start + 4)}`
        : '';
  return `${family.name} ${name}${mtu}, about (${ipLine(view, start + ICMP_HEADER_SIZE, end, depth - 1)})`;
}

function protocolName(protocol: number): string {
  switch (protocol) {
    case PROTOCOL_TCP:
      return 'TCP';
    case PROTOCOL_UDP:
      return 'UDP';
    case PROTOCOL_ICMP:
      return 'ICMP';
    case PROTOCOL_ICMPV6:
      return 'ICMP6';
    default:
      return `protocol ${protocol}`;
  }
}
