/** Packets that find the device's queue full, since the dispatcher has no processor: they are counted, and the log says so. */
import { afterEach, expect, test } from 'vitest';
import { createLab, type Lab } from '../../netns/laboratory.mjs';
import { PacketLoad } from '../../netns/scenarios/packet-load.mjs';
import { natService, SERVER_PORTS } from '../../netns/services.mjs';
import { startDispatcher, waitFor } from '../support/lab.ts';

const VIP = '192.0.2.10';
const SERVICES = { web: natService(VIP, 'tcp', 80, SERVER_PORTS.http, { count: 1 }) };

let lab: Lab;
afterEach(() => lab.close());

test('what the device has no room for is counted as the kernel counts it, and told', async () => {
  lab = createLab({ servers: 1 });
  const load = new PacketLoad(lab);
  const dispatcher = await startDispatcher(lab, { services: SERVICES });
  const counted = (): number => dispatcher.json('counters', '--all')['drop-device-full'];
  expect(counted()).toBe(0);

  // It stands still; its device holds 10,000 packets.
  dispatcher.daemon.child.kill('SIGSTOP');
  const dropped = (): number => {
    const [link] = JSON.parse(lab.must('d1', 'ip', '-j', '-s', 'link', 'show', 'lw0'));
    return link.stats64.tx.dropped;
  };
  while (dropped() === 0) await load.syns('client', { vip: VIP, port: 80, milliseconds: 200, rate: 0 });
  dispatcher.daemon.child.kill('SIGCONT');

  await waitFor(() => counted() > 0, { what: 'the drops to be counted' });
  expect(counted()).toBe(dropped());
  await dispatcher.daemon.line(/"counter":"drop-device-full"/, { error: true });
});
