/**
 * Brings the host to its plan, and back: the one class that changes routes, rules, the nftables table and sysctls.
 *
 * Each change of plan is one reconciliation: read what is ours, place what is missing, remove what is too much. The
 * same code therefore sets up, takes over what a killed run left, reloads, repairs and undoes. Order within one:
 *
 *   1. device: MTU, queue length, address, sysctls         4. nftables table, replaced in one transaction
 *   2. twins, reply tables                                 5. forwarding on the other interfaces
 *   3. rules                                               6. VIP routes; then what is too much, twins last
 *
 * Invariant: while a reply could be forwarded, either the rules take it to the device or a twin swallows it.
 * Stopping goes the other way: VIP routes, forwarding back to what it was, rules, tables, twins.
 */

import { LatchwayError } from '../../base/fault.ts';
import { ipBatch, requireTool, runTool, ToolTimeout } from './command.ts';
import { setUpDevice } from './device.ts';
import { diffHost, type HostSteps } from './diff.ts';
import { JOURNAL_DIRECTORY, journalPath, readJournal, removeJournal, writeJournal } from './journal.ts';
import { readLinks } from './links.ts';
import { nftRemoval } from './nft.ts';
import { type HostInput, type HostPlan, planHost } from './plan.ts';
import { advertisedInterfaces, readAbilities, readOwnState, readOwnTables } from './read.ts';
import { countSocketsOn } from './sockets.ts';
import { type HostState, MAIN_TABLE } from './state.ts';
import {
  changeOf,
  forwardingWishes,
  interfaceOf,
  putBack,
  type SysctlChange,
  type SysctlWish,
  writeSysctl,
} from './sysctl.ts';

const NOTHING: HostState = { routes: [], rules: [] };

export interface HostOptions {
  /** Folder of the sysctl journal; default /run/latchway. */
  readonly journalDirectory?: string;
  /** `never`: as if nftables were not installed. */
  readonly nft?: 'auto' | 'never';
  /** `global`: switch IPv6 forwarding on as kernels before 6.17 need it. */
  readonly ipv6Forwarding?: 'auto' | 'global';
}

export interface HostReport {
  /** Global and other interfaces' sysctls that are changed now, in order of change. */
  readonly changed: readonly SysctlChange[];
  readonly warnings: readonly string[];
  /** Routes and rules placed and removed by this call. */
  readonly added: number;
  readonly removed: number;
  /** Whether something of an earlier run was found (and taken over, or cleared). */
  readonly leftovers: boolean;
  /** Whether an nftables set stands for the reply rules. */
  readonly aggregated: boolean;
}

/** The host's state as far as the dispatcher owns it. Calls run one after the other, whoever makes them. */
export class HostSetup {
  readonly #options: HostOptions;
  readonly #journal: string;
  #plan: HostPlan | undefined;
  #changed: SysctlChange[] = [];
  /**
   * Keys that were looked at, with the number of their interface: an administrator who resets one while the daemon runs is not fought, but an
   * interface that was made anew has the kernel's values again.
   */
  readonly #settled = new Set<string>();
  /** Whether an earlier run had left something when this one came. */
  #tookOver = false;
  #nftText: string | undefined;
  #last: Promise<unknown> = Promise.resolve();

  constructor(options: HostOptions = {}) {
    this.#options = options;
    this.#journal = journalPath(options.journalDirectory ?? JOURNAL_DIRECTORY);
  }

  /** Whether an earlier run had left something when this one came. */
  get tookOver(): boolean {
    return this.#tookOver;
  }

  /** Sysctls that are changed now, for `status`. */
  get changed(): readonly SysctlChange[] {
    return this.#changed;
  }

  /**
   * Sets up, or changes what is set up to another plan. The device has to exist. On a fault everything goes back to
   * the plan before; on the first call to what was found, if that was nothing of ours. What an earlier run left is not taken away: it keeps
   * replies of servers from leaking, and the next start takes it over.
   * @throws host-command
   */
  apply(input: HostInput): Promise<HostReport> {
    return this.#enqueue(() => this.#apply(input));
  }

