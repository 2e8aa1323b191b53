/** The host set-up in the daemon's words: from configuration and pool to `HostSetup`, with what it reports in the log and in `status`. */
import { LatchwayError } from '../../base/fault.ts';
import type { Config } from '../config/config.ts';
import type { Log } from '../log.ts';
import type { ServiceRecord } from '../pool/records.ts';
import { HostSetup } from './apply.ts';
import { configFaults } from './faults.ts';
import { hostInput, hostServer } from './input.ts';
import type { HostInput } from './plan.ts';
import type { SysctlChange } from './sysctl.ts';

export class HostKeeper {
  /** Of the last set-up, for `status`. */
  warnings: readonly string[] = [];
  readonly #setup = new HostSetup();
  #touched = false;
  readonly #log: Log;

  constructor(log: Log) {
    this.#log = log;
  }

  /** Sysctls that are changed now. */
  get changed(): readonly SysctlChange[] {
    return this.#setup.changed;
  }

  /** Whether this run found, and has made its own, what an earlier one had left. */
  get tookOver(): boolean {
    return this.#setup.tookOver;
  }

  /** Sets up, or changes what is set up. @throws LatchwayError host-command; then everything is as it was before */
  async apply(config: Config, services: readonly ServiceRecord[]): Promise<void> {
    this.#touched = true;
    const report = await this.#setup.apply(inputOf(config, services));
    for (const change of report.changed) this.#log.info({ ...change }, 'host value changed');
    for (const warning of report.warnings) this.#log.warn(warning);
    if (report.leftovers) this.#log.info('took over routes and rules that an earlier run left');
    this.warnings = report.warnings;
  }

  /** @throws LatchwayError when the host cannot do what a new configuration asks for */
  async check(config: Config, services: readonly ServiceRecord[]): Promise<void> {
    const [first] = await configFaults(inputOf(config, services));
    if (first !== undefined) throw new LatchwayError(first);
  }

  /** Puts back what somebody removed. @throws LatchwayError host-command */
  async repair(): Promise<void> {
    const report = await this.#setup.repair();
    if (report !== undefined && report.added > 0)
      this.#log.warn({ added: report.added }, 'routes or rules of ours were removed by somebody; put back');
  }

  /**
   * Puts the host back, or leaves what keeps replies from leaking (`hold`). A host that was never set up is left as it is. Faults are logged.
   * @returns whether nothing of ours was left that should not be.
   */
  async stop(hold: boolean): Promise<boolean> {
    if (!this.#touched) return true;
    if (hold) {
      this.#log.info('held: what keeps replies from leaking stays for the next start');
      return true;
    }
    try {
      for (const left of await this.#setup.stop())
        this.#log.warn({ ...left }, 'somebody changed this value meanwhile: left alone');
      return true;
    } catch (error) {
      this.#log.error(
        { error: String(error) },
        'the host could not be put back entirely: see latchway cleanup',
      );
      return false;
    }
  }
}

/** What the configuration says, and servers that left it but still have flows. */
function inputOf(config: Config, services: readonly ServiceRecord[]): HostInput {
  const input = hostInput(config);
  const leaving = services.flatMap((service) =>
    service.servers
      .filter((server) => server.leaving)
      .map((server) => hostServer(service.config, server.config)),
  );
  return { ...input, servers: [...input.servers, ...leaving] };
}
