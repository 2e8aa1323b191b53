/**
 * Packets as a stranger on the cluster's network may send them: datagrams to the port of a dispatcher, made of noise and of what was recorded,
 * and tunnelled packets. IPv4; checksums of outer headers are the kernel's (raw(7)), UDP goes without.
 */
import { randomBytes, randomInt } from 'node:crypto';
import { readFileSync } from 'node:fs';

const UDP = 17;
const TCP = 6;
const IPIP = 4;
const HEADER_SIZE = 32;
const MTU = 1_500;
/** Bytes in a fragment, a multiple of 8. */
const FRAGMENT = 1_400;
const STREAM_HELLO = 0;

/** @param {string} address */
const bytesOf = (address) => Buffer.from(address.split('.').map(Number));

/** @param {string} from @param {string} to @param {number} protocol @param {Buffer} body */
export function ipv4(from, to, protocol, body) {
  const header = Buffer.alloc(20);
  header[0] = 0x45;
  header.writeUInt16BE(20 + body.length, 2);
  header[8] = 64;
  header[9] = protocol;
  bytesOf(from).copy(header, 12);
  bytesOf(to).copy(header, 16);
  let sum = 0;
  for (let at = 0; at < 20; at += 2) sum += header.readUInt16BE(at);
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  header.writeUInt16BE(~sum & 0xffff, 10);
  return Buffer.concat([header, body]);
}

/** @param {string} from @param {string} to @param {number} port @param {Buffer} payload */
export function udp(from, to, port, payload) {
  const header = Buffer.alloc(8);
  header.writeUInt16BE(port, 0);
  header.writeUInt16BE(port, 2);
  header.writeUInt16BE(8 + payload.length, 4);
  return ipv4(from, to, UDP, Buffer.concat([header, payload]));
}

/** The packet as fragments that fit the path, which a raw socket leaves to who writes the header. @param {Buffer} packet */
export function fragmentsOf(packet) {
  if (packet.length <= MTU) return [packet];
  const id = randomInt(1, 65_536);
  const body = packet.subarray(20);
  /** @type {Buffer[]} */
  const all = [];
  for (let at = 0; at < body.length; at += FRAGMENT) {
    const header = Buffer.from(packet.subarray(0, 20));
    const part = body.subarray(at, at + FRAGMENT);
    header.writeUInt16BE(20 + part.length, 2);
    header.writeUInt16BE(id, 4);
    header.writeUInt16BE((at + FRAGMENT < body.length ? 0x2000 : 0) + at / 8, 6);
    all.push(Buffer.concat([header, part]));
  }
  return all;
}

/** A SYN of a client; its checksum is wrong, which a dispatcher leaves to the ends. @param {string} from @param {string} to @param {number} port */
export function syn(from, to, port) {
  const tcp = Buffer.alloc(20);
  tcp.writeUInt16BE(randomInt(1024, 60_000), 0);
  tcp.writeUInt16BE(port, 2);
  tcp.writeUInt32BE(randomInt(2 ** 32), 4);
  tcp.writeUInt16BE(0x5002, 12);
  tcp.writeUInt16BE(65_535, 14);
  return ipv4(from, to, TCP, tcp);
}

/** Payloads of the UDP datagrams in a capture file of an Ethernet device, hellos left out: they are answered, however often. @param {string} file */
export function recorded(file) {
  const bytes = readFileSync(file);
  /** @type {Buffer[]} */
  const payloads = [];
  for (let at = 24; at + 16 <= bytes.length; ) {
    const size = bytes.readUInt32LE(at + 8);
    const frame = bytes.subarray(at + 16, at + 16 + size);
    at += 16 + size;
    const ip = 14;
    if (frame.length < ip + 28 || frame[ip + 9] !== UDP) continue;
    const payload = frame.subarray(ip + (frame.readUInt8(ip) & 15) * 4 + 8);
    if (payload.length > HEADER_SIZE && payload[3] !== STREAM_HELLO) payloads.push(payload);
  }
  return payloads;
}

/** @template T @param {readonly T[]} all @returns {T} */
const one = (all) => /** @type {T} */ (all[randomInt(all.length)]);

/** @type {Record<string, (recording: readonly Buffer[]) => Buffer>} */
export const DATAGRAMS = {
  noise: () => randomBytes(randomInt(1, 1_400)),
  /** Longer than any dispatcher's, in several fragments. */
  oversized: () => randomBytes(randomInt(2_049, 8_000)),
  'noise behind a header': (recording) =>
    Buffer.concat([one(recording).subarray(0, HEADER_SIZE), randomBytes(randomInt(16, 1_000))]),
  'cut short': (recording) => {
    const whole = one(recording);
    return whole.subarray(0, randomInt(1, whole.length));
  },
  'bits flipped': (recording) => {
    const flipped = Buffer.from(one(recording));
    const at = randomInt(flipped.length);
    flipped.writeUInt8(flipped.readUInt8(at) ^ (1 << randomInt(8)), at);
    return flipped;
  },
  replayed: (recording) => one(recording),
};

/**
 * Tunnelled packets that a peer's address does not make any better.
 * @type {Record<string, (from: string, to: string, vip: string) => Buffer>}
 */
export const BAD_TUNNELS = {
  'noise inside': (from, to) => ipv4(from, to, IPIP, randomBytes(randomInt(1, 1_300))),
  'a length that lies': (from, to, vip) => {
    const inner = syn('203.0.113.8', vip, 80);
    inner.writeUInt16BE(randomInt(60, 65_535), 2);
    return ipv4(from, to, IPIP, inner);
  },
  'three outer headers': (from, to, vip) => {
    const twice = ipv4(from, from, IPIP, ipv4(from, from, IPIP, syn('203.0.113.8', vip, 80)));
    return ipv4(from, to, IPIP, twice);
  },
  'for no service': (from, to) => ipv4(from, to, IPIP, syn('203.0.113.8', '198.51.100.200', 9)),
};

/** @param {string} from @param {string} to @param {Buffer} inner */
export const tunnelled = (from, to, inner) => ipv4(from, to, IPIP, inner);