  /**
   * Puts back what somebody removed from the present plan, and switches forwarding on for interfaces that are new.
   * @returns the same as `apply`; nothing was wrong when `added` and `removed` are 0.
   * @throws host-command
   */
  repair(): Promise<HostReport | undefined> {
    return this.#enqueue(async () => (this.#plan === undefined ? undefined : this.#apply(this.#plan.input)));
  }

  /**
   * Removes everything of ours, also what a killed run left, and puts sysctls back. A failing step is tried once more, and
   * the other steps are done all the same.
   * @returns the changed sysctls that were left alone, since somebody changed them meanwhile.
   * @throws host-command at the end: what failed first, and in its detail what else did.
   */
  stop(): Promise<readonly SysctlChange[]> {
    return this.#enqueue(() => this.#stop());
  }

  #enqueue<Result>(work: () => Promise<Result>): Promise<Result> {
    const result = this.#last.then(work);
    this.#last = result.catch(() => {});
    return result;
  }

  async #apply(input: HostInput): Promise<HostReport> {
    const before = this.#plan;
    try {
      if (before === undefined) this.#tookOver = isAnything(await readOwnState());
      return await this.#reconcile(await this.#choosePlan(input));
    } catch (error) {
      // What failed first is what matters; the way back does its best.
      if (before === undefined) await (this.#tookOver ? undefined : this.#stop().catch(() => {}));
      else await this.#reconcile(before).catch(() => {});
      throw error;
    }
  }

  /** Plans with nftables if the kernel takes the very text; without it otherwise. */
  async #choosePlan(input: HostInput): Promise<HostPlan> {
    const abilities = await readAbilities();
    const nft = abilities.nft && this.#options.nft !== 'never';
    const plan = planHost(input, { ...abilities, nft });
    if (plan.nft === undefined) return plan;
    const checked = await runTool('nft', ['-c', '-f', '-'], plan.nft);
    if (checked.status === 0) return plan;
    const without = planHost(input, { ...abilities, nft: false });
    const said = checked.stderr.split('\n')[0]!.trim();
    return { ...without, warnings: [...without.warnings, `nftables is there but refuses: ${said}`] };
  }

  async #reconcile(plan: HostPlan): Promise<HostReport> {
    const current = await readOwnState();
    const first = this.#plan === undefined;
    const leftovers = first && this.#tookOver;
    if (first) this.#changed = leftovers ? readJournal(this.#journal) : [];
    const steps = diffHost(current, plan.state);
    if (first || steps.added > 0) await setUpDevice(plan);
    await this.#runBatches(steps.prepare);
    await this.#replaceTables(plan, first);
    const warnings = [...plan.warnings, ...(await this.#changeSysctls(plan))];
    await this.#runBatches(steps.finish);
    this.#plan = plan;
    const { added, removed } = steps;
    return { changed: this.#changed, warnings, added, removed, leftovers, aggregated: plan.aggregated };
  }

  async #runBatches(lines: HostSteps['prepare']): Promise<void> {
    await ipBatch(4, lines[4]);
    await ipBatch(6, lines[6]);
  }

  /** The new text first, then tables of other names that an earlier run left. */
  async #replaceTables(plan: HostPlan, first: boolean): Promise<void> {
    const there = this.#options.nft === 'never' ? [] : await readOwnTables();
    const missing = plan.nft !== undefined && !there.includes(plan.nftTable);
    const stale = there.filter((name) => name !== plan.nftTable || plan.nft === undefined);
    if (first || missing || stale.length > 0 || plan.nft !== this.#nftText) {
      const text = [plan.nft ?? '', ...stale.map(nftRemoval)].filter((part) => part !== '');
      if (text.length > 0) await requireTool('nft', ['-f', '-'], text);
    }
    this.#nftText = plan.nft;
  }

  /** @returns warnings. Each change is noted on disk before it is made. */
  async #changeSysctls(plan: HostPlan): Promise<string[]> {
    const warnings: string[] = [];
    const advertised = plan.families.includes(6) ? await advertisedInterfaces() : [];
    const ipv6 = this.#options.ipv6Forwarding ?? 'auto';
    const wishes = forwardingWishes(plan.input.device, plan.families, advertised, ipv6);
    const links = new Map((await readLinks()).map(({ name, index }) => [name, index]));
    for (const wish of [...wishes, ...earlyDemuxWish(plan)]) {
      const settled = `${wish.key} ${links.get(interfaceOf(wish.key) ?? '') ?? ''}`;
      const change = this.#settled.has(settled) ? undefined : changeOf(wish);
      this.#settled.add(settled);
      if (change === undefined) continue;
      this.#changed = [...this.#changed.filter((one) => one.key !== change.key), change];
      try {
        writeJournal(this.#journal, this.#changed);
      } catch (error) {
        warnings.push(`changed sysctls cannot be noted, a killed run cannot be undone: ${String(error)}`);
      }
      writeSysctl(change.key, change.to);
    }
    return warnings;
  }

  async #stop(): Promise<readonly SysctlChange[]> {
    const faults: unknown[] = [];
    const attempt = async <Result>(work: () => Result | Promise<Result>): Promise<Result | undefined> => {
      try {
        return await twice(work);
      } catch (error) {
        faults.push(error);
        return undefined;
      }
    };
    const known = this.#plan !== undefined || this.#changed.length > 0;
    const found = (await attempt(readOwnState)) ?? NOTHING;
    const changed = known ? this.#changed : this.#orphans(found);
    await attempt(async () => {
      const current = await readOwnState();
      await this.#runBatches(diffHost(current, withoutVipRoutes(current)).finish);
    });
    const left = await attempt(() => putBack(changed));
    // Each family is tried, and each line of it, also after one that somebody else has removed.
    for (const family of [4, 6] as const)
      await attempt(async () => {
        const rest = diffHost(withoutVipRoutes(await readOwnState()), NOTHING).finish;
        await ipBatch(family, rest[family], 'try all');
      });
    await attempt(() => this.#removeTables());
    // What could not be put back stays noted.
    if (left !== undefined) await attempt(() => removeJournal(this.#journal));
    this.#plan = undefined;
    this.#changed = [];
    this.#settled.clear();
    this.#nftText = undefined;
    if (faults.length > 0) throw oneFault(faults);
    return left ?? [];
  }

  /** Those that are listed, and ours even if listing fails; each is made first, since removing what is not there fails. */
  async #removeTables(): Promise<void> {
    if (this.#options.nft === 'never') return;
    const names = new Set(await readOwnTables());
    if (this.#plan !== undefined && this.#nftText !== undefined) names.add(this.#plan.nftTable);
    if (names.size === 0) return;
    const lines = [...names].flatMap((name) => [`table inet ${name} {}`, nftRemoval(name)]);
    await requireTool('nft', ['-f', '-'], lines);
  }

  /** Changes of a killed run, when stop is called without a set-up before. */
  #orphans(current: HostState): SysctlChange[] {
    return isAnything(current) ? readJournal(this.#journal) : [];
  }
}

function isAnything({ routes, rules }: HostState): boolean {
  return routes.length + rules.length > 0;
}

/** A second try right away: what failed may have been somebody else's change at the same moment. */
async function twice<Result>(work: () => Result | Promise<Result>): Promise<Result> {
  try {
    return await work();
  } catch (error) {
    if (error instanceof ToolTimeout) throw error;
    return await work();
  }
}

/** The first, with what else failed behind it. */
function oneFault(faults: readonly unknown[]): unknown {
  const [first, ...others] = faults;
  if (others.length === 0 || !(first instanceof LatchwayError) || first.fault.code !== 'host-command')
    return first;
  const texts = others.map((one) => (one instanceof Error ? one.message : String(one)));
  const more = [...new Set(texts)].filter((text) => text !== first.message);
  return new LatchwayError({ ...first.fault, detail: [first.fault.detail, ...more].join('; ') });
}

function withoutVipRoutes(state: HostState): HostState {
  const routes = state.routes.filter((route) => route.device === undefined || route.table !== MAIN_TABLE);
  return { routes, rules: state.rules };
}

/**
 * Early demux matches incoming packets with local sockets before routing, and forwarding then refuses them. It is
 * wrong, and switched off, only where sockets on a VIP exist (a proxy ran there; TIME_WAIT lasts a minute).
 */
function earlyDemuxWish(plan: HostPlan): SysctlWish[] {
  const sockets = countSocketsOn(plan.input.vips.map((vip) => vip.address));
  return sockets.size === 0 ? [] : [{ key: 'net/ipv4/ip_early_demux', to: '0' }];
}
