/** Probers of a configuration that changes: a verdict that has not reached the pool yet is not forgotten. */
import { once } from 'node:events';
import { createServer, type Server } from 'node:net';
import { afterEach, expect, test } from 'vitest';
import type { HealthConfig } from '../../../../src/daemon/config/services.ts';
import type { Log } from '../../../../src/daemon/log.ts';
import { Checks } from '../../../../src/daemon/pool/checks.ts';
import type { ServiceRecord } from '../../../../src/daemon/pool/records.ts';
import { parseAddress } from '../../../../src/wire/address.ts';

let checks: Checks | undefined;
let server: Server | undefined;
afterEach(() => {
  checks?.stop();
  server?.close();
});

async function freePort(keep: boolean): Promise<number> {
  const listening = createServer((socket) => socket.destroy()).listen(0, '127.0.0.1');
  await once(listening, 'listening');
  const { port } = listening.address() as { port: number };
  if (keep) server = listening;
  else {
    listening.close();
    await once(listening, 'close');
  }
  return port;
}

const tcp = (port: number): HealthConfig => ({
  type: 'tcp',
  ...{ intervalMs: 10, timeoutMs: 60_000, rise: 2, fall: 3, port },
});

/** The pool has been told of nothing: to it the server is up. */
function services(health: HealthConfig): readonly ServiceRecord[] {
  const config = { name: 's1', address: parseAddress('127.0.0.1')!, port: 8_080, weight: 1 };
  return [
    { config: { name: 'web', ports: [[80, 80]], health }, servers: [{ index: 4, config, up: true }] },
  ] as unknown as readonly ServiceRecord[];
}

test.each(['another port', 'no checks'])(
  'a server that is down for its prober comes up after a reload: %s',
  async (kind) => {
    const verdicts: boolean[] = [];
    const quiet = () => undefined;
    checks = new Checks({ info: quiet, warn: quiet } as unknown as Log, (_index, up) => verdicts.push(up));
    checks.update(services(tcp(await freePort(false))));
    await expect.poll(() => verdicts, { timeout: 60_000 }).toEqual([false]);
    checks.update(services(kind === 'no checks' ? { type: 'none' } : tcp(await freePort(true))));
    await expect.poll(() => verdicts, { timeout: 60_000 }).toEqual([false, true]);
  },
);
