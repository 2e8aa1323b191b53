/**
 * What the parser found out about the packets of a batch: columns of numbers, one row a packet.
 *
 * Addresses are four words in host order, IPv4 mapped (address.ts). A fault leaves the columns of its row unspecified except
 * `result`. Rows belong to the thread whose batch they describe and are reused with it.
 */

export const PARSED_OK = 0;
/** Faults; each is the drop counter of the same name. */
export const PARSE_TRUNCATED = 1;
export const PARSE_BAD_VERSION = 2;
export const PARSE_BAD_HEADER = 3;
export const PARSE_BAD_LENGTH = 4;
export const PARSE_BAD_TRANSPORT = 5;
export const PARSE_BAD_OFFLOAD = 6;

/** Name of the drop counter of each result; index 0 has none. */
export const PARSE_COUNTERS = [
  undefined,
  'drop-truncated',
  'drop-bad-version',
  'drop-bad-header',
  'drop-bad-length',
  'drop-bad-transport',
  'drop-bad-offload',
] as const;

export class ParsedBatch {
  readonly capacity: number;
  /** PARSED_OK or a fault. */
  readonly result: Uint8Array;
  /** 4 or 6. */
  readonly family: Uint8Array;
  /** Upper protocol, behind extension headers. */
  readonly protocol: Uint8Array;
  /** FRAGMENT_ constant of ipv6.ts. Ports, flags and ICMP fields of a later fragment are 0. */
  readonly fragment: Uint8Array;
  /** Length of the IP packet; what was received beyond it is padding. In a quote: what the quoted header gives. */
  readonly length: Uint32Array;
  /** Bytes from the IP header to the transport header. */
  readonly headerLength: Uint16Array;
  /** Bytes after the transport header (TCP, UDP, ICMP: 8), or after the IP headers for other protocols. */
  readonly payloadLength: Uint16Array;
  readonly source0: Uint32Array;
  readonly source1: Uint32Array;
  readonly source2: Uint32Array;
  readonly source3: Uint32Array;
  readonly destination0: Uint32Array;
  readonly destination1: Uint32Array;
  readonly destination2: Uint32Array;
  readonly destination3: Uint32Array;
  /** TCP and UDP; 0 for all else. */
  readonly sourcePort: Uint16Array;
  readonly destinationPort: Uint16Array;
  /** TCP_ bits; 0 for all else. */
  readonly tcpFlags: Uint8Array;
  /** ICMP of the family; 0 for all else. */
  readonly icmpType: Uint8Array;
  readonly icmpCode: Uint8Array;

  /** @param capacity rows; 1 for a parsed quote. */
  constructor(capacity: number) {
    this.capacity = capacity;
    this.result = new Uint8Array(capacity);
    this.family = new Uint8Array(capacity);
    this.protocol = new Uint8Array(capacity);
    this.fragment = new Uint8Array(capacity);
    this.length = new Uint32Array(capacity);
    this.headerLength = new Uint16Array(capacity);
    this.payloadLength = new Uint16Array(capacity);
    this.source0 = new Uint32Array(capacity);
    this.source1 = new Uint32Array(capacity);
    this.source2 = new Uint32Array(capacity);
    this.source3 = new Uint32Array(capacity);
    this.destination0 = new Uint32Array(capacity);
    this.destination1 = new Uint32Array(capacity);
    this.destination2 = new Uint32Array(capacity);
    this.destination3 = new Uint32Array(capacity);
    this.sourcePort = new Uint16Array(capacity);
    this.destinationPort = new Uint16Array(capacity);
    this.tcpFlags = new Uint8Array(capacity);
    this.icmpType = new Uint8Array(capacity);
    this.icmpCode = new Uint8Array(capacity);
  }
}
