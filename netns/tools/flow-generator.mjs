/**
 * A million clients: a TUN device in this namespace out of which UDP packets of as many different client tuples come,
 * and into which the answers go.
 *
 * A round asks every flow once, with at most `window` questions in flight, so that nothing is lost to a full queue; what
 * stays unanswered is asked again, up to REPEATS times. Each answer must come from the VIP, be whole, and carry the flow's
 * own number; the server that it names must be the one that answered this flow before (`moved` counts the others).
 *
 * Commands on standard input, each answered with the report: `report`; `round N` begins round N (the order of the flows
 * depends on N); `forget` forgets who answered. `longestGapMs`: the longest time of this round without an answer.
 */
import { execFileSync } from 'node:child_process';
import { setTimeout as sleep, setImmediate as turn } from 'node:timers/promises';
import { PACKET_SIZE, Tuples } from './flow-generator-packet.mjs';
import { answerQuestions, options } from './options.mjs';

const given = options('UDP packets of very many client tuples, through a TUN device of its own', {
  device: 'gen0',
  vip: '192.0.2.10',
  port: 53,
  first: '100.64.0.0',
  addresses: 1024,
  flows: 100_000,
  window: 512,
});

/** @param {string} path */
const built = (path) => import(new URL(`../../dist/${path}`, import.meta.url).href);
/** @type {typeof import('../../src/io/native.ts')} */
const { createTally, loadNative } = await built('io/native.js');
/** @type {typeof import('../../src/io/tun.ts')} */
const { openTun } = await built('io/tun.js');

const BATCH = 128;
const SLOT = 256;
const START = 64; // the vnet header lies in the 12 bytes before it
const VNET_SIZE = 12;
const QUIET_MS = 400; // without an answer: what is in flight is lost
const QUIET_MAX = 75; // in a row, all in vain: give up, where a busy machine would have answered long ago
const REPEATS = 5;

const native = loadNative();
const tuples = new Tuples(given);
/** Number of the server that answered first, by flow; 0: none yet. */
const servers = new Uint8Array(given.flows);
/** The last round in which a flow was answered. */
const answeredIn = new Uint16Array(given.flows);

const { fd } = openTun({ name: given.device, multiQueue: false, exclusive: true });
native.tunSetOffload(fd, 0); // the kernel completes checksums: each is verified here

/** @param {string} words */
const ip = (words) => execFileSync('ip', words.split(' '));
ip(`link set ${given.device} up mtu 1500 txqueuelen 8192`);
// An odd number of addresses is rounded up to a prefix; the rest of it asks nothing.
ip(`route add ${given.first}/${32 - Math.ceil(Math.log2(given.addresses))} dev ${given.device}`);
execFileSync('sysctl', ['-q', '-w', 'net.ipv4.ip_forward=1']);

/** Slots for one direction. */
function slots() {
  const bytes = new Uint8Array(BATCH * SLOT);
  const offsets = Uint32Array.from({ length: BATCH }, (_, index) => index * SLOT + START);
  return { bytes, view: new DataView(bytes.buffer), offsets, lengths: new Uint32Array(BATCH) };
}
const rx = slots();
const tx = slots();
tx.lengths.fill(PACKET_SIZE);
const tally = createTally();

const fresh = () => ({
  round: 0,
  running: false,
  asked: 0,
  answered: 0,
  repeated: 0,
  unanswered: 0,
  moved: 0,
  foreign: 0,
  wrongSource: 0,
  wrongChecksum: 0,
  wrongPayload: 0,
  duplicates: 0,
  longestGapMs: 0,
  seconds: 0,
});
let state = fresh();
let inFlight = 0;
/** When an answer came last, or all hope for those in flight was given up. */
let lastMove = 0;
/** How often it was given up since the last answer. */
let vain = 0;

