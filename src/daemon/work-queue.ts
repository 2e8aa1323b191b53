/** Work that must be done one after the other, and can be closed: what waits then is refused, what runs is waited for. */
import { LatchwayError } from '../base/fault.ts';

export class WorkQueue {
  #last: Promise<unknown> = Promise.resolve();
  #closed = false;

  /**
   * Does `work` when all before it is done, whether that succeeded or not.
   * @throws LatchwayError daemon-refused when the queue is closed by then, and what `work` throws
   */
  add<Result>(work: () => Result | Promise<Result>): Promise<Result> {
    const result = this.#last.then(() => {
      if (this.#closed) throw new LatchwayError({ code: 'daemon-refused', detail: 'the daemon is stopping' });
      return work();
    });
    this.#last = result.catch(() => undefined);
    return result;
  }

  /** Refuses all work that has not begun, and waits for what has. */
  async close(): Promise<void> {
    this.#closed = true;
    await this.#last;
  }
}
