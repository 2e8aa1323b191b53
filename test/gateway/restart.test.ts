/**
 * A dispatcher that ends and comes back: in good order nothing breaks; killed, nothing leaks and no server sees a
 * reset; its host is afterwards as it was. Each with the cause of success taken away.
 */
import { rmSync } from 'node:fs';
import { afterEach, describe, expect, test } from 'vitest';
import { createLab, type Lab } from '../../netns/laboratory.mjs';
import type { LabProcess } from '../../netns/processes.mjs';
import { natService, SERVER_PORTS } from '../../netns/services.mjs';
import { readSnmp, startCapture, startDispatcher, startServers, waitFor } from '../support/lab.ts';

const { talk } = SERVER_PORTS;
const CONNECTIONS = 1000;
/** `unknown: reset` tells at once when a flow is not known any more; rr would send it elsewhere. */
const CONFIG = {
  services: {
    talk: natService('192.0.2.10', 'tcp', 80, talk, { scheduler: 'rr', unknown: 'reset' }),
    talk6: natService('2001:db8:f::10', 'tcp', 80, talk, { scheduler: 'rr', unknown: 'reset' }),
  },
};
const FROM_SERVER = 'src net 10.0.2.0/24 or src net 2001:db8:2::/64';
const RESET_TO_SERVER = `(tcp[tcpflags] & tcp-rst != 0 and dst port ${talk})
  or (ip6 and ip6[6] == 6 and ip6[53] & 4 != 0 and dst port ${talk})`.replace('\n', ' ');

let lab: Lab;
afterEach(() => lab.close());

function connections(host: string, count: number): Promise<LabProcess> {
  return lab.startTool('client', 'long-lived', [
    ...['--host', host, '--port', 80, '--connections', count, '--interval', 200],
  ]);
}

/** Waits until every connection was answered in two more rounds, or some broke. */
async function goOn(clients: LabProcess, count: number) {
  const { round } = await clients.ask('report');
  await waitFor(
    async () => {
      const report = await clients.ask('report');
      return report.broken > 0 || report.round >= round + 2;
    },
    { what: 'every connection to be answered twice more' },
  );
  const report = await clients.ask('report');
  expect(report, JSON.stringify(report)).toMatchObject({ open: count, broken: 0, wrongServer: 0 });
}

describe('1,000 long-lived connections', () => {
  test('a restart by SIGTERM breaks none; without the saved table it breaks them', async () => {
    lab = createLab();
    await startServers(lab, 'talk-server', ['--port', talk]);
    let dispatcher = await startDispatcher(lab, CONFIG);
    const four = await connections('192.0.2.10', CONNECTIONS / 2);
    const six = await connections('2001:db8:f::10', CONNECTIONS / 2);
    for (const stopped of ['SIGTERM', 'SIGINT'] as const) {
      expect(await dispatcher.stop(stopped)).toEqual({ code: 0, signal: null });
      dispatcher = await startDispatcher(lab, CONFIG);
      await goOn(four, CONNECTIONS / 2);
      await goOn(six, CONNECTIONS / 2);
    }

    await dispatcher.stop();
    rmSync(dispatcher.stateFile);
    await startDispatcher(lab, CONFIG);
    await waitFor(async () => (await four.ask('report')).open === 0, { what: 'forgotten flows to be reset' });
    await waitFor(async () => (await six.ask('report')).open === 0, { what: 'forgotten flows to be reset' });
    expect(await four.ask('report')).toMatchObject({ broken: CONNECTIONS / 2 });
  });

  test('kill -9 and a restart while servers send: no server sees a reset, no client a server', async () => {
    lab = createLab();
    const servers = await startServers(lab, 'talk-server', ['--port', talk]);
    const dispatcher = await startDispatcher(lab, CONFIG);
    const four = await connections('192.0.2.10', CONNECTIONS / 2);
    const six = await connections('2001:db8:f::10', CONNECTIONS / 2);
    const resets = await startCapture(lab, 'd1', 'to-lan', RESET_TO_SERVER);
    const leaks = await startCapture(lab, 'client', 'to-router', FROM_SERVER);
    for (const server of servers) await server.ask('push 20');
    for (const clients of [four, six]) await clients.ask('pause');
    await waitFor(async () => (await six.ask('report')).pushed > CONNECTIONS, { what: 'servers to send' });

    await dispatcher.kill9();
    const sent = readSnmp(lab, 's1')['Tcp.RetransSegs']!;
    // Servers repeat what nobody acknowledges: that they did is the proof that they sent into the gap.
    await waitFor(() => readSnmp(lab, 's1')['Tcp.RetransSegs']! > sent + 100, { what: 'retransmissions' });
    await startDispatcher(lab, CONFIG);
    const again = readSnmp(lab, 's1')['Tcp.RetransSegs']!;
    await waitFor(() => readSnmp(lab, 's1')['Tcp.RetransSegs']! > again + 100, { what: 'retransmissions' });

    expect(await resets.stop()).toEqual([]);
    expect(await leaks.stop()).toEqual([]);
    for (const server of servers) {
      expect(await server.ask('report')).toMatchObject({ resets: 0, closed: 0 });
    }
    for (const name of lab.servers) expect(readSnmp(lab, name)['Tcp.EstabResets']).toBe(0);
  });

  test('without what the killed one leaves on its host, servers are reset', async () => {
    lab = createLab();
    const servers = await startServers(lab, 'talk-server', ['--port', talk]);
    const dispatcher = await startDispatcher(lab, CONFIG);
    const clients = await connections('192.0.2.10', 40);
    for (const server of servers) await server.ask('push 20');
    const leaks = await startCapture(lab, 'client', 'to-router', FROM_SERVER);
    await dispatcher.kill9();
    for (const table of ['main', 'all']) {
      lab.must('d1', 'ip', 'route', 'flush', 'table', table, 'type', 'blackhole');
    }
    lab.must('d1', 'ip', 'rule', 'flush');
    lab.must('d1', 'ip', 'rule', 'add', 'lookup', 'main');
    await waitFor(() => leaks.lines.length > 0, { what: 'a server heard by its own address' });
    await waitFor(async () => (await servers[0]!.ask('report')).resets > 0, { what: 'a reset at a server' });
    await leaks.stop();
    await clients.stop();
  });
});

test('a restart is told from a fresh start: the killed table is gone, and new connections work', async () => {
  lab = createLab();
  await startServers(lab, 'talk-server', ['--port', talk]);
  const dispatcher = await startDispatcher(lab, CONFIG);
  const old = await connections('192.0.2.10', 20);
  await dispatcher.kill9();
  const again = await startDispatcher(lab, CONFIG);
  await waitFor(async () => (await old.ask('report')).open === 0, { what: 'forgotten flows to be reset' });
  const fresh = await connections('192.0.2.10', 20);
  await goOn(fresh, 20);
  expect(again.json('flows')).toHaveLength(20);
});
