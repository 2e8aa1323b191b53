/** `latchway server SERVICE/SERVER`: the weight of one server, taking it out gently, putting it back. */
import { type Command, Option } from 'commander';
import { MAX_WEIGHT } from '../balance/generation.ts';
import { LatchwayError } from '../base/fault.ts';
import type { ServerView } from '../daemon/control/control.ts';
import type { ServerChange } from '../daemon/pool/pool.ts';
import { askDaemon } from './client.ts';
import { socketOf, type ViewOptions, withExamples, withView } from './options.ts';
import { print, printJson } from './output.ts';

interface ServerOptions extends ViewOptions {
  readonly weight?: string;
  readonly drain?: true;
  readonly enable?: true;
}

export function addServer(program: Command): void {
  const command = program
    .command('server')
    .description('change one server at run time; the configuration file stays as it is')
    .argument('<SERVICE/SERVER>', 'as in web/s1')
    .addOption(
      new Option('--weight <N>', `set its weight, 0 to ${MAX_WEIGHT}`).conflicts(['drain', 'enable']),
    )
    .addOption(new Option('--drain', 'no new flows; those that it has go on').conflicts(['enable']))
    .option('--enable', 'end a drain')
    .action(change);
  withExamples(withView(command), [
    ['latchway server web/s1 --drain', 'before maintenance; watch ActiveConn in `latchway servers`'],
    ['latchway server web/s1 --enable', 'afterwards'],
    ['latchway server web/s1 --weight 5', 'five times the flows of a server of weight 1'],
  ]);
}

async function change(name: string, options: ServerOptions): Promise<void> {
  const match = /^([^/]+)\/([^/]+)$/.exec(name);
  if (match === null) throw usage(`'${name}' is no SERVICE/SERVER, as in web/s1`);
  const path = `/servers/${encodeURIComponent(match[1]!)}/${encodeURIComponent(match[2]!)}`;
  const server = await askDaemon<ServerView>(socketOf(options), 'PATCH', path, wanted(options));
  if (options.json) printJson(server);
  else print(describe(server));
}

function wanted({ weight, drain, enable }: ServerOptions): ServerChange {
  if (drain) return { drain };
  if (enable) return { enable };
  if (weight === undefined) throw usage('say what to change: --weight <N>, --drain or --enable');
  if (!/^\d{1,5}$/.test(weight) || Number(weight) > MAX_WEIGHT)
    throw usage(`--weight must be a whole number from 0 to ${MAX_WEIGHT}, not '${weight}'`);
  return { weight: Number(weight) };
}

function usage(detail: string): LatchwayError {
  return new LatchwayError({ code: 'usage', detail: `error: ${detail}` });
}

function describe({ service, server, weight, drained, up, active, inactive }: ServerView): string {
  const drain = drained ? ', drained' : '';
  return `${service}/${server}: weight ${weight}${drain}, ${up ? 'up' : 'down'}, ${active} active and ${inactive} inactive flows`;
}
