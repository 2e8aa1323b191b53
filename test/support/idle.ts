/** Idle connections to a server of this process, more than it takes. */
import { once } from 'node:events';
import { connect, type NetConnectOpts, type Socket } from 'node:net';
import { expect } from 'vitest';

/**
 * Opens `count` connections, on which nothing is said. All but `allowed` must be turned away, and whoever comes then as well.
 * @param ask a request on a connection of its own, which must be answered again when the idle ones are gone
 */
export async function expectBounded(
  endpoint: NetConnectOpts,
  count: number,
  allowed: number,
  ask: () => Promise<unknown>,
): Promise<void> {
  const sockets: Socket[] = [];
  let turnedAway = 0;
  try {
    for (let number = 0; number < count; number++) {
      const socket = connect(endpoint).resume();
      socket.on('error', () => {}).on('close', () => turnedAway++);
      sockets.push(socket);
    }
    // Known to the kernel, which hands connections over in their order: what comes now is later than all of them.
    await Promise.all(sockets.map((socket) => once(socket, 'connect')));
    await expect(ask()).rejects.toThrow();
    await expect.poll(() => turnedAway, { timeout: 120_000 }).toBe(count - allowed);
  } finally {
    for (const socket of sockets) socket.destroy();
  }
  const answered = () =>
    ask()
      .then(() => true)
      .catch(() => false);
  await expect.poll(answered, { timeout: 120_000 }).toBe(true);
}
