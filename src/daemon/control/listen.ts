/**
 * Taking a Unix socket: a folder that exists, nobody who answers there, what a dead daemon left removed, mode 0600 from
 * the first moment.
 */
import { chmodSync, lstatSync, mkdirSync, unlinkSync } from 'node:fs';
import { connect, type Server } from 'node:net';
import { dirname } from 'node:path';
import { LatchwayError } from '../../base/fault.ts';

/** Bytes of a path that fit struct sockaddr_un (linux/un.h) with its NUL. */
const MAX_SOCKET_PATH = 107;

/** Where a dispatcher's control socket is when nobody says otherwise. */
export function defaultSocket(node: string): string {
  return `/run/latchway/${node}.sock`;
}

/**
 * Listens on a Unix socket.
 * @throws LatchwayError `daemon-running`, `file`
 */
export async function listenControl(server: Server, socket: string): Promise<void> {
  if (Buffer.byteLength(socket) > MAX_SOCKET_PATH)
    throw new LatchwayError({
      code: 'file',
      file: socket,
      detail: `the path of a socket has at most ${MAX_SOCKET_PATH} bytes: choose a shorter --socket`,
    });
  try {
    mkdirSync(dirname(socket), { recursive: true });
    await removeStale(socket);
    await listen(server, socket);
    chmodSync(socket, 0o600);
  } catch (error) {
    if (error instanceof LatchwayError) throw error;
    throw new LatchwayError({
      code: 'file',
      file: socket,
      detail: `the control socket cannot be made: ${(error as Error).message}`,
    });
  }
}

/** The file mode comes from the umask at bind(2), which `listen` does before it returns. */
function listen(server: Server, socket: string): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    const umask = process.umask(0o177);
    try {
      server.listen(socket, () => {
        server.off('error', reject);
        resolve();
      });
    } finally {
      process.umask(umask);
    }
  });
}

async function removeStale(socket: string): Promise<void> {
  const found = lstatSync(socket, { throwIfNoEntry: false });
  if (found === undefined) return;
  if (!found.isSocket())
    throw new LatchwayError({
      code: 'file',
      file: socket,
      detail: 'is in the way of the control socket, and is no socket: choose another --socket',
    });
  if (await somebodyAnswers(socket)) throw new LatchwayError({ code: 'daemon-running', socket });
  unlinkSync(socket);
}

/** Only a refused connection proves that nobody listens; a full backlog, for one, is the work of somebody. */
function somebodyAnswers(socket: string): Promise<boolean> {
  return new Promise((resolve) => {
    const probe = connect(socket);
    probe.once('connect', () => {
      probe.destroy();
      resolve(true);
    });
    probe.once('error', (error: NodeJS.ErrnoException) =>
      resolve(error.code !== 'ECONNREFUSED' && error.code !== 'ENOENT'),
    );
  });
}
