/**
 * Whether all dispatchers that are heard run the same configuration. One that never rereads its file must not hold up the others for ever: after
 * MAX_WAIT_MS it is not waited for.
 */
import type { ClusterSide } from './cluster-side.ts';

const MAX_WAIT_MS = 60_000;

export class Agreement {
  readonly #cluster: Pick<ClusterSide, 'drifting'>;
  /** Since when it is waited for, monotonic ms. */
  #since: number | undefined;

  constructor(cluster: Pick<ClusterSide, 'drifting'>) {
    this.#cluster = cluster;
  }

  /** Nothing waits for it: the next who does begins anew. */
  forget(): void {
    this.#since = undefined;
  }

  /**
   * @param now monotonic ms
   * @returns undefined while it is to be waited for; else those that are not waited for any more, none where all agree
   */
  async reached(now: number): Promise<readonly string[] | undefined> {
    this.#since ??= now;
    const drifting = await this.#cluster.drifting();
    return drifting.length > 0 && now - this.#since < MAX_WAIT_MS ? undefined : drifting;
  }
}
