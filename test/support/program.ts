/** The built program as a child process. */
import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const MAIN = fileURLToPath(new URL('../../dist/cli/main.js', import.meta.url));

export interface Ended {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** Starts `latchway` with these arguments. */
export function startProgram(args: readonly string[], main: string = MAIN): ChildProcessWithoutNullStreams {
  if (!existsSync(main)) throw new Error(`${main} is not built: npm run build`);
  return spawn(process.execPath, [main, ...args]);
}

/** Runs `latchway` with these arguments to its end. */
export async function runProgram(args: readonly string[], main?: string): Promise<Ended> {
  const child = startProgram(args, main);
  child.stdin.end();
  const text = async (stream: NodeJS.ReadableStream): Promise<string> => {
    let all = '';
    for await (const chunk of stream.setEncoding('utf8')) all += String(chunk);
    return all;
  };
  const closed = new Promise<number | null>((resolve) => child.once('close', resolve));
  const [stdout, stderr] = await Promise.all([text(child.stdout), text(child.stderr)]);
  return { code: await closed, stdout, stderr };
}
