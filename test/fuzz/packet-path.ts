/**
 * A fuzzer of the packet path: half of its packets are random bytes, half are sound packets around live services or mutations of them.
 *
 * Checked for each batch: nothing is thrown; each packet ends in one verdict or drop; nothing is written outside the
 * packet, its vnet header and the regions that are the path's own (canaries); every output is read again by the independent decoder, and may
 * fail that only if its input does too. Seeded: the same seed and number of packets give the same run.
 */
import { COUNTER_INFO, type CounterName } from '../../src/base/counters.ts';
import { Prng } from '../../src/base/prng.ts';
import { Coalescer, coalesceOutput } from '../../src/forward/coalesce.ts';
import { processBatch } from '../../src/forward/packet-path.ts';
import {
  FLAG_ASSURED,
  FLAG_CLIENT_ACKED,
  FLAG_REPLIED,
  STATE_ESTABLISHED,
  STATE_FREE,
  STATE_SESSION,
  STATE_UDP,
} from '../../src/table/flow-row.ts';
import { SLOT_SIZE } from '../../src/wire/batch.ts';
import { decodePacket } from '../support/decode.ts';
import { type BuiltPacket, putPacket, takePacket } from '../support/packets.ts';
import { Path } from '../support/path.ts';
import { finishHeader, sumHeader } from './headers.ts';
import { drawTemplate, fuzzServices } from './templates.ts';

/** Counted by reader threads, or by a member of a cluster (test/unit/daemon/member.test.ts), not by the path of a dispatcher alone. */
export const ELSEWHERE: readonly CounterName[] = [
  'to-dispatcher',
  'drop-device-full',
  'drop-ring-full',
  'tunnel-sent',
  'drop-not-ready',
  'drop-lock-limit',
  'drop-queue-full',
  'drop-waited-too-long',
  'drop-hop-limit',
  'drop-question-unanswered',
  'drop-question-limit',
  'drop-tunnel-stranger',
  'drop-tunnel-bad',
];

const BATCH = 64;
const TEMPLATES = 6000;
const CAPACITY = 300;
const NOISE_SIZE = 1 << 20;
const CANARY = 0xa5;
const CANARY_SIZE = 16;

export interface FuzzOptions {
  readonly packets: number;
  readonly seed: number;
  /** Called now and then with packets so far. */
  readonly progress?: (packets: number) => void;
}

export interface FuzzSummary {
  readonly packets: number;
  readonly seed: number;
  readonly seconds: number;
  /** Outputs that were read again, and those that did not decode because their input did not. */
  readonly outputs: number;
  readonly outputsOfUnsound: number;
  readonly counts: Readonly<Record<CounterName, number>>;
}

export function fuzz(options: FuzzOptions): FuzzSummary {
  const run = new FuzzRun(options.seed);
  const startedAt = performance.now();
  let reported = 0;
  while (run.packets < options.packets) {
    run.step();
    if (run.packets - reported < 500_000) continue;
    reported = run.packets;
    options.progress?.(reported);
  }
  const counts = Object.fromEntries(COUNTER_INFO.map(({ name }, at) => [name, run.path.counters[at]!]));
  return {
    packets: run.packets,
    seed: options.seed,
    seconds: (performance.now() - startedAt) / 1000,
    outputs: run.outputs,
    outputsOfUnsound: run.outputsOfUnsound,
    counts: counts as Record<CounterName, number>,
  };
}

class FuzzRun {
  readonly path = new Path(fuzzServices(false), { capacity: CAPACITY, batch: BATCH });
  readonly coalescer = new Coalescer(2 * BATCH);
  packets = 0;
  outputs = 0;
  outputsOfUnsound = 0;
  readonly #prng: Prng;
  readonly #templates: BuiltPacket[];
  readonly #inputs: BuiltPacket[] = [];
  /** Random packets are pieces of this. */
  readonly #noise = Buffer.alloc(NOISE_SIZE);
  #steps = 0;
  #down = false;

  constructor(seed: number) {
    this.#prng = new Prng(seed);
    for (let at = 0; at < NOISE_SIZE; at += 4) this.#noise.writeUInt32LE(this.#prng.next(), at);
    this.#templates = Array.from({ length: TEMPLATES }, () => drawTemplate(this.#prng));
  }

