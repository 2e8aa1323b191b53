/**
 * Servers that a reload has added take no new flows until every dispatcher that is heard runs the same configuration.
 *
 * One that does not know a server holds none of its replies back: they would pass it as any gateway, with the server's
 * address, and clients answer that with a reset. A dispatcher that never rereads its file must not keep a server out for
 * ever: after MAX_WAIT_MS it is used all the same, and the log says who does not know it. Where a service has no other
 * server, it is used at once (pool/generation.ts).
 */
import type { Log } from '../log.ts';
import type { Pool } from '../pool/pool.ts';
import type { ClusterSide } from './cluster-side.ts';

const MAX_WAIT_MS = 60_000;

export class FreshServers {
  readonly #pool: Pick<Pool, 'fresh'>;
  readonly #cluster: Pick<ClusterSide, 'drifting'>;
  readonly #settle: (known: readonly number[]) => Promise<void>;
  readonly #log: Pick<Log, 'warn'>;
  /** Since when there are any, monotonic ms. */
  #since: number | undefined;
  #looking = false;

  /** @param options.settle makes these servers, by index, ones like the others */
  constructor(options: {
    readonly pool: Pick<Pool, 'fresh'>;
    readonly cluster: Pick<ClusterSide, 'drifting'>;
    readonly settle: (known: readonly number[]) => Promise<void>;
    readonly log: Pick<Log, 'warn'>;
  }) {
    this.#pool = options.pool;
    this.#cluster = options.cluster;
    this.#settle = options.settle;
    this.#log = options.log;
  }

  /** Looks whether those that wait may take flows now. @param now monotonic ms */
  async look(now: number): Promise<void> {
    const { fresh } = this.#pool;
    if (fresh.length === 0) this.#since = undefined;
    if (this.#looking || fresh.length === 0) return;
    this.#since ??= now;
    this.#looking = true;
    try {
      const drifting = await this.#cluster.drifting();
      const late = drifting.length > 0 && now - this.#since >= MAX_WAIT_MS;
      if (late)
        this.#log.warn(
          { dispatchers: drifting },
          'added servers are used, and not all dispatchers know them',
        );
      if (drifting.length === 0 || late) await this.#settle(fresh);
    } catch {
      // It is stopping.
    } finally {
      this.#looking = false;
    }
  }
}
