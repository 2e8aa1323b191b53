/**
 * Health checks: one prober per server, a TCP connect every interval, with hysteresis.
 *
 * A server starts as up, `fall` failures in a row take it down, `rise` successes in a row bring it back (the words of keepalived and
 * HAProxy). Probes of many servers are spread over the interval, and never overlap for one server. The verdict is kept apart from
 * the sockets: `HealthState` is a pure step.
 */
import { connect, type Socket } from 'node:net';

export interface HealthTiming {
  readonly intervalMs: number;
  readonly timeoutMs: number;
  /** Successes in a row that bring a server up; 1 or more. */
  readonly rise: number;
  /** Failures in a row that take it down; 1 or more. */
  readonly fall: number;
}

/** What is known of one server's health; `streak` counts results in a row that contradict `up`. */
export interface HealthState {
  readonly up: boolean;
  readonly streak: number;
}

export const HEALTH_START: HealthState = { up: true, streak: 0 };

/** The state after one more probe result. */
export function healthStep(state: HealthState, timing: HealthTiming, succeeded: boolean): HealthState {
  if (succeeded === state.up) return { up: state.up, streak: 0 };
  const streak = state.streak + 1;
  const needed = state.up ? timing.fall : timing.rise;
  return streak >= needed ? { up: !state.up, streak: 0 } : { up: state.up, streak };
}

export interface ProbeTarget {
  readonly host: string;
  readonly port: number;
}

/** What keeps a probe from being made says nothing of the server: no descriptor, memory or port to spare on this host. */
const NO_VERDICT: ReadonlySet<string> = new Set([
  'EMFILE',
  'ENFILE',
  'ENOMEM',
  'ENOBUFS',
  'EAGAIN',
  'EADDRNOTAVAIL',
]);

/** Called when a server changes between up and down, with the reason of the last probe. */
export type HealthChange = (up: boolean, detail: string) => void;

/** Probes one server until stopped. */
export class Prober {
  readonly #target: ProbeTarget;
  readonly #timing: HealthTiming;
  readonly #onChange: HealthChange;
  #state: HealthState;
  #timer: NodeJS.Timeout | undefined;
  #socket: Socket | undefined;

  /** @param phaseMs delay of the first probe, so that many servers are not probed in one instant. */
  constructor(
    target: ProbeTarget,
    timing: HealthTiming,
    phaseMs: number,
    onChange: HealthChange,
    start: HealthState = HEALTH_START,
  ) {
    this.#target = target;
    this.#timing = timing;
    this.#onChange = onChange;
    this.#state = start;
    this.#timer = setTimeout(() => this.#probe(), phaseMs);
  }

  get state(): HealthState {
    return this.#state;
  }

  stop(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#socket?.destroy();
    this.#socket = undefined;
  }

  #probe(): void {
    const startedAt = performance.now();
    const socket = connect({ host: this.#target.host, port: this.#target.port });
    this.#socket = socket;
    let settled = false;
    const settle = (succeeded: boolean | undefined, detail: string): void => {
      if (settled || this.#socket !== socket) return;
      settled = true;
      socket.destroy();
      this.#socket = undefined;
      if (succeeded !== undefined) this.#conclude(succeeded, detail);
      const next = Math.max(0, this.#timing.intervalMs - (performance.now() - startedAt));
      this.#timer = setTimeout(() => this.#probe(), next);
    };
    socket.setTimeout(this.#timing.timeoutMs, () => settle(false, 'time-out'));
    socket.on('connect', () => settle(true, 'connected'));
    socket.on('error', ({ code, message }: NodeJS.ErrnoException) =>
      settle(NO_VERDICT.has(code ?? '') ? undefined : false, code ?? message),
    );
  }

  #conclude(succeeded: boolean, detail: string): void {
    const before = this.#state.up;
    this.#state = healthStep(this.#state, this.#timing, succeeded);
    if (this.#state.up !== before) this.#onChange(this.#state.up, detail);
  }
}
