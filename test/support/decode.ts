/**
 * An independent packet decoder: reads the bytes by the RFCs, shares no code with src/wire, and throws with what is wrong.
 *
 * Checked: lengths of every header against the bytes, IPv4 header checksum, transport checksums (full, or partial where the vnet
 * header says NEEDS_CSUM: the field then holds the folded pseudo-header sum), GSO fields, IP in IP, packets quoted by ICMP errors.
 */
import { pseudoHeader, referenceSum } from './reference-checksum.ts';

export interface DecodedVnet {
  readonly needsChecksum: boolean;
  readonly gsoType: number;
  readonly headerSize: number;
  readonly gsoSize: number;
  readonly start: number;
  readonly field: number;
}

export interface DecodedTcp {
  readonly sourcePort: number;
  readonly destinationPort: number;
  readonly sequence: number;
  readonly acknowledgment: number;
  readonly flags: number;
  readonly window: number;
  readonly urgent: number;
  readonly mss: number | undefined;
  readonly options: Buffer;
}

export interface DecodedUdp {
  readonly sourcePort: number;
  readonly destinationPort: number;
  readonly checksum: number;
}

export interface DecodedIcmp {
  readonly type: number;
  readonly code: number;
  readonly rest: number;
  /** In errors. */
  readonly quoted: DecodedQuote | undefined;
}

export interface DecodedQuote {
  readonly family: 4 | 6;
  readonly source: string;
  readonly destination: string;
  readonly protocol: number;
  readonly sourcePort: number | undefined;
  readonly destinationPort: number | undefined;
  /** undefined when the quote does not hold the whole transport packet, or UDP without a checksum. */
  readonly checksumRight: boolean | undefined;
  readonly bytes: Buffer;
}

export interface Decoded {
  readonly family: 4 | 6;
  readonly source: string;
  readonly destination: string;
  readonly ttl: number;
  readonly tos: number;
  readonly identification: number;
  readonly dontFragment: boolean;
  readonly fragmentOffset: number;
  readonly moreFragments: boolean;
  readonly protocol: number;
  readonly headerLength: number;
  readonly length: number;
  readonly extensions: readonly number[];
  readonly vnet: DecodedVnet | undefined;
  readonly tcp: DecodedTcp | undefined;
  readonly udp: DecodedUdp | undefined;
  readonly icmp: DecodedIcmp | undefined;
  readonly inner: Decoded | undefined;
  /** Bytes behind the transport header. */
  readonly payload: Buffer;
}

export interface DecodeOptions {
  /** `ignore` for packets that came in with a wrong transport checksum and must leave with one. */
  readonly transportChecksums?: 'check' | 'ignore';
}

interface IpHeader {
  readonly family: 4 | 6;
  readonly sourceBytes: Buffer;
  readonly destinationBytes: Buffer;
  readonly ttl: number;
  readonly tos: number;
  readonly identification: number;
  readonly dontFragment: boolean;
  readonly fragmentOffset: number;
  readonly moreFragments: boolean;
  readonly protocol: number;
  readonly headerLength: number;
  readonly length: number;
  readonly extensions: readonly number[];
}

const EXTENSIONS = new Set([0, 43, 44, 51, 60]);
const NAMES = new Map<number, string>([
  [1, 'ICMP'],
  [6, 'TCP'],
  [17, 'UDP'],
  [58, 'ICMPv6'],
]);

/**
 * Decodes one whole IP packet.
 * @param vnet its 12-byte vnet header, if it has one.
 * @throws Error with what is wrong.
 */
export function decodePacket(bytes: Uint8Array, vnet?: Uint8Array, options: DecodeOptions = {}): Decoded {
  const packet = Buffer.from(bytes);
  const header = decodeIp(packet, false);
  const offload = vnet === undefined ? undefined : decodeVnet(Buffer.from(vnet), header, packet.length);
  const transport = packet.subarray(header.headerLength);
  const whole = header.fragmentOffset === 0 && !header.moreFragments;
  const parts = whole
    ? decodeTransport(header, transport, offload, options)
    : { ...NOTHING, payload: transport };
  return {
    family: header.family,
    source: addressText(header.sourceBytes),
    destination: addressText(header.destinationBytes),
    ttl: header.ttl,
    tos: header.tos,
    identification: header.identification,
    dontFragment: header.dontFragment,
    fragmentOffset: header.fragmentOffset,
    moreFragments: header.moreFragments,
    protocol: header.protocol,
    headerLength: header.headerLength,
    length: header.length,
    extensions: header.extensions,
    vnet: offload,
    ...parts,
  };
}

