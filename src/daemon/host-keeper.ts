/** The host set-up in the daemon's words: from configuration and pool to `HostSetup`, with what it reports in the log and in `status`. */
import type { Config } from './config.ts';
import { hostInput, hostServer } from './config-host.ts';
import { HostSetup } from './host-apply.ts';
import type { HostInput } from './host-plan.ts';
import type { SysctlChange } from './host-sysctl.ts';
import type { Log } from './log.ts';
import type { Pool } from './pool.ts';

export class HostKeeper {
  /** Of the last set-up, for `status`. */
  warnings: readonly string[] = [];
  readonly #setup = new HostSetup();
  readonly #log: Log;

  constructor(log: Log) {
    this.#log = log;
  }

  /** Sysctls that are changed now. */
  get changed(): readonly SysctlChange[] {
    return this.#setup.changed;
  }

  /** Sets up, or changes what is set up. @throws LatchwayError host-command; then everything is as it was before */
  async apply(config: Config, pool: Pool): Promise<void> {
    const report = await this.#setup.apply(inputOf(config, pool));
    for (const change of report.changed) this.#log.info({ ...change }, 'host value changed');
    for (const warning of report.warnings) this.#log.warn(warning);
    if (report.leftovers) this.#log.info('took over routes and rules that an earlier run left');
    this.warnings = report.warnings;
  }

  /** Puts back what somebody removed. @throws LatchwayError host-command */
  async repair(): Promise<void> {
    const report = await this.#setup.repair();
    if (report !== undefined && report.added > 0)
      this.#log.warn({ added: report.added }, 'routes or rules of ours were removed by somebody; put back');
  }

  /** Puts the host back, or leaves what keeps replies from leaking (`hold`). Faults are logged. */
  async stop(hold: boolean): Promise<void> {
    if (hold) return this.#log.info('held: what keeps replies from leaking stays for the next start');
    try {
      for (const left of await this.#setup.stop())
        this.#log.warn({ ...left }, 'somebody changed this value meanwhile: left alone');
    } catch (error) {
      this.#log.error({ error: String(error) }, 'the host could not be put back entirely');
    }
  }
}

/** What the configuration says, and servers that left it but still have flows. */
function inputOf(config: Config, pool: Pool): HostInput {
  const input = hostInput(config);
  const leaving = pool.services.flatMap((service) =>
    service.servers
      .filter((server) => server.leaving)
      .map((server) => hostServer(service.config, server.config)),
  );
  return { ...input, servers: [...input.servers, ...leaving] };
}