  /** One batch. @throws Error with what does not hold, and the packet. */
  step(): void {
    this.#steps++;
    this.#moveOn();
    const { path } = this;
    const { batch } = path;
    batch.reset();
    this.#inputs.length = 0;
    for (let slot = 0; slot < BATCH; slot++) this.#fill(slot, this.#draw());
    batch.rxCount = BATCH;
    const before = path.counters.slice();
    try {
      processBatch(path.state, path.table, path.now);
    } catch (error) {
      throw new Error(`batch ${this.#steps}: ${String(error)}`, { cause: error });
    }
    this.packets += BATCH;
    this.#checkCounters(before);
    for (let slot = 0; slot < BATCH; slot++) this.#checkCanaries(slot);
    for (let at = 0; at < batch.txCount; at++) this.#check(batch.txOffset[at]!, batch.txLength[at]!, true);
    for (let at = 0; at < batch.rawCount; at++)
      this.#check(batch.rawOffset[at]!, batch.rawLength[at]!, false);
    this.#join();
  }

  /** Whatever is on the list, joining takes it and loses none of it (test/property/coalesce.test.ts says what it may join). */
  #join(): void {
    const { batch } = this.path;
    const count = batch.txCount;
    const joined = coalesceOutput(batch, this.coalescer);
    let frames = 0;
    let entries = 0;
    for (; entries < count; entries += batch.txParts[entries]!) frames++;
    if (entries !== count || batch.txCount !== count || frames + joined !== count)
      throw new Error(`batch ${this.#steps}: ${count} packets, ${frames} frames, ${joined} joined`);
  }

  /** Time, generations, expiry, stopping: what changes around the packets. */
  #moveOn(): void {
    const { path } = this;
    const prng = this.#prng;
    path.now = (path.now + prng.below(2)) >>> 0;
    this.#templates[prng.below(TEMPLATES)] = drawTemplate(prng);
    path.state.quiescing = prng.below(50) === 0;
    // Now the table may fill up, now it is emptied.
    if (this.#steps % 1500 > 1000) path.table.expire(path.now, 64);
    else if (this.#steps % 1500 > 960) this.#settleFlows();
    if (this.#steps % 1000 === 0) path.now = (path.now + 40_000) >>> 0;
    if (this.#steps % 40 !== 0) return;
    this.#down = !this.#down;
    path.apply(fuzzServices(this.#down));
  }

  /** All flows that are there have been answered and acknowledged, as random packets hardly do it: a full table then has no room. */
  #settleFlows(): void {
    const { table } = this.path;
    for (let row = 0; row < table.usedRows; row++) {
      const state = table.state(row);
      if (state === STATE_FREE || state === STATE_SESSION) continue;
      if (state !== STATE_UDP) table.setState(row, STATE_ESTABLISHED);
      table.setFlags(row, table.flags(row) | FLAG_REPLIED | FLAG_CLIENT_ACKED | FLAG_ASSURED);
    }
  }

  #draw(): BuiltPacket {
    const prng = this.#prng;
    if (prng.below(2) === 0) return this.#random();
    const template = this.#templates[prng.below(TEMPLATES)]!;
    return prng.below(2) === 0 ? template : this.#mutate(template);
  }

  #random(): BuiltPacket {
    const prng = this.#prng;
    const size = prng.below(4) === 0 ? prng.below(1500) : prng.below(90);
    const from = prng.below(NOISE_SIZE - size);
    const bytes = Buffer.from(this.#noise.subarray(from, from + size));
    if (bytes.length > 0 && prng.below(3) > 0) bytes[0] = prng.below(2) === 0 ? 0x45 : 0x60;
    if (bytes.length > 20 && prng.below(2) === 0) finishHeader(bytes);
    const vnet = Buffer.alloc(12);
    if (prng.below(4) === 0) for (let at = 0; at < 12; at++) vnet[at] = prng.next();
    return { bytes, vnet };
  }

  #mutate(template: BuiltPacket): BuiltPacket {
    const prng = this.#prng;
    let bytes = Buffer.from(template.bytes);
    const vnet = Buffer.from(template.vnet);
    const kind = prng.below(8);
    if (kind === 0) bytes = bytes.subarray(0, prng.below(bytes.length + 1));
    else if (kind === 1) bytes = Buffer.concat([bytes, Buffer.alloc(1 + prng.below(20), prng.next())]);
    else if (kind === 2) vnet[prng.below(12)] = prng.next();
    else {
      const reach = Math.min(bytes.length, prng.below(2) === 0 ? 48 : 128);
      for (let left = 1 + prng.below(3); left > 0; left--) bytes[prng.below(reach)] = prng.next();
    }
    if (prng.below(4) > 0 && bytes.length >= 20 && bytes[0]! >> 4 === 4) sumHeader(bytes);
    return { bytes, vnet };
  }

  /** The packet in its slot, with canaries around it. */
  #fill(slot: number, packet: BuiltPacket): void {
    const { batch } = this.path;
    const offset = batch.rxOffset[slot]!;
    batch.bytes.fill(CANARY, offset - 12 - CANARY_SIZE, offset - 12);
    putPacket(batch.bytes, offset, packet);
    batch.bytes.fill(CANARY, offset + packet.bytes.length, offset + packet.bytes.length + CANARY_SIZE);
    batch.rxLength[slot] = packet.bytes.length;
    this.#inputs.push(packet);
  }

  #checkCanaries(slot: number): void {
    const { bytes, rxOffset } = this.path.batch;
    const offset = rxOffset[slot]!;
    const end = offset + this.#inputs[slot]!.bytes.length;
    for (let at = 0; at < CANARY_SIZE; at++) {
      const intact = bytes[offset - 13 - at] === CANARY && bytes[end + at] === CANARY;
      if (!intact) throw new Error(`written outside of the packet: ${hexOf(this.#inputs[slot]!)}`);
    }
  }

  #checkCounters(before: Float64Array): void {
    let sum = 0;
    for (let at = 0; at < COUNTER_INFO.length; at++)
      if (COUNTER_INFO[at]!.kind !== 'event') sum += this.path.counters[at]! - before[at]!;
    if (sum !== BATCH) throw new Error(`batch ${this.#steps}: ${BATCH} packets, ${sum} verdicts`);
  }

  #check(offset: number, length: number, withVnet: boolean): void {
    const { bytes, vnet } = takePacket(this.path.batch.bytes, offset, length);
    this.outputs++;
    try {
      decodePacket(bytes, withVnet ? vnet : undefined);
    } catch (error) {
      const suspects = this.#inputsOf(offset);
      const unsound = suspects.some((packet) => !isSound(packet));
      if (!unsound) {
        const inputs = suspects.map(hexOf).join('\n  ');
        throw new Error(
          `batch ${this.#steps}: ${String(error)}\n  out ${hexOf({ bytes, vnet })}\n  in ${inputs}`,
        );
      }
      this.outputsOfUnsound++;
    }
  }

  /** Where an output lies says what it was made of: its slot; or, of answers and segments, any of the batch that may be. */
  #inputsOf(offset: number): readonly BuiltPacket[] {
    const slot = Math.floor(offset / SLOT_SIZE);
    if (slot < BATCH) return [this.#inputs[slot]!];
    return this.#inputs.filter(
      ({ vnet, bytes }) => vnet[1] !== 0 || isQuotedBy(this.path.batch.bytes, offset, bytes),
    );
  }
}

/** Whether the answer at `offset` quotes the packet (compared by 20 bytes of it), or is a reset to it. */
function isQuotedBy(arena: Uint8Array, offset: number, packet: Buffer): boolean {
  const header = arena[offset]! >> 4 === 4 ? 20 : 40;
  const quote = Buffer.from(arena.slice(offset + header + 8, offset + header + 28));
  return quote.equals(packet.subarray(0, 20));
}

/** Whether the decoder takes the input, without what was received beyond its end. */
function isSound(packet: BuiltPacket): boolean {
  const { bytes, vnet } = packet;
  if (bytes.length < 20) return false;
  const length = bytes[0]! >> 4 === 4 ? bytes.readUInt16BE(2) : 40 + bytes.readUInt16BE(4);
  try {
    decodePacket(bytes.subarray(0, length), vnet);
    return true;
  } catch {
    return false;
  }
}

function hexOf(packet: BuiltPacket): string {
  return `${packet.vnet.toString('hex')} ${packet.bytes.toString('hex')}`;
}