const texts = new Map<string, string>();

/** Text of 4 or 16 address bytes; the URL parser of the platform knows RFC 5952. */
export function addressText(bytes: Uint8Array): string {
  if (bytes.length === 4) return bytes.join('.');
  const hex = Buffer.from(bytes).toString('hex');
  let text = texts.get(hex);
  if (text === undefined) {
    text = new URL(`http://[${hex.match(/.{4}/g)!.join(':')}]/`).hostname.slice(1, -1);
    if (texts.size < 100_000) texts.set(hex, text);
  }
  return text;
}

function fail(what: string): never {
  throw new Error(`decode: ${what}`);
}

function hex(value: number): string {
  return `0x${value.toString(16)}`;
}

/** @param quoted only the headers have to be there, and the length may exceed the bytes. */
function decodeIp(packet: Buffer, quoted: boolean): IpHeader {
  if (packet.length < 20) fail(`${packet.length} bytes are no IP packet`);
  const version = packet[0]! >> 4;
  if (version === 4) return decodeIpv4(packet, quoted);
  if (version === 6) return decodeIpv6(packet, quoted);
  return fail(`IP version ${version}`);
}

function decodeIpv4(packet: Buffer, quoted: boolean): IpHeader {
  const headerLength = (packet[0]! & 15) * 4;
  if (headerLength < 20 || headerLength > packet.length) fail(`IPv4 header of ${headerLength} bytes`);
  const length = packet.readUInt16BE(2);
  if (!quoted && length !== packet.length) fail(`IPv4 total length ${length}, but ${packet.length} bytes`);
  const sum = referenceSum(packet.subarray(0, headerLength));
  if (sum !== 0xffff) fail(`IPv4 header checksum ${hex(packet.readUInt16BE(10))} is wrong (sum ${hex(sum)})`);
  const fragment = packet.readUInt16BE(6);
  return {
    family: 4,
    sourceBytes: packet.subarray(12, 16),
    destinationBytes: packet.subarray(16, 20),
    ttl: packet[8]!,
    tos: packet[1]!,
    identification: packet.readUInt16BE(4),
    dontFragment: (fragment & 0x4000) !== 0,
    fragmentOffset: (fragment & 0x1fff) * 8,
    moreFragments: (fragment & 0x2000) !== 0,
    protocol: packet[9]!,
    headerLength,
    length,
    extensions: [],
  };
}

function decodeIpv6(packet: Buffer, quoted: boolean): IpHeader {
  if (packet.length < 40) fail(`${packet.length} bytes are no IPv6 packet`);
  const length = 40 + packet.readUInt16BE(4);
  if (!quoted && length !== packet.length) fail(`IPv6 length ${length}, but ${packet.length} bytes`);
  const extensions: number[] = [];
  let protocol = packet[6]!;
  let at = 40;
  let fragment = 0;
  while (EXTENSIONS.has(protocol) && fragment < 8) {
    if (at + 8 > packet.length) fail(`IPv6 extension header ${protocol} lies beyond the packet`);
    extensions.push(protocol);
    const units = packet[at + 1]!;
    if (protocol === 43 && packet[at + 3] !== 0) fail('routing header with segments left');
    if (protocol === 44) fragment = packet.readUInt16BE(at + 2);
    const size = protocol === 44 ? 8 : protocol === 51 ? (units + 2) * 4 : (units + 1) * 8;
    protocol = packet[at]!;
    at += size;
  }
  if (at > packet.length) fail('IPv6 extension headers exceed the packet');
  return {
    family: 6,
    sourceBytes: packet.subarray(8, 24),
    destinationBytes: packet.subarray(24, 40),
    ttl: packet[7]!,
    tos: (packet.readUInt16BE(0) >> 4) & 255,
    identification: 0,
    dontFragment: true,
    fragmentOffset: fragment & 0xfff8,
    moreFragments: (fragment & 1) !== 0,
    protocol,
    headerLength: at,
    length,
    extensions,
  };
}

