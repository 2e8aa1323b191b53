import { createServer, type Server } from 'node:net';
import { afterEach, expect, test } from 'vitest';
import { HEALTH_START, healthStep, Prober } from '../../../../src/daemon/pool/health.ts';

const TIMING = { intervalMs: 10, timeoutMs: 60_000, rise: 2, fall: 3 };

test('a server falls after `fall` failures in a row and rises after `rise` successes in a row', () => {
  let state = HEALTH_START;
  const seen: boolean[] = [];
  for (const result of [false, false, true, false, false, false, true, false, true, true]) {
    state = healthStep(state, TIMING, result);
    seen.push(state.up);
  }
  expect(seen).toEqual([true, true, true, true, true, false, false, false, false, true]);
});

let server: Server | undefined;
let prober: Prober | undefined;
afterEach(() => {
  prober?.stop();
  server?.close();
});

function listen(port: number): Promise<number> {
  return new Promise((resolve) => {
    server = createServer((socket) => socket.on('error', () => {}).destroy());
    server.listen(port, '127.0.0.1', () => {
      const address = server?.address();
      resolve(typeof address === 'object' && address ? address.port : 0);
    });
  });
}

test('a real server that closes its port goes down, and comes up when it listens again', async () => {
  const port = await listen(0);
  const changes: string[] = [];
  let wake: () => void = () => {};
  prober = new Prober({ host: '127.0.0.1', port }, TIMING, 0, (up, detail) => {
    changes.push(`${up ? 'up' : 'down'} ${detail}`);
    wake();
  });
  const changed = (): Promise<void> =>
    new Promise((resolve) => {
      wake = resolve;
    });
  const down = changed();
  await new Promise((resolve) => server?.close(resolve));
  await down;
  const up = changed();
  await listen(port);
  await up;
  expect(changes).toEqual(['down ECONNREFUSED', 'up connected']);
});
