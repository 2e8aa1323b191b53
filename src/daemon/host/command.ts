/**
 * Runs the host's tools (`ip`, `nft`) without a shell, with their input on standard input.
 *
 * `ip -batch -` takes thousands of lines in one process. Its lines are numbered in its errors ("Command failed -:12"),
 * so the fault names the very line that failed.
 *
 * Each tool is the leader of a process group of its own: Ctrl-C in the daemon's terminal goes to the daemon alone, which
 * then stops in order, and does not end a tool in the middle of an undo.
 */

import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process';
import { LatchwayError } from '../../base/fault.ts';
import type { Family } from '../../wire/address.ts';

export interface CommandResult {
  /** Exit status; -1: the program is not there, -2: killed by a signal. */
  readonly status: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Environment of a tool: its words in English, and found even where a service's PATH has no sbin. */
export function toolEnvironment(): NodeJS.ProcessEnv {
  return { ...process.env, LC_ALL: 'C', PATH: `${process.env['PATH'] ?? ''}:/usr/sbin:/sbin:/usr/bin:/bin` };
}

/** After this a tool counts as hanging (a lock in the kernel, a broken PATH): it is killed, and the daemon goes on. */
const TOOL_TIMEOUT_MS = 10_000;

/** A tool hung: trying again would hang again. */
export class ToolTimeout extends LatchwayError {}

/**
 * Runs a tool to its end, whatever its exit status.
 * @throws ToolTimeout (host-command) when it does not end in time; nothing else.
 */
export function runTool(
  file: string,
  args: readonly string[],
  input = '',
  timeoutMs = TOOL_TIMEOUT_MS,
): Promise<CommandResult> {
  return new Promise((resolve, reject) => {
    let stdout = '';
    let stderr = '';
    let timer: NodeJS.Timeout | undefined;
    const end = (result: CommandResult): void => {
      clearTimeout(timer);
      resolve(result);
    };
    const fail = (error: unknown): void =>
      end({ status: -1, stdout: '', stderr: error instanceof Error ? error.message : String(error) });
    let child: ChildProcessWithoutNullStreams;
    try {
      child = spawn(file, [...args], { env: toolEnvironment(), stdio: 'pipe', detached: true });
    } catch (error) {
      return fail(error); // Without memory to spare.
    }
    // Without descriptors to spare there is an error and nothing else: not even pipes.
    child.on('error', fail);
    if (child.pid === undefined) return;
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      stdout += text;
    });
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      stderr += text;
    });
    timer = setTimeout(() => {
      abandon(child);
      const detail = `did not answer within ${timeoutMs / 1000} s`;
      reject(new ToolTimeout({ code: 'host-command', command: `${file} ${args.join(' ')}`, detail }));
    }, timeoutMs);
    child.on('close', (code) => end({ status: code ?? -2, stdout, stderr }));
    // A tool that ends before it has read all its input closes the pipe; its exit status says why.
    child.stdin.on('error', () => {});
    child.stdin.end(input);
  });
}

/** Kills a tool with all its children. It may hang in the kernel, where no signal reaches it: its end is not waited for. */
function abandon(child: ChildProcessWithoutNullStreams): void {
  try {
    process.kill(-child.pid!, 'SIGKILL');
  } catch {
    // It has just ended.
  }
  for (const stream of [child.stdin, child.stdout, child.stderr]) stream.destroy();
  child.unref();
}

const PACKAGES: Readonly<Record<string, string>> = { ip: 'iproute2', nft: 'nftables' };

/**
 * Runs a tool that has to succeed.
 * @param lines its standard input, one command each; may be empty.
 * @throws host-command
 */
export async function requireTool(
  file: string,
  args: readonly string[],
  lines: readonly string[] = [],
): Promise<string> {
  const result = await runTool(file, args, lines.length === 0 ? '' : `${lines.join('\n')}\n`);
  if (result.status !== 0) throw new LatchwayError(commandFault(file, args, lines, result));
  return result.stdout;
}

function commandFault(
  file: string,
  args: readonly string[],
  lines: readonly string[],
  result: CommandResult,
) {
  if (result.status === -1) {
    const missing = result.stderr.includes('ENOENT');
    const detail = missing ? `${file} is not there: install ${PACKAGES[file] ?? file}` : result.stderr;
    return { code: 'host-command', command: file, detail } as const;
  }
  const failed = failedLines(result.stderr)[0];
  const line = failed === undefined ? undefined : lines[failed - 1];
  const command = line === undefined ? `${file} ${args.join(' ')}` : `${file} ${familyWords(args)}${line}`;
  const said = result.stderr.split('\n')[0]!.trim();
  return { code: 'host-command', command, detail: said || `exit ${result.status}` } as const;
}

function familyWords(args: readonly string[]): string {
  return args
    .filter((one) => one === '-4' || one === '-6')
    .map((one) => `${one} `)
    .join('');
}

/** Numbers (from 1) of the batch lines that `ip` says failed. */
export function failedLines(stderr: string): number[] {
  return [...stderr.matchAll(/^Command failed -:(\d+)$/gm)].map((match) => Number(match[1]));
}

/**
 * Changes by one process; nothing is run for no lines.
 * @param mode `stop`: end at the first line that fails; `try all`: go on after it, and fail at the end.
 * @throws host-command
 */
export async function ipBatch(
  family: Family,
  lines: readonly string[],
  mode: 'stop' | 'try all' = 'stop',
): Promise<void> {
  if (lines.length === 0) return;
  const force = mode === 'stop' ? [] : ['-force'];
  await requireTool('ip', [`-${family}`, ...force, '-batch', '-'], lines);
}

/**
 * Questions by one process, answered in JSON with numbers for names.
 * @returns one entry per line: the array that it printed, or undefined where it failed (no route, no such table).
 * @throws host-command when `ip` is not there or answers something else than JSON.
 */
export async function ipQuery<Item>(
  family: Family,
  lines: readonly string[],
): Promise<(readonly Item[] | undefined)[]> {
  if (lines.length === 0) return [];
  const args = [`-${family}`, '-N', '-j', '-force', '-batch', '-'];
  const result = await runTool('ip', args, `${lines.join('\n')}\n`);
  if (result.status === -1) throw new LatchwayError(commandFault('ip', args, lines, result));
  const failed = new Set(failedLines(result.stderr));
  const printed = result.stdout.split('\n').filter((line) => line.trim() !== '');
  // A line that fails prints nothing, or, in some versions and for some objects, an empty array.
  if (printed.length === lines.length)
    return printed.map((text, index) => (failed.has(index + 1) ? undefined : JSON.parse(text)));
  if (printed.length !== lines.length - failed.size)
    throw new LatchwayError(commandFault('ip', args, lines, result));
  let next = 0;
  return lines.map((_, index) => (failed.has(index + 1) ? undefined : JSON.parse(printed[next++]!)));
}