function decodeVnet(vnet: Buffer, header: IpHeader, size: number): DecodedVnet {
  if (vnet.length !== 12) fail(`vnet header of ${vnet.length} bytes`);
  const decoded: DecodedVnet = {
    needsChecksum: (vnet[0]! & 1) !== 0,
    gsoType: vnet[1]! & 0x7f,
    headerSize: vnet.readUInt16LE(2),
    gsoSize: vnet.readUInt16LE(4),
    start: vnet.readUInt16LE(6),
    field: vnet.readUInt16LE(8),
  };
  if ((vnet[0]! & ~7) !== 0) fail(`vnet flags ${hex(vnet[0]!)}`);
  if (!decoded.needsChecksum) {
    if (decoded.gsoType !== 0) fail('GSO packet whose checksum is not left to do');
    return decoded;
  }
  if (decoded.headerSize > size) fail(`vnet hdr_len ${decoded.headerSize} exceeds the packet`);
  const fields = new Map([
    [6, 16],
    [17, 6],
    [58, 2],
    [1, 2],
  ]);
  const field = fields.get(header.protocol);
  if (field !== undefined && (decoded.start !== header.headerLength || decoded.field !== field)) {
    fail(
      `vnet csum_start ${decoded.start}, csum_offset ${decoded.field}: transport is at ${header.headerLength}`,
    );
  }
  if (decoded.start + decoded.field + 2 > size) fail('vnet checksum field lies beyond the packet');
  if (decoded.gsoType !== 0) {
    const fits =
      (decoded.gsoType === 1 && header.family === 4 && header.protocol === 6) ||
      (decoded.gsoType === 4 && header.family === 6 && header.protocol === 6) ||
      (decoded.gsoType === 5 && header.protocol === 17);
    if (!fits)
      fail(`gso_type ${decoded.gsoType} on an IPv${header.family} packet of protocol ${header.protocol}`);
    if (decoded.gsoSize === 0) fail('gso_size 0');
  }
  return decoded;
}

interface TransportParts {
  readonly tcp: DecodedTcp | undefined;
  readonly udp: DecodedUdp | undefined;
  readonly icmp: DecodedIcmp | undefined;
  readonly inner: Decoded | undefined;
  readonly payload: Buffer;
}

const NOTHING = { tcp: undefined, udp: undefined, icmp: undefined, inner: undefined };

function decodeTransport(
  header: IpHeader,
  bytes: Buffer,
  vnet: DecodedVnet | undefined,
  options: DecodeOptions,
): TransportParts {
  const check = (covered: Buffer, field: number): void => {
    if (options.transportChecksums !== 'ignore')
      checkTransport(header, covered, field, vnet?.needsChecksum === true);
  };
  if (header.protocol === 6) {
    const tcp = decodeTcp(bytes);
    check(bytes, 16);
    return { ...NOTHING, tcp, payload: bytes.subarray(20 + tcp.options.length) };
  }
  if (header.protocol === 17) {
    if (bytes.length < 8) fail(`UDP in ${bytes.length} bytes`);
    const size = bytes.readUInt16BE(4);
    if (size < 8 || size > bytes.length) fail(`UDP length ${size} in ${bytes.length} bytes`);
    const udp = {
      sourcePort: bytes.readUInt16BE(0),
      destinationPort: bytes.readUInt16BE(2),
      checksum: bytes.readUInt16BE(6),
    };
    if (udp.checksum !== 0 || vnet?.needsChecksum === true) check(bytes.subarray(0, size), 6);
    return { ...NOTHING, udp, payload: bytes.subarray(8, size) };
  }
  if (header.protocol === (header.family === 4 ? 1 : 58)) {
    if (bytes.length < 8) fail(`ICMP in ${bytes.length} bytes`);
    check(bytes, 2);
    const type = bytes[0]!;
    const error = header.family === 4 ? [3, 11, 12].includes(type) : type >= 1 && type <= 4;
    const quoted = error ? decodeQuote(bytes.subarray(8)) : undefined;
    const icmp = { type, code: bytes[1]!, rest: bytes.readUInt32BE(4), quoted };
    return { ...NOTHING, icmp, payload: bytes.subarray(8) };
  }
  if (header.protocol === 4 || header.protocol === 41) {
    const inner = decodePacket(bytes, undefined, options);
    if (inner.family !== (header.protocol === 4 ? 4 : 6))
      fail(`protocol ${header.protocol} around IPv${inner.family}`);
    return { ...NOTHING, inner, payload: bytes };
  }
  return { ...NOTHING, payload: bytes };
}

