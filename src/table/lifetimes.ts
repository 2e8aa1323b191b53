/**
 * Time-outs by service and state, in the writer's own memory.
 *
 * Shape: eight words a service, indexed by state; a service that was never set has the defaults. A removed service is
 * a mark, not a loop over its rows: the expiry cursor does that in its own steps.
 */

import {
  FLAG_ASSURED,
  FLAG_CLIENT_ACKED,
  MAX_IDLE_MS,
  STATE_CLOSING,
  STATE_ESTABLISHED,
  STATE_FREE,
  STATE_OPENING,
  STATE_SESSION,
  STATE_UDP,
} from './flow-row.ts';

/** Words of time-outs a service; the states index them. */
export const TIMEOUT_WORDS = 8;

/** What `setTimeouts` takes, from the five durations of a service in ms. */
export function timeoutsByState(durations: {
  readonly tcpEstablished: number;
  readonly tcpOpening: number;
  readonly tcpClosing: number;
  readonly udp: number;
  readonly client: number;
}): Uint32Array {
  const words = new Uint32Array(TIMEOUT_WORDS);
  words[STATE_ESTABLISHED] = Math.min(durations.tcpEstablished, MAX_IDLE_MS);
  words[STATE_OPENING] = Math.min(durations.tcpOpening, MAX_IDLE_MS);
  words[STATE_CLOSING] = Math.min(durations.tcpClosing, MAX_IDLE_MS);
  words[STATE_UDP] = Math.min(durations.udp, MAX_IDLE_MS);
  words[STATE_SESSION] = Math.min(durations.client, MAX_IDLE_MS);
  return words;
}

/** 15 min established, 30 s opening and closing, 2 min UDP, 15 min client. */
export const DEFAULT_TIMEOUTS: Uint32Array = timeoutsByState({
  tcpEstablished: 900_000,
  tcpOpening: 30_000,
  tcpClosing: 30_000,
  udp: 120_000,
  client: 900_000,
});

/**
 * Whether an entry may be given up for a new flow when the table is full: closing, or not assured; a session only while no flow
 * holds it.
 */
export function isExpendable(state: number, flags: number, holds: number): boolean {
  if (state === STATE_FREE) return false;
  if (state === STATE_SESSION && holds > 0) return false;
  return state === STATE_CLOSING || (flags & FLAG_ASSURED) === 0;
}

export class TimeoutTable {
  #words = new Uint32Array(0);
  #removed = new Uint8Array(0);

  /** @param timeoutsMs by state, at least STATE_COUNT of them. */
  set(service: number, timeoutsMs: Uint32Array): void {
    this.#reach(service);
    this.#words.set(timeoutsMs.subarray(0, TIMEOUT_WORDS), service * TIMEOUT_WORDS);
    this.#removed[service] = 0;
  }

  remove(service: number): void {
    this.#reach(service);
    this.#removed[service] = 1;
  }

  isRemoved(service: number): boolean {
    return service < this.#removed.length && this.#removed[service] === 1;
  }

  /** Time-out in ms. Allocates nothing, never throws. */
  of(service: number, state: number): number {
    return service < this.#removed.length
      ? this.#words[service * TIMEOUT_WORDS + state]!
      : DEFAULT_TIMEOUTS[state]!;
  }

  /** Time-out in ms of a session: as an opening flow's until a flow of it was established. Allocates nothing, never throws. */
  ofSession(service: number, flags: number): number {
    const whole = this.of(service, STATE_SESSION);
    return (flags & FLAG_CLIENT_ACKED) !== 0 ? whole : Math.min(whole, this.of(service, STATE_OPENING));
  }

  #reach(service: number): void {
    const had = this.#removed.length;
    if (service < had) return;
    const services = 2 ** Math.ceil(Math.log2(service + 1));
    const words = new Uint32Array(services * TIMEOUT_WORDS);
    for (let one = 0; one < services; one++) words.set(DEFAULT_TIMEOUTS, one * TIMEOUT_WORDS);
    words.set(this.#words);
    const removed = new Uint8Array(services);
    removed.set(this.#removed);
    this.#words = words;
    this.#removed = removed;
  }
}
