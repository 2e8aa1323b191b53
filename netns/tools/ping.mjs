/**
 * Echo requests over ICMP and ICMPv6, one at a time. The last line is JSON: { sent, answered, wrongSource, errors };
 * exit 0 only if all were answered.
 */
import { createRequire } from 'node:module';
import { isIPv6 } from 'node:net';
import { count, options } from './options.mjs';

const raw = createRequire(import.meta.url)('raw-socket');
const given = options('Sends echo requests', { host: '192.0.2.10', count: 3, size: 56, timeout: 30_000 });
const six = isIPv6(given.host);
const HEADER = 8;
const kind = six ? { request: 128, reply: 129 } : { request: 8, reply: 0 };
const result = { sent: 0, answered: 0, wrongSource: 0, errors: /** @type {Record<string, number>} */ ({}) };
const identifier = process.pid & 0xffff;

const socket = raw.createSocket({
  addressFamily: six ? raw.AddressFamily.IPv6 : raw.AddressFamily.IPv4,
  protocol: six ? raw.Protocol.ICMPv6 : raw.Protocol.ICMP,
  bufferSize: 1 << 16,
});

/** @param {number} sequence */
function echoRequest(sequence) {
  const packet = Buffer.alloc(HEADER + given.size, 'latchway');
  packet.fill(0, 0, HEADER);
  packet[0] = kind.request;
  packet.writeUInt16BE(identifier, 4);
  packet.writeUInt16BE(sequence, 6);
  // The kernel completes the checksum of ICMPv6.
  if (!six) raw.writeChecksum(packet, 2, raw.createChecksum(packet));
  return packet;
}

/** Whether a packet answers a request, with the same payload. @param {Buffer} packet @param {Buffer} request */
function answers(packet, request) {
  const message = six ? packet : packet.subarray(((packet[0] ?? 0) & 15) * 4);
  return message[0] === kind.reply && message.subarray(4).equals(request.subarray(4));
}

/** @param {number} sequence @returns {Promise<void>} */
function ping(sequence) {
  const request = echoRequest(sequence);
  return new Promise((resolve) => {
    const finish = () => {
      clearTimeout(timer);
      socket.removeListener('message', hear);
      resolve();
    };
    const timer = setTimeout(finish, given.timeout);
    /** @param {Buffer} packet @param {string} source */
    const hear = (packet, source) => {
      if (!answers(packet, request)) return;
      result.answered++;
      if (source !== given.host) result.wrongSource++;
      finish();
    };
    socket.on('message', hear);
    socket.send(request, 0, request.length, given.host, (/** @type {Error | null} */ error) => {
      if (error) count(result.errors, error.message);
      result.sent++;
    });
  });
}

for (let sequence = 0; sequence < given.count; sequence++) await ping(sequence);
process.stdout.write(`${JSON.stringify(result)}\n`);
process.exit(result.answered === given.count ? 0 : 1);
