/** `latchway flows`: the entries of the dispatch table, a flow a line as `conntrack -L` prints them, as they come. */
import type { Command } from 'commander';
import { LatchwayError } from '../base/fault.ts';
import type { ClusterFlowView, FlowView, ServerView } from '../daemon/control/control.ts';
import { parseFlowQuery, UNANSWERED_TRAILER } from '../daemon/control/flows.ts';
import { askDaemon, openAnswer, unreachable } from './client.ts';
import { socketOf, type ViewOptions, withExamples, withView } from './options.ts';
import { printStream } from './output.ts';
import { formatSpan } from './status.ts';

interface FlowOptions extends ViewOptions {
  readonly service?: string;
  readonly client?: string;
  readonly server?: string;
  readonly state?: string;
  readonly limit?: string;
  readonly cluster?: true;
}

export function addFlows(program: Command): void {
  const command = program
    .command('flows')
    .description('flows that the dispatcher knows; sessions (affinity: client) with --state session')
    .option('--service <NAME>', 'of this service')
    .option('--client <WHO>', 'of this client: an address, address:port or a prefix')
    .option('--server <NAME>', 'on this server')
    .option('--state <STATE>', 'in this state: opening, established, closing, udp, session')
    .option('--limit <N>', 'at most so many')
    .option('--cluster', 'of all dispatchers, each once: who knows it, and who has something else')
    .action(list);
  withExamples(withView(command), [
    ['latchway flows --client 198.51.100.7', 'where do the flows of this client go?'],
    ['latchway flows --server s1 --state established', 'who is still on s1?'],
    ['latchway flows --json --service web | jq length', 'for scripts'],
    [
      'latchway flows --cluster --client 198.51.100.7',
      'does every dispatcher know them? exit code 1 if one does not answer',
    ],
    [
      `latchway flows --cluster --json | jq '.[] | select(.differs != {})'`,
      'those that they do not agree on',
    ],
  ]);
}

async function list(options: FlowOptions): Promise<void> {
  const socket = socketOf(options);
  const query = new URLSearchParams({ format: options.json ? 'json' : 'ndjson' });
  for (const key of ['service', 'client', 'server', 'state', 'limit'] as const) {
    const value = options[key];
    if (value !== undefined) query.set(key, value);
  }
  if (options.cluster) query.set('cluster', 'true');
  // Judged here too, so that a bad option is wrong usage and not an answer of the daemon.
  parseFlowQuery(query);
  if (options.service !== undefined || options.server !== undefined) await requireNamed(socket, options);
  const answer = await openAnswer(socket, 'GET', `/flows?${query}`);
  try {
    await printStream(
      options.json ? answer : formatLines(answer.setEncoding('utf8'), options.cluster ?? false),
    );
  } catch (error) {
    throw unreachable(socket, `the answer broke off: ${(error as Error).message}`);
  }
  tellUnanswered(answer.trailers[UNANSWERED_TRAILER]);
}

/** What one does not know of cannot be listed: that is no good answer. */
function tellUnanswered(trailer: string | undefined): void {
  const silent = Object.entries(JSON.parse(trailer ?? '{}') as Record<string, string>);
  for (const [name, why] of silent) process.stderr.write(`${name} does not answer: ${why}\n`);
  if (silent.length > 0) process.exitCode = 1;
}

/**
 * A name that nobody has is a mistake, and not "no flows". Servers that left the configuration count while they have flows.
 * @throws LatchwayError `daemon-refused`
 */
async function requireNamed(socket: string, { service, server }: FlowOptions): Promise<void> {
  const all = await askDaemon<readonly ServerView[]>(socket, 'GET', '/servers');
  const inService = service === undefined ? all : all.filter((one) => one.service === service);
  const nobody = (kind: string, name: string, known: readonly string[]): LatchwayError => {
    const detail = `no ${kind} is named '${name}' (known: ${[...new Set(known)].join(', ')})`;
    return new LatchwayError({ code: 'daemon-refused', detail });
  };
  if (service !== undefined && inService.length === 0) {
    const known = all.map((one) => one.service);
    throw nobody('service', service, known);
  }
  if (server !== undefined && !inService.some((one) => one.server === server)) {
    const known = inService.map((one) => one.server);
    throw nobody(service === undefined ? 'server' : `server of ${service}`, server, known);
  }
}

/** Lines in blocks, so that a million of them are not a million writes. */
const BLOCK_SIZE = 16 * 1024;

async function* formatLines(chunks: AsyncIterable<string>, cluster: boolean): AsyncGenerator<string> {
  let rest = '';
  const heads = ['Prot', 'State', 'Client', 'VIP', 'Server', 'RemoteAddress', 'Idle', 'Age'];
  let block = `${formatColumns(...heads, ...(cluster ? ['Known by'] : []))}\n`;
  for await (const chunk of chunks) {
    const lines = (rest + chunk).split('\n');
    rest = lines.pop()!;
    for (const line of lines) block += `${formatFlow(JSON.parse(line) as FlowView | ClusterFlowView)}\n`;
    if (block.length < BLOCK_SIZE) continue;
    yield block;
    block = '';
  }
  yield block;
}

function formatFlow(flow: FlowView | ClusterFlowView): string {
  const { protocol, state, client, vip, service, server, serverAddress, idleMs, ageMs } = flow;
  return formatColumns(
    protocol,
    state,
    client,
    vip,
    `${service}/${server}`,
    serverAddress,
    formatSpan(idleMs),
    formatSpan(ageMs),
    ...('knownBy' in flow ? [formatKnown(flow)] : []),
  );
}

/** `d1 d2`; `d1 d2, d3 says s2, d4 is silent` */
function formatKnown({ knownBy, differs, unanswered }: ClusterFlowView): string {
  return [
    knownBy.filter((name) => !Object.hasOwn(differs, name)).join(' '),
    ...Object.entries(differs).map(([name, says]) => `${name} says ${says}`),
    ...unanswered.map((name) => `${name} is silent`),
  ].join(', ');
}

/** Widths of what comes is not known in a stream: IPv4 fits, IPv6 pushes the rest of its line to the right. */
const WIDTHS = [4, 11, 21, 21, 16, 21, 7, 7];

function formatColumns(...cells: readonly string[]): string {
  return cells
    .map((cell, index) => cell.padEnd(WIDTHS[index] ?? 0))
    .join(' ')
    .trimEnd();
}