/** One answer, or what looks like one. @param {number} offset @param {number} size */
function take(offset, size) {
  const verdict = tuples.judge(rx.view, offset, size);
  if (verdict !== 'answer') {
    state[verdict]++;
    return;
  }
  const flow = tuples.flow(rx.view, offset);
  const server = tuples.server(rx.view, offset);
  if (server === 0 || server > 255) state.wrongPayload++;
  if (servers[flow] === 0) servers[flow] = server;
  else if (servers[flow] !== server) state.moved++;
  if (tuples.round(rx.view, offset) !== state.round || answeredIn[flow] === state.round) {
    state.duplicates++;
    return;
  }
  answeredIn[flow] = state.round;
  state.answered++;
  inFlight = Math.max(0, inFlight - 1);
  const now = performance.now();
  state.longestGapMs = Math.max(state.longestGapMs, now - lastMove);
  lastMove = now;
  vain = 0;
}

/** Reads all answers that are there. @returns how many packets came */
function receive() {
  let total = 0;
  for (;;) {
    const count = native.readPackets(
      fd,
      rx.bytes,
      rx.offsets,
      rx.lengths,
      0,
      BATCH,
      VNET_SIZE,
      SLOT - START,
      tally,
    );
    for (let index = 0; index < count; index++) take(index * SLOT + START, rx.lengths[index] ?? 0);
    total += Math.max(0, count);
    if (count < BATCH) return total;
  }
}

/** Asks some flows. @param {number} count as many of the batch as are filled */
function transmit(count) {
  let first = 0;
  while (first < count) {
    const done = native.writePackets(
      fd,
      tx.bytes,
      tx.offsets,
      tx.lengths,
      first,
      count - first,
      VNET_SIZE,
      tally,
    );
    if (done < 0) throw new Error(`write of ${given.device}: errno ${-done}`);
    first += done;
  }
  inFlight += count;
  state.asked += count;
}

/** @param {number} left @param {number} right @returns {number} */
const gcd = (left, right) => (right === 0 ? left : gcd(right, left % right));

/** A step through all flows that meets each once; another one for each round. @param {number} round */
function strideOf(round) {
  if (round === 1) return 1;
  let stride = Math.floor(given.flows * (0.381966 + 0.01 * (round % 16))) + 1;
  while (gcd(stride, given.flows) !== 1) stride++;
  return stride;
}

/**
 * Takes answers until at most `limit` questions are in flight; after QUIET_MS without any, those are lost.
 * @param {number} limit
 * @returns false when nothing answers any more
 */
async function settle(limit) {
  for (;;) {
    const came = receive();
    if (inFlight <= limit) return true;
    if (performance.now() - lastMove > QUIET_MS) {
      inFlight = 0;
      lastMove = performance.now();
      return ++vain < QUIET_MAX;
    }
    if (came === 0) await sleep(1);
    else await turn();
  }
}

/** Asks every flow that was not answered in this round. @returns false when nothing answers any more */
async function pass() {
  const { round } = state;
  const stride = strideOf(round);
  let filled = 0;
  for (let step = 0; step < given.flows; step++) {
    // The shift: where servers take turns, a stride alone may meet the same again without anybody remembering.
    const flow = (step * stride + round) % given.flows;
    if (answeredIn[flow] !== round) {
      tuples.build(tx.view, filled * SLOT + START, flow, round);
      filled++;
    }
    if (filled === BATCH || (filled > 0 && step === given.flows - 1)) {
      transmit(filled);
      filled = 0;
      if (!(await settle(given.window - BATCH))) return false;
    }
  }
  return settle(0);
}

/** @param {number} round */
async function ask(round) {
  const begun = performance.now();
  state = { ...fresh(), round, running: true };
  inFlight = 0;
  vain = 0;
  lastMove = begun;
  for (let repeat = 0; repeat <= REPEATS && state.answered < given.flows; repeat++) {
    const askedBefore = state.asked;
    const alive = await pass();
    if (repeat > 0) state.repeated += state.asked - askedBefore;
    if (!alive) break;
  }
  state.unanswered = given.flows - state.answered;
  state.seconds = (performance.now() - begun) / 1000;
  state.running = false;
}

function byServer() {
  /** @type {Record<string, number>} */
  const counts = {};
  for (const server of servers) {
    if (server !== 0) counts[`s${server}`] = (counts[`s${server}`] ?? 0) + 1;
  }
  return counts;
}

process.stdout.write('ready\n');
answerQuestions(() => ({ ...state, ...(state.running ? {} : { byServer: byServer() }) }), {
  round: (number) => void ask(Number(number)),
  forget: () => servers.fill(0),
});
