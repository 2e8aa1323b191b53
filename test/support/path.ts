/**
 * A packet path for tests: batch, table, services, balancer and counters put together as a thread does it, driven by built
 * packets, with every output read again by the independent decoder.
 *
 * `run` checks what must hold for each batch whatever is in it: each packet ends in one verdict or drop, and what leaves decodes.
 */
import { Balancer } from '../../src/balance/balancer.ts';
import type { Generation, ServiceSpec } from '../../src/balance/generation.ts';
import { ServiceTable } from '../../src/balance/service-table.ts';
import { COUNTER_INFO, type CounterName, counterRow, createCounters } from '../../src/base/counters.ts';
import { processBatch } from '../../src/forward/packet-path.ts';
import { PathState } from '../../src/forward/path-state.ts';
import { followReleases } from '../../src/forward/release.ts';
import { DispatchTable } from '../../src/table/dispatch-table.ts';
import { timeoutsByState } from '../../src/table/lifetimes.ts';
import { Batch } from '../../src/wire/batch.ts';
import { type Decoded, type DecodeOptions, decodePacket } from './decode.ts';
import { type BuiltPacket, putPacket, takePacket } from './packets.ts';
import { makeGeneration } from './services.ts';
import { SEED } from './table.ts';

/** What a batch did to the counters: those that moved, by how much. */
export type Counts = Partial<Record<CounterName, number>>;

export interface Output extends BuiltPacket {
  readonly decoded: Decoded;
  /** Server index, for packets of the raw list; undefined for those of the device. */
  readonly server: number | undefined;
}

export interface Outcome {
  readonly counts: Counts;
  /** The one verdict or drop of a batch of one; with more packets, those that moved. */
  readonly verdicts: readonly CounterName[];
  readonly sent: readonly Output[];
}

const EVENTS_OF_EVERY_PACKET: ReadonlySet<string> = new Set(['rx-packets', 'rx-bytes']);

export class Path {
  readonly batch: Batch;
  readonly table: DispatchTable;
  readonly counters: Float64Array = counterRow(createCounters(1), 0);
  readonly state: PathState;
  /** Monotonic ms of the next batch. */
  now = 1_000_000;
  #generation = 0;

  constructor(services: readonly ServiceSpec[], options: { capacity?: number; batch?: number } = {}) {
    this.batch = new Batch(options.batch ?? 8);
    this.table = DispatchTable.create(options.capacity ?? 64, { seed: SEED });
    const generation = makeGeneration(services);
    this.state = new PathState({
      batch: this.batch,
      table: this.table,
      services: new ServiceTable(generation),
      balancer: new Balancer(this.table, [1, 2], 3),
      counters: this.counters,
    });
    followReleases(this.state, this.table);
    this.apply(services);
  }

  /** Swaps in other services. */
  apply(services: readonly ServiceSpec[]): void {
    this.#generation++;
    const generation: Generation = makeGeneration(services, this.#generation);
    this.state.services = new ServiceTable(generation);
    this.state.balancer.apply(generation);
    for (const service of services)
      this.table.setTimeouts(service.index, timeoutsByState(service.timeoutsMs));
  }

  /** Runs packets as one batch. @throws Error when an output does not decode, or a packet has not one verdict. */
  run(packets: BuiltPacket | readonly BuiltPacket[], options: DecodeOptions = {}): Outcome {
    const list: readonly BuiltPacket[] = 'bytes' in packets ? [packets] : packets;
    const before = this.counters.slice();
    this.load(list);
    processBatch(this.state, this.table, this.now);
    const counts = this.countsSince(before);
    const sent = this.outputs(options);
    this.checkVerdicts(counts, list.length);
    const verdicts = COUNTER_INFO.filter(({ kind, name }) => kind !== 'event' && counts[name] !== undefined);
    return { counts, verdicts: verdicts.map(({ name }) => name), sent };
  }

  /** Puts packets into the rx slots of an emptied batch. */
  load(packets: readonly BuiltPacket[]): void {
    const { batch } = this;
    batch.reset();
    for (const packet of packets) {
      const slot = batch.rxCount++;
      putPacket(batch.bytes, batch.rxOffset[slot]!, packet);
      batch.rxLength[slot] = packet.bytes.length;
    }
  }

  countsSince(before: Float64Array): Counts {
    const counts: Counts = {};
    for (const [index, { name }] of COUNTER_INFO.entries()) {
      const moved = this.counters[index]! - before[index]!;
      if (moved !== 0 && !EVENTS_OF_EVERY_PACKET.has(name)) counts[name] = moved;
    }
    return counts;
  }

  /** Both output lists, each packet decoded. */
  outputs(options: DecodeOptions = {}): Output[] {
    const { batch } = this;
    const sent: Output[] = [];
    for (let at = 0; at < batch.txCount; at++) {
      const packet = takePacket(batch.bytes, batch.txOffset[at]!, batch.txLength[at]!);
      sent.push({ ...packet, decoded: decodePacket(packet.bytes, packet.vnet, options), server: undefined });
    }
    for (let at = 0; at < batch.rawCount; at++) {
      const packet = takePacket(batch.bytes, batch.rawOffset[at]!, batch.rawLength[at]!);
      const server = batch.rawServer[at]!;
      sent.push({ ...packet, decoded: decodePacket(packet.bytes, undefined, options), server });
    }
    return sent;
  }

  checkVerdicts(counts: Counts, packets: number): void {
    let sum = 0;
    for (const { kind, name } of COUNTER_INFO) if (kind !== 'event') sum += counts[name] ?? 0;
    if (sum !== packets) throw new Error(`${packets} packets, ${sum} verdicts: ${JSON.stringify(counts)}`);
  }
}
