/**
 * The datagrams of the flow generator: UDP over IPv4, 44 bytes, built and judged without the product's own wire code.
 *
 *   0 IPv4 header (20)   20 UDP header (8)   28 mark, flow, round, server (4 x u32)     all big-endian
 *
 * Flow F is client address F mod `addresses` and port FIRST_PORT + F div `addresses`. A server repeats the payload and
 * puts its own number in the last word. Checksums (RFC 1071) are always full.
 */

export const PACKET_SIZE = 44;
export const PAYLOAD_SIZE = 16;
/** Offsets in the payload. */
export const FLOW = 4;
export const ROUND = 8;
export const SERVER = 12;
export const FIRST_PORT = 1024;
const MARK = 0x4c574647;
const UDP = 17;
const PAYLOAD = 28;

/** A dotted quad as an unsigned number. @param {string} text */
export function ipv4(text) {
  return text.split('.').reduce((word, part) => word * 256 + Number(part), 0);
}

/** @param {number} word */
export function ipv4Text(word) {
  return [word >>> 24, (word >>> 16) & 255, (word >>> 8) & 255, word & 255].join('.');
}

/**
 * Sum of 16-bit words from `offset`, not folded. @param {DataView} view @param {number} offset @param {number} size even
 */
function sum(view, offset, size) {
  let total = 0;
  for (let at = offset; at < offset + size; at += 2) total += view.getUint16(at);
  return total;
}

/** @param {number} total */
function fold(total) {
  const once = (total & 0xffff) + (total >>> 16);
  return (once & 0xffff) + (once >>> 16);
}

/** Sum over the pseudo-header and the datagram. @param {DataView} view @param {number} offset */
function udpSum(view, offset) {
  const size = PACKET_SIZE - 20;
  return fold(sum(view, offset + 12, 8) + UDP + size + sum(view, offset + 20, size));
}

/** What flows look like. */
export class Tuples {
  /**
   * @param {{ vip: string, port: number, first: string, addresses: number, flows: number }} given `first`: lowest of the
   *   client addresses
   */
  constructor({ vip, port, first, addresses, flows }) {
    this.vip = ipv4(vip);
    this.port = port;
    this.first = ipv4(first);
    this.addresses = addresses;
    this.flows = flows;
  }

  /** @param {number} flow */
  address(flow) {
    return this.first + (flow % this.addresses);
  }

  /** @param {number} flow */
  clientPort(flow) {
    return FIRST_PORT + Math.floor(flow / this.addresses);
  }

  /** The flow of `address:port`, -1 for none of these. @param {string} endpoint */
  flowOf(endpoint) {
    const colon = endpoint.lastIndexOf(':');
    const address = ipv4(endpoint.slice(0, colon)) - this.first;
    const port = Number(endpoint.slice(colon + 1)) - FIRST_PORT;
    const flow = port * this.addresses + address;
    return address >= 0 && address < this.addresses && port >= 0 && flow < this.flows ? flow : -1;
  }

  /**
   * Writes a request. @param {DataView} view @param {number} offset @param {number} flow @param {number} round
   */
  build(view, offset, flow, round) {
    view.setUint32(offset, 0x45000000 + PACKET_SIZE);
    view.setUint32(offset + 4, 0x4000); // not to be fragmented
    view.setUint32(offset + 8, 0x40000000 + (UDP << 16)); // TTL 64
    view.setUint32(offset + 12, this.address(flow));
    view.setUint32(offset + 16, this.vip);
    view.setUint16(offset + 10, ~fold(sum(view, offset, 20)));
    view.setUint16(offset + 20, this.clientPort(flow));
    view.setUint16(offset + 22, this.port);
    view.setUint32(offset + 24, (PACKET_SIZE - 20) << 16);
    view.setUint32(offset + PAYLOAD, MARK);
    view.setUint32(offset + PAYLOAD + FLOW, flow);
    view.setUint32(offset + PAYLOAD + ROUND, round);
    view.setUint32(offset + PAYLOAD + SERVER, 0);
    view.setUint16(offset + 26, ~udpSum(view, offset) & 0xffff || 0xffff);
  }

  /**
   * Judges what came in. @param {DataView} view @param {number} offset @param {number} size
   * @returns {'answer' | 'foreign' | 'wrongSource' | 'wrongChecksum' | 'wrongPayload'} `foreign`: not UDP over IPv4
   */
  judge(view, offset, size) {
    if (view.getUint8(offset) !== 0x45 || view.getUint8(offset + 9) !== UDP) return 'foreign';
    if (view.getUint32(offset + 12) !== this.vip || view.getUint16(offset + 20) !== this.port)
      return 'wrongSource';
    if (size !== PACKET_SIZE || view.getUint32(offset + PAYLOAD) !== MARK) return 'wrongPayload';
    if (fold(sum(view, offset, 20)) !== 0xffff || udpSum(view, offset) !== 0xffff) return 'wrongChecksum';
    const flow = this.flow(view, offset);
    const known = flow < this.flows && this.address(flow) === view.getUint32(offset + 16);
    return known && this.clientPort(flow) === view.getUint16(offset + 22) ? 'answer' : 'wrongPayload';
  }

  /** @param {DataView} view @param {number} offset */
  flow(view, offset) {
    return view.getUint32(offset + PAYLOAD + FLOW);
  }

  /** @param {DataView} view @param {number} offset */
  round(view, offset) {
    return view.getUint32(offset + PAYLOAD + ROUND);
  }

  /** Number of the server that answered. @param {DataView} view @param {number} offset */
  server(view, offset) {
    return view.getUint32(offset + PAYLOAD + SERVER);
  }
}
