/**
 * Waiting: one native poll over all descriptors of a thread, and an eventfd by which another thread ends the wait.
 *
 * A thread that waits here does not run its event loop: messages to it are read by `receiveMessageOnPort` after a wake.
 * The order for sending is therefore: postMessage, then wake. A wake before the wait is kept, so none is lost.
 */
import type { Native } from './native.ts';
import { checkCall, loadNative, opening } from './native.ts';

/** An eventfd: a number that any thread of the process may use. The caller owns it. @throws LatchwayError system-call */
export function openEvent(): number {
  const native = loadNative();
  return opening(() => native.eventOpen());
}

/** Wakes the thread that polls this eventfd, now or when it next waits. @throws LatchwayError system-call (not open) */
export function wakeEvent(event: number): void {
  checkCall('eventfd write', loadNative().eventWake(event));
}

/** Waits on a fixed list of descriptors; belongs to one thread. */
export class Poller {
  /** What was ready after the last `wait`: bits of POLL (native.ts), by the place of the descriptor in the list. */
  readonly ready: Int32Array;
  readonly #native: Native;
  readonly #fds: Int32Array;
  readonly #event: number;

  /**
   * @param event eventfd that wakes; drained by each wait that saw it.
   * @param descriptors what else to wait on, at most 63; negative ones are skipped.
   * @throws LatchwayError system-call when the list is too long
   */
  constructor(event: number, descriptors: readonly number[]) {
    this.#native = loadNative();
    this.#event = event;
    this.#fds = Int32Array.from([...descriptors, event]);
    this.ready = new Int32Array(this.#fds.length);
    checkCall('poll', this.#native.poll(this.#fds, this.ready, 0));
  }

  /**
   * Blocks until a descriptor is ready, a wake comes, or time runs out.
   * @param timeoutMs -1 for ever, 0 not at all.
   * @param spinUs looks for so long before it sleeps; default 0.
   * @returns true when it was woken. Allocates nothing, never throws.
   */
  wait(timeoutMs: number, spinUs = 0): boolean {
    const count = this.#native.poll(this.#fds, this.ready, timeoutMs, spinUs);
    if (count <= 0 || this.ready[this.#fds.length - 1] === 0) return false;
    return this.#native.eventDrain(this.#event) === 1;
  }
}
