/**
 * Counters that an operator should hear of without looking: when one grows, a line in the log says what it means, at most once a minute each.
 */
import { COUNTER_INFO, type CounterName } from '../base/counters.ts';
import type { Log } from './log.ts';

const REPEAT_MS = 60_000;

const WATCHED: readonly CounterName[] = [
  'client-on-server-subnet',
  'drop-no-server',
  'drop-table-full',
  'drop-reply-taken',
  'drop-device-full',
  'drop-ring-full',
  'drop-write',
  'lock-granted-by-timeout',
  'conflict',
  'cluster-datagrams-lost',
  'cluster-refused-seal',
];

export class CounterWatch {
  readonly #log: Log;
  readonly #last = new Map<CounterName, { readonly value: number; readonly saidAtMs: number }>();

  constructor(log: Log) {
    this.#log = log;
  }

  /** @param now any monotonic ms. */
  look(counters: Readonly<Record<CounterName, number>>, now: number): void {
    for (const name of WATCHED) {
      const value = counters[name];
      const last = this.#last.get(name);
      if (value === (last?.value ?? 0) || (last !== undefined && now - last.saidAtMs < REPEAT_MS)) continue;
      this.#last.set(name, { value, saidAtMs: now });
      const help = COUNTER_INFO.find((info) => info.name === name)?.help;
      this.#log.warn({ counter: name, more: value - (last?.value ?? 0), total: value }, help);
    }
  }
}
