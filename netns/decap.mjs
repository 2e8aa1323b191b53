/**
 * The decapsulator of a server behind `ipip`: takes protocols 4 and 41 over IPv4 and IPv6 off raw sockets and hands
 * each inner packet to the server's own kernel through a TUN device. It stands in for the kernel's ipip and ip6tnl
 * devices, which not every kernel has. Run it as root inside the server's namespace; it says `ready`.
 *
 * Any line on standard input is answered with { received, delivered, largest, byKind }: `largest` is the biggest inner
 * packet in bytes, which with its outer header must fit the path; a kind is `inner in outer`, such as `6 in 4`.
 */
import { createRequire } from 'node:module';
import { run } from './host.mjs';
import { answerQuestions, count } from './tools/options.mjs';

const load = createRequire(import.meta.url);
const raw = load('raw-socket');
const native = load('../native/build/Release/latchway.node');

const DEVICE = 'decap';
const VNET_BYTES = 12;
const PACKET_MAX = 65_535;
const SOL_SOCKET = 1;
const SO_RCVBUFFORCE = 33;
const RECEIVE_BUFFER = 16 << 20;

const report = { received: 0, delivered: 0, largest: 0, byKind: /** @type {Record<string, number>} */ ({}) };
// The vnet header in front stays zero: checksums are complete, and the kernel checks them.
const bytes = new Uint8Array(VNET_BYTES + PACKET_MAX);
const offsets = Uint32Array.of(VNET_BYTES);
const lengths = new Uint32Array(1);
const tally = new Int32Array(native.layout.tallySize);
const tun = native.tunOpen(DEVICE, false, true);
run(['ip', 'link', 'set', DEVICE, 'mtu', String(PACKET_MAX), 'up']);

/** @param {Buffer} packet @param {number} outer version of the outer header */
function deliver(packet, outer) {
  report.received++;
  count(report.byKind, `${(packet[0] ?? 0) >> 4} in ${outer}`);
  report.largest = Math.max(report.largest, packet.length);
  bytes.set(packet, VNET_BYTES);
  lengths[0] = packet.length;
  native.writePackets(tun.fd, bytes, offsets, lengths, 0, 1, VNET_BYTES, tally);
  report.delivered += tally[native.layout.tallyMoved] ?? 0;
}

// Kept for the life of the process: a raw socket that nobody refers to is collected, and closes without a word.
const sockets = [4, 6].flatMap((outer) =>
  [4, 41].map((protocol) => {
    const addressFamily = outer === 4 ? raw.AddressFamily.IPv4 : raw.AddressFamily.IPv6;
    const socket = raw.createSocket({ addressFamily, protocol, bufferSize: 1 << 16 });
    const size = Buffer.alloc(4);
    size.writeUInt32LE(RECEIVE_BUFFER);
    socket.setOption(SOL_SOCKET, SO_RCVBUFFORCE, size, 4);
    socket.on('error', (/** @type {Error} */ error) => process.stderr.write(`${error.message}\n`));
    socket.on('message', (/** @type {Buffer} */ packet) => {
      // An IPv4 raw socket delivers the outer header too.
      deliver(outer === 4 ? packet.subarray(((packet[0] ?? 0) & 15) * 4) : packet, outer);
    });
    return socket;
  }),
);
answerQuestions(() => ({ ...report, sockets: sockets.length }));
process.stdout.write('ready\n');
