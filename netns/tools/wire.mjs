/**
 * A bad wire: takes each packet off one TUN device and puts it on another one, or loses it, or puts it there twice, or
 * later than those behind it, as chance by seed will have it. There is no netem in every kernel.
 *
 * Says `ready` when both devices stand. `report` on standard input and SIGUSR1 are answered with a JSON line, as is the
 * end by SIGTERM: { packets, passed, lost, duplicated, reordered, delayed, dropped }, `dropped` being what the kernel
 * would not take. Packets are whole, as the kernel forwards them: fragments are packets.
 */
import { createRequire } from 'node:module';
import { run } from '../host.mjs';
import { answerQuestions, options } from './options.mjs';

const given = options('A wire between two TUN devices that loses, repeats, delays and reorders packets', {
  seed: 1,
  loss: 0, // percent
  duplicate: 0, // percent
  reorder: 0, // percent of packets that wait `hold` ms more than the others
  hold: 5,
  delay: 0, // ms, of all
  jitter: 0, // ms more, at most, evenly
  in: 'wire-in',
  out: 'wire-out',
});
const native = createRequire(import.meta.url)('../../native/build/Release/latchway.node');

const VNET_BYTES = 12;
const ROOM = 2048;
const BATCH = 256;
const POLL_MS = 5;

const report = { packets: 0, passed: 0, lost: 0, duplicated: 0, reordered: 0, delayed: 0, dropped: 0 };

/** @param {string} name */
function open(name) {
  const { fd } = native.tunOpen(name, false, true);
  run(['ip', 'link', 'set', name, 'addrgenmode', 'none']);
  run(['ip', 'link', 'set', name, 'txqueuelen', '10000', 'up']);
  return fd;
}

/** Evenly from 0 to 1, by seed (mulberry32). */
let state = given.seed >>> 0;
function chance() {
  state = (state + 0x6d2b79f5) >>> 0;
  let mixed = Math.imul(state ^ (state >>> 15), state | 1);
  mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
  return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296;
}

/** @param {number} percent */
const happens = (percent) => chance() * 100 < percent;

const source = open(given.in);
const target = open(given.out);
const arena = new Uint8Array(BATCH * ROOM);
const offsets = Uint32Array.from({ length: BATCH }, (_, index) => index * ROOM + VNET_BYTES);
const lengths = new Uint32Array(BATCH);
const tally = new Int32Array(native.layout.tallySize);
const one = { offset: Uint32Array.of(VNET_BYTES), length: new Uint32Array(1) };
const fds = Int32Array.of(source);
const ready = new Int32Array(1);

/** Packets that wait, each with its vnet header in front, the next one first. @type {{ due: number, bytes: Uint8Array }[]} */
const waiting = [];

/** @param {Uint8Array} bytes of a packet with its vnet header */
function put(bytes) {
  one.length[0] = bytes.length - VNET_BYTES;
  native.writePackets(target, bytes, one.offset, one.length, 0, 1, VNET_BYTES, tally);
  if (tally[native.layout.tallyMoved] === 1) report.passed++;
  else report.dropped++;
}

/** @param {Uint8Array} bytes @param {number} now */
function schedule(bytes, now) {
  let wait = given.delay + given.jitter * chance();
  if (happens(given.reorder)) {
    wait += given.hold;
    report.reordered++;
  }
  if (wait === 0) return put(bytes);
  report.delayed++;
  const due = now + wait;
  let place = waiting.length;
  while (place > 0 && (waiting[place - 1]?.due ?? 0) > due) place--;
  waiting.splice(place, 0, { due, bytes });
}

/** @param {number} slot @param {number} now */
function take(slot, now) {
  const start = /** @type {number} */ (offsets[slot]);
  const isMulticast = (arena[start] ?? 0) >> 4 === 6 && arena[start + 24] === 0xff;
  if (isMulticast) return; // the kernel's own, about the device
  report.packets++;
  if (happens(given.loss)) {
    report.lost++;
    return;
  }
  const bytes = arena.slice(start - VNET_BYTES, start + /** @type {number} */ (lengths[slot]));
  schedule(bytes, now);
  if (happens(given.duplicate)) {
    report.duplicated++;
    schedule(bytes, now);
  }
}

function turn() {
  const next = waiting[0];
  const wait =
    next === undefined ? POLL_MS : Math.max(0, Math.min(POLL_MS, Math.ceil(next.due - performance.now())));
  native.poll(fds, ready, wait);
  const now = performance.now();
  while (waiting.length > 0 && /** @type {{ due: number }} */ (waiting[0]).due <= now) {
    put(/** @type {{ bytes: Uint8Array }} */ (waiting.shift()).bytes);
  }
  const got = native.readPackets(
    source,
    arena,
    offsets,
    lengths,
    0,
    BATCH,
    VNET_BYTES,
    ROOM - VNET_BYTES,
    tally,
  );
  for (let slot = 0; slot < got; slot++) take(slot, now);
  setImmediate(turn);
}

const say = () => void process.stdout.write(`${JSON.stringify(report)}\n`);
process.on('SIGUSR1', say);
process.once('SIGTERM', () => {
  say();
  process.exit(0);
});
answerQuestions(() => report);
process.stdout.write('ready\n');
turn();
