/**
 * Servers that a reload has added take no new flows until every dispatcher that is heard runs the same configuration.
 *
 * One that does not know a server holds none of its replies back: they would pass it as any gateway, with the server's
 * address, and clients answer that with a reset. When one has been waited for long enough (agreement.ts) it is used all the
 * same, and the log says who does not know it. Where a service has no other server, it is used at once (pool/generation.ts).
 */
import type { Log } from '../log.ts';
import type { Pool } from '../pool/pool.ts';
import { Agreement } from './agreement.ts';
import type { ClusterSide } from './cluster-side.ts';

export class FreshServers {
  readonly #pool: Pick<Pool, 'fresh'>;
  readonly #agreement: Agreement;
  readonly #settle: (known: readonly number[]) => Promise<void>;
  readonly #log: Pick<Log, 'warn'>;
  #looking = false;

  /** @param options.settle makes these servers, by index, ones like the others */
  constructor(options: {
    readonly pool: Pick<Pool, 'fresh'>;
    readonly cluster: Pick<ClusterSide, 'drifting'>;
    readonly settle: (known: readonly number[]) => Promise<void>;
    readonly log: Pick<Log, 'warn'>;
  }) {
    this.#pool = options.pool;
    this.#agreement = new Agreement(options.cluster);
    this.#settle = options.settle;
    this.#log = options.log;
  }

  /** Looks whether those that wait may take flows now. @param now monotonic ms */
  async look(now: number): Promise<void> {
    const { fresh } = this.#pool;
    if (fresh.length === 0) this.#agreement.forget();
    if (this.#looking || fresh.length === 0) return;
    this.#looking = true;
    try {
      const late = await this.#agreement.reached(now);
      if (late === undefined) return;
      if (late.length > 0)
        this.#log.warn({ dispatchers: late }, 'added servers are used, and not all dispatchers know them');
      await this.#settle(fresh);
    } catch {
      // It is stopping.
    } finally {
      this.#looking = false;
    }
  }
}
