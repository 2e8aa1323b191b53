/** `latchway cleanup`: removes what a killed run left on this host. */
import type { Command } from 'commander';
import { LatchwayError } from '../base/fault.ts';
import { DEFAULT_DEVICE, MAX_DEVICE_NAME } from '../daemon/config/limits.ts';
import { NAME_PATTERN } from '../daemon/config/node-name.ts';
import type { Cleanup } from '../daemon/host/cleanup.ts';
import { sysctlName } from '../daemon/host/sysctl.ts';
import { withExamples } from './options.ts';
import { print, printJson } from './output.ts';

interface CleanupOptions {
  readonly device: string;
  readonly json?: true;
}

export function addCleanup(program: Command): void {
  const command = program
    .command('cleanup')
    .description(
      'remove routes, rules, nftables table and sysctls that a killed run left on this host; not while one runs',
    )
    .option('--device <NAME>', "the dispatcher's device, if it has another name", DEFAULT_DEVICE)
    .option('--json', 'print JSON')
    .action(async ({ device, json }: CleanupOptions) => {
      if (!NAME_PATTERN.test(device) || device.length > MAX_DEVICE_NAME)
        throw new LatchwayError({
          code: 'usage',
          detail: `error: --device: '${device}' is no name of a device`,
        });
      // Loaded here alone: the other commands start faster without the host set-up.
      const { cleanUpHost } = await import('../daemon/host/cleanup.ts');
      const done = await cleanUpHost(device);
      if (json) printJson(done);
      else print(describeCleanup(done));
    });
  withExamples(command, [
    ['latchway cleanup', 'a killed dispatcher will not be started again here; a next start needs no cleanup'],
    ['latchway cleanup --device lb0', "where the configuration says 'device: { name: lb0 }'"],
  ]);
}

/** What was removed, one line for each kind. */
function describeCleanup({ routes, rules, tables, sysctls, left }: Cleanup): string {
  const lines: string[] = [];
  if (routes + rules > 0) lines.push(`removed ${routes} routes and ${rules} policy rules`);
  for (const table of tables) lines.push(`removed nftables table inet ${table}`);
  for (const { key, from } of sysctls) lines.push(`put back ${sysctlName(key)} = ${from}`);
  for (const { key, from } of left)
    lines.push(`left ${sysctlName(key)} alone: somebody changed it meanwhile (it was ${from})`);
  return lines.length === 0 ? 'nothing to remove' : lines.join('\n');
}
