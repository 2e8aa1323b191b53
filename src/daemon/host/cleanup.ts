/**
 * Removing what a killed run left on this host, without a configuration: all of it carries its owner (state.ts), and
 * changed sysctls are in the journal.
 *
 * A dispatcher that runs must not lose its routes. It is told by its device: a TUN device of ours lives exactly as long as
 * the process that opened it.
 */

import { LatchwayError } from '../../base/fault.ts';
import { type HostOptions, HostSetup } from './apply.ts';
import { requireTool } from './command.ts';
import { isPrivileged } from './faults.ts';
import { JOURNAL_DIRECTORY, journalPath, readJournal } from './journal.ts';
import { readOwnState, readOwnTables } from './read.ts';
import type { HostState } from './state.ts';
import { readSysctl, type SysctlChange } from './sysctl.ts';

export interface Cleanup {
  /** How many were removed. */
  readonly routes: number;
  readonly rules: number;
  /** Names of nftables tables that were removed. */
  readonly tables: readonly string[];
  /** Put back to `from`. */
  readonly sysctls: readonly SysctlChange[];
  /** Not put back, since somebody changed them meanwhile. */
  readonly left: readonly SysctlChange[];
}

/**
 * Removes what is ours in this network namespace.
 * @param device the name that a dispatcher's device has here, in case it has no routes yet.
 * @throws not-root, host-conflict when a dispatcher runs, host-command when something could not be removed
 */
export async function cleanUpHost(device: string, options: HostOptions = {}): Promise<Cleanup> {
  if (!isPrivileged()) throw new LatchwayError({ code: 'not-root' });
  const state = await readOwnState();
  const running = await runningDevice(device, state);
  if (running !== undefined) {
    const what = `a dispatcher runs on this host with device ${running}`;
    throw new LatchwayError({ code: 'host-conflict', what, remedy: 'stop it; it cleans up itself' });
  }
  const tables = await readOwnTables();
  const noted = readJournal(journalPath(options.journalDirectory ?? JOURNAL_DIRECTORY));
  const changed = noted.filter((change) => readSysctl(change.key) === change.to);
  const left = await new HostSetup(options).stop();
  const sysctls = changed.filter((change) => readSysctl(change.key) === change.from);
  return { routes: state.routes.length, rules: state.rules.length, tables, sysctls, left };
}

/** The TUN device that is named, or that routes or rules of ours name; undefined when there is none any more. */
async function runningDevice(device: string, own: HostState): Promise<string | undefined> {
  const named = [device, ...own.routes.map((one) => one.device), ...own.rules.map((one) => one.iif)];
  const text = await requireTool('ip', ['-j', 'link', 'show', 'type', 'tun']);
  const links = JSON.parse(text || '[]') as readonly { readonly ifname?: string }[];
  return links.find((link) => link.ifname !== undefined && named.includes(link.ifname))?.ifname;
}
