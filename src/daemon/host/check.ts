/**
 * `check --host`: what a start on this host would say, without changing anything.
 */

import { describeFault, LatchwayError } from '../../base/fault.ts';
import { hostFaults } from './faults.ts';
import type { HostInput } from './plan.ts';
import { readOwnState } from './read.ts';
import { hostWarnings } from './warnings.ts';

export interface HostFindings {
  /** `run` would stop with these. */
  readonly errors: readonly string[];
  /** `run` would start; these are likely to break traffic, or tell what it would change. */
  readonly warnings: readonly string[];
}

/** Faults and warnings as sentences, one line each. Does not throw for what it finds. */
export async function checkHost(input: HostInput): Promise<HostFindings> {
  const errors: string[] = [];
  const warnings: string[] = [];
  const running = await isRunning(input.device);
  for (const fault of await hostFaults(input)) {
    if (running && fault.code === 'device-taken')
      warnings.push(
        `a dispatcher runs on this host with device ${input.device}: it would have to stop first`,
      );
    else errors.push(describeFault(fault));
  }
  try {
    warnings.push(...(await hostWarnings(input)));
  } catch (error) {
    if (!(error instanceof LatchwayError)) throw error;
    if (!errors.includes(error.message)) errors.push(error.message);
  }
  return { errors, warnings };
}

/** Whether routes of ours lead to the device, which they only do while its process lives. */
async function isRunning(device: string): Promise<boolean> {
  try {
    return (await readOwnState()).routes.some((route) => route.device === device);
  } catch {
    return false;
  }
}
