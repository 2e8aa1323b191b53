/**
 * Callers of a dispatcher's TCP port for copies and questions, of each kind that must be turned away, and one that must not:
 *
 *   silent       says nothing             drip         a byte of its hello now and then
 *   noise        random bytes             unknown      a hello in the name of no dispatcher
 *   oversized    a frame of 4 GiB         wrong-key    all as it should be, sealed with another key
 *   slow-reader  has the key, asks for a copy and does not read it
 *   reader       has the key, asks for a copy and reads it to its end
 *
 * The last line is JSON, when all connections have ended: { kind, opened, failed, bytes, frames, longestMs }.
 */
import { randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { connect } from 'node:net';
import { options } from './options.mjs';

const given = options('Callers of the cluster TCP port', {
  host: '10.0.9.1',
  port: 7373,
  from: '',
  kind: 'silent',
  count: 1,
  key: '', // file
  self: 'd2', // in whose name
});

/** @param {string} path */
const built = (path) => import(new URL(`../../dist/${path}`, import.meta.url).href);
/** @type {typeof import('../../src/cluster/frames.ts')} */
const { SealedStream } = await built('cluster/frames.js');
/** @type {typeof import('../../src/cluster/identity.ts')} */
const { nodeId } = await built('cluster/identity.js');

const REQUEST = Buffer.concat([Buffer.of(1), Buffer.from(JSON.stringify({ what: 'copy', cursor: 0 }))]);
const END_OF_COPY = 4;
const DRIP_MS = 250;
const UNREAD_MS = 12_000;
const hasKey = given.kind === 'reader' || given.kind === 'slow-reader';
const key = hasKey ? Buffer.from(readFileSync(given.key, 'utf8').trim(), 'hex') : randomBytes(32);
const totals = { kind: given.kind, opened: 0, failed: 0, bytes: 0, frames: 0, longestMs: 0 };

function caller() {
  const node = given.kind === 'unknown' ? 12_345 : nodeId(given.self);
  return new SealedStream({
    caller: true,
    self: { node, incarnation: randomBytes(16).toString('hex') },
    clusterKeys: [key],
    isKnown: () => true,
    nonce: randomBytes(16),
  });
}

/** @param {import('node:net').Socket} socket @param {Buffer} bytes */
function drip(socket, bytes) {
  let at = 0;
  const timer = setInterval(() => {
    if (at < bytes.length) socket.write(bytes.subarray(at, ++at));
  }, DRIP_MS);
  socket.on('close', () => clearInterval(timer));
}

/** What is said at once. @param {import('node:net').Socket} socket @param {InstanceType<typeof SealedStream>} sealed */
function speak(socket, sealed) {
  if (given.kind === 'silent') return;
  if (given.kind === 'noise') socket.write(randomBytes(4_000));
  else if (given.kind === 'drip') drip(socket, sealed.hello());
  else socket.write(sealed.hello());
  if (given.kind === 'oversized') socket.write(Buffer.from('ffffffff', 'hex'));
}

/** @returns {Promise<void>} */
function call() {
  return new Promise((resolve) => {
    const sealed = caller();
    const begun = performance.now();
    let asked = false;
    const localAddress = given.from === '' ? {} : { localAddress: given.from };
    const socket = connect({ host: given.host, port: given.port, ...localAddress });
    socket.on('connect', () => {
      totals.opened++;
      speak(socket, sealed);
    });
    socket.on('data', (bytes) => {
      totals.bytes += bytes.length;
      if (given.kind !== 'wrong-key' && !hasKey) return;
      const frames = sealed.receive(bytes);
      if (!asked && sealed.peer !== undefined) {
        asked = true;
        socket.write(sealed.seal(REQUEST));
        if (given.kind === 'slow-reader') {
          socket.pause();
          // One that reads nothing does not hear of the end either.
          setTimeout(() => socket.destroy(), UNREAD_MS);
        }
      }
      if (typeof frames === 'string') return;
      totals.frames += frames.length;
      if (frames.some((frame) => frame[0] === END_OF_COPY)) socket.destroy();
    });
    socket.on('error', () => {
      totals.failed++;
    });
    socket.on('close', () => {
      totals.longestMs = Math.max(totals.longestMs, Math.round(performance.now() - begun));
      resolve();
    });
  });
}

process.stdout.write('ready\n');
await Promise.all(Array.from({ length: given.count }, call));
process.stdout.write(`${JSON.stringify(totals)}\n`);