function decodeTcp(bytes: Buffer): DecodedTcp {
  if (bytes.length < 20) fail(`TCP in ${bytes.length} bytes`);
  const size = (bytes[12]! >> 4) * 4;
  if (size < 20 || size > bytes.length) fail(`TCP data offset ${size} in ${bytes.length} bytes`);
  const options = bytes.subarray(20, size);
  let mss: number | undefined;
  for (let at = 0; at < options.length && options[at] !== 0; ) {
    const step = options[at] === 1 ? 1 : (options[at + 1] ?? 0);
    if (step === 0 || at + step > options.length || (step === 1 && options[at] !== 1)) break;
    if (options[at] === 2 && step === 4) mss ??= options.readUInt16BE(at + 2);
    at += step;
  }
  return {
    sourcePort: bytes.readUInt16BE(0),
    destinationPort: bytes.readUInt16BE(2),
    sequence: bytes.readUInt32BE(4),
    acknowledgment: bytes.readUInt32BE(8),
    flags: bytes[13]!,
    window: bytes.readUInt16BE(14),
    urgent: bytes.readUInt16BE(18),
    mss,
    options,
  };
}

function checkTransport(header: IpHeader, covered: Buffer, field: number, partial: boolean): void {
  const name = NAMES.get(header.protocol);
  const found = covered.readUInt16BE(field);
  const pseudo =
    header.protocol === 1
      ? Buffer.alloc(0)
      : pseudoHeader(header.sourceBytes, header.destinationBytes, header.protocol, covered.length);
  if (partial) {
    const expected = referenceSum(pseudo);
    if (found !== expected)
      fail(`${name} partial checksum ${hex(found)}, pseudo-header sum is ${hex(expected)}`);
    return;
  }
  const sum = referenceSum(pseudo, covered);
  if (sum !== 0xffff) fail(`${name} checksum ${hex(found)} is wrong (sum ${hex(sum)})`);
}

function decodeQuote(bytes: Buffer): DecodedQuote {
  const header = decodeIp(bytes, true);
  const transport = bytes.subarray(header.headerLength, Math.min(bytes.length, header.length));
  const later = header.fragmentOffset > 0;
  if (transport.length < 8 && !later) fail(`quote holds ${transport.length} bytes of transport`);
  const ports = !later && (header.protocol === 6 || header.protocol === 17);
  const whole =
    bytes.length >= header.length && !later && !header.moreFragments && NAMES.has(header.protocol);
  const unchecked = header.protocol === 17 && transport.readUInt16BE(6) === 0;
  const pseudo =
    header.protocol === 1
      ? Buffer.alloc(0)
      : pseudoHeader(header.sourceBytes, header.destinationBytes, header.protocol, transport.length);
  return {
    family: header.family,
    source: addressText(header.sourceBytes),
    destination: addressText(header.destinationBytes),
    protocol: header.protocol,
    sourcePort: ports ? transport.readUInt16BE(0) : undefined,
    destinationPort: ports ? transport.readUInt16BE(2) : undefined,
    checksumRight: whole && !unchecked ? referenceSum(pseudo, transport) === 0xffff : undefined,
    bytes,
  };
}
