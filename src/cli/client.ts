/**
 * Asking the daemon: HTTP on its control socket (see daemon/control/server.ts for the requests).
 * An error answer becomes `daemon-refused` with the daemon's own words; no answer, or half a one, `daemon-unreachable`.
 */
import { readdirSync } from 'node:fs';
import { type IncomingMessage, request } from 'node:http';
import { dirname, join } from 'node:path';
import { LatchwayError } from '../base/fault.ts';

/** Milliseconds without a sign of life after which the daemon counts as not there. */
const ANSWER_TIMEOUT_MS = 30_000;

/**
 * The value that the daemon answers with.
 * @throws LatchwayError `daemon-unreachable`, `daemon-refused`
 */
export async function askDaemon<T>(socket: string, method: string, path: string, body?: unknown): Promise<T> {
  const response = await openAnswer(socket, method, path, body);
  const text = await wholeText(socket, response);
  try {
    return JSON.parse(text) as T;
  } catch {
    throw unreachable(socket, 'what answers there is no latchway daemon');
  }
}

/** The answer as a stream, when it is a good one; for what may be long. @throws as `askDaemon` does */
export async function openAnswer(
  socket: string,
  method: string,
  path: string,
  body?: unknown,
): Promise<IncomingMessage> {
  const response = await send(socket, method, path, body === undefined ? undefined : JSON.stringify(body));
  if (response.statusCode === 200) return response;
  throw refused(socket, await wholeText(socket, response));
}

/** What broke an answer off, as a fault; also for those who read the stream themselves. */
export function unreachable(socket: string, detail: string): LatchwayError {
  return new LatchwayError({ code: 'daemon-unreachable', socket, detail });
}

function send(
  socket: string,
  method: string,
  path: string,
  body: string | undefined,
): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    const asked = request({ socketPath: socket, method, path, timeout: ANSWER_TIMEOUT_MS }, resolve);
    asked.on('timeout', () => asked.destroy(new Error(`no answer in ${ANSWER_TIMEOUT_MS / 1000} s`)));
    asked.on('error', (error) => reject(unreachable(socket, reason(error, socket))));
    asked.end(body);
  });
}

function reason(error: NodeJS.ErrnoException, socket: string): string {
  switch (error.code) {
    case 'ENOENT':
      return `there is no such socket${otherSockets(socket)}`;
    case 'ECONNREFUSED':
      return 'nobody listens there';
    case 'EACCES':
      return 'permission denied: it is for the user who runs the daemon';
    default:
      return error.message;
  }
}

/** A dispatcher whose name is not the host's has its socket beside the one that was looked for. */
function otherSockets(socket: string): string {
  try {
    const others = readdirSync(dirname(socket)).filter((name) => name.endsWith('.sock'));
    const names = others.slice(0, 4).map((name) => join(dirname(socket), name));
    return names.length === 0 ? '' : `, but ${names.join(', ')}`;
  } catch {
    return '';
  }
}

async function wholeText(socket: string, response: IncomingMessage): Promise<string> {
  let text = '';
  try {
    for await (const chunk of response.setEncoding('utf8')) text += chunk as string;
  } catch (error) {
    throw unreachable(socket, (error as Error).message);
  }
  return text;
}

function refused(socket: string, text: string): LatchwayError {
  try {
    const { error } = JSON.parse(text) as { error?: unknown };
    if (typeof error === 'string') return new LatchwayError({ code: 'daemon-refused', detail: error });
  } catch {
    // Told below: it speaks HTTP, but not ours.
  }
  return unreachable(socket, 'what answers there is no latchway daemon');
}
