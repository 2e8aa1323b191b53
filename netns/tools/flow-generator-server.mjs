/**
 * A fast UDP echo server for the flow generator: whole batches by recvmmsg and sendmmsg (the project's own addon), its
 * number written into the last word of the payload. Prints `listening`; sits in poll(2) until a signal ends it.
 */
import { PAYLOAD_SIZE, SERVER } from './flow-generator-packet.mjs';
import { options } from './options.mjs';

const given = options('UDP echo server for the flow generator', { number: 1, port: 5300, bind: '0.0.0.0' });

/** @param {string} path */
const built = (path) => import(new URL(`../../dist/${path}`, import.meta.url).href);
/** @type {typeof import('../../src/io/native.ts')} */
const { createTally, loadNative } = await built('io/native.js');
/** @type {typeof import('../../src/io/socket.ts')} */
const { openUdp } = await built('io/socket.js');
/** @type {typeof import('../../src/wire/address.ts')} */
const { parseAddress } = await built('wire/address.js');

const BATCH = 256;
const ROOM = 64;
const QUEUE_SIZE = 16 << 20;

const native = loadNative();
const address = parseAddress(given.bind);
if (address === undefined) throw new Error(`--bind ${given.bind}: not an address`);
const local = { address, port: given.port };
const socket = openUdp(address.family, { receiveBytes: QUEUE_SIZE, sendBytes: QUEUE_SIZE, local });

const bytes = new Uint8Array(BATCH * ROOM);
const view = new DataView(bytes.buffer);
const offsets = Uint32Array.from({ length: BATCH }, (_, index) => index * ROOM);
const lengths = new Uint32Array(BATCH);
const targets = Uint32Array.from({ length: BATCH }, (_, index) => index);
const addresses = new Uint32Array(4 * BATCH);
const ports = new Uint32Array(BATCH);
const tally = createTally();
const waiting = Int32Array.of(socket.fd);
const ready = new Int32Array(1);

process.stdout.write(`listening on ${given.port}\n`);
for (;;) {
  native.poll(waiting, ready, -1);
  const count = native.receiveBatch(
    socket.fd,
    bytes,
    offsets,
    lengths,
    addresses,
    ports,
    0,
    BATCH,
    ROOM,
    tally,
  );
  if (count <= 0) continue;
  for (let index = 0; index < count; index++) {
    if (lengths[index] === PAYLOAD_SIZE) view.setUint32(index * ROOM + SERVER, given.number);
  }
  native.sendBatch(
    socket.fd,
    socket.domain,
    bytes,
    offsets,
    lengths,
    targets,
    addresses,
    ports,
    0,
    count,
    tally,
  );
}
