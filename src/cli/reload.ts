/** `latchway reload`: have the daemon read its configuration again, as SIGHUP does, and hear what it says. */
import type { Command } from 'commander';
import type { ReloadView } from '../daemon/control/control.ts';
import { askDaemon } from './client.ts';
import { socketOf, type ViewOptions, withExamples, withView } from './options.ts';
import { print, printJson } from './output.ts';

export function addReload(program: Command): void {
  const command = program
    .command('reload')
    .description('read the configuration file again; a faulty one changes nothing and its faults are shown')
    .action(async (options: ViewOptions) => {
      const view = await askDaemon<ReloadView>(socketOf(options), 'POST', '/reload');
      if (options.json) return printJson(view);
      const warnings = view.warnings.map((warning) => `\nwarning: ${warning}`).join('');
      print(`generation ${view.generation}, hash ${view.hash.slice(0, 12)}${warnings}`);
    });
  withExamples(withView(command), [
    ['latchway check l.yaml && latchway reload', 'exit code 1 when the file was refused'],
  ]);
}
