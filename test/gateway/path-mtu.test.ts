/**
 * What must not go missing between two ends that cannot see the dispatcher: packets too big for a link, errors of
 * routers and servers, answers to echo, and fragments, whose outcome is that nothing leaves with a server's address.
 */
import { afterEach, describe, expect, test } from 'vitest';
import type { Dispatcher } from '../../netns/dispatcher.mjs';
import { createLab, type Lab, type LabOptions } from '../../netns/laboratory.mjs';
import { DROP_INVALID, MASQUERADE } from '../../netns/nftables.mjs';
import { ipipService, natService, SERVER_PORTS } from '../../netns/services.mjs';
import { DIRECT_VIPS } from '../../netns/single.mjs';
import {
  narrowServerSide,
  startCapture,
  startDecapsulators,
  startDispatcher,
  startServers,
  waitFor,
} from '../support/lab.ts';

const { http, udp } = SERVER_PORTS;
const TRANSFER_BYTES = 5_000_000;
/** A transfer through a path MTU black hole never ends; one that does end takes its time on a busy machine. */
const STUCK_MS = 300_000;
const VIP = { 4: '192.0.2.10', 6: '2001:db8:f::10' } as const;
const DIRECT_VIP = { 4: DIRECT_VIPS[4][0] as string, 6: DIRECT_VIPS[6][0] as string } as const;
const FAMILIES = [4, 6] as const;

/** Any packet in which a server's own address is the source: outside, or inside what an ICMP error quotes. */
const FROM_SERVER = 'src net 10.0.2.0/24 or src net 2001:db8:2::/64';

const TWO = { scheduler: 'rr', count: 2 };
const SERVICES = {
  web4: natService(VIP[4], 'tcp', 80, http, TWO),
  web6: natService(VIP[6], 'tcp', 80, http, TWO),
  echo4: natService(VIP[4], 'udp', 53, udp, TWO),
  echo6: natService(VIP[6], 'udp', 53, udp, TWO),
  closed4: natService(VIP[4], 'udp', 99, 9, TWO),
  closed6: natService(VIP[6], 'udp', 99, 9, TWO),
  direct4: ipipService(DIRECT_VIP[4], 'tcp', http, 4, TWO),
  direct6: ipipService(DIRECT_VIP[6], 'tcp', http, 6, TWO),
};

let lab: Lab | undefined;
afterEach(() => {
  lab?.close();
  lab = undefined;
});

/** @param prepare changes the lab before the dispatcher starts. */
async function open(
  options: LabOptions,
  prepare: (lab: Lab) => void = () => {},
): Promise<{ lab: Lab; dispatcher: Dispatcher }> {
  const made = createLab({ servers: 2, ...options });
  lab = made;
  prepare(made);
  await startServers(made, 'http-server', ['--port', http]);
  await startServers(made, 'udp-server', ['--port', udp]);
  await startDecapsulators(made);
  return { lab: made, dispatcher: await startDispatcher(made, { services: SERVICES }) };
}

const url = (host: string, port: number) => `http://${host.includes(':') ? `[${host}]` : host}:${port}`;

async function transfer(lab: Lab, host: string, port: number): Promise<void> {
  const sizes = ['--download', TRANSFER_BYTES, '--upload', TRANSFER_BYTES, '--timeout', STUCK_MS];
  const moved = await lab.tool('client', 'http-transfer', ['--url', url(host, port), ...sizes]);
  expect(moved, `${host}:${port}`).toMatchObject({ transfers: 2, ok: 2, faults: [] });
}

describe.each([
  ['wide client side, narrow server side', { clientMtu: 9000, serverMtu: 1500 }],
  ['narrow client side, wide server side', { clientMtu: 1500, serverMtu: 9000 }],
  ['a narrow link between router and dispatcher', { clientMtu: 1500, uplinkMtu: 1400, serverMtu: 1500 }],
] as const)('%s', (_, mtus) => {
  test.each(['', 'masquerade and drop-invalid on the gateway'])('%s', async (gateway) => {
    const { lab } = await open({ ...mtus, nftables: gateway === '' ? '' : MASQUERADE + DROP_INVALID });
    const capture = await startCapture(lab, 'client', 'to-router', FROM_SERVER);
    for (const family of FAMILIES) {
      await transfer(lab, VIP[family], 80);
      await transfer(lab, DIRECT_VIP[family], http);
    }
    expect(await capture.stop()).toEqual([]);
  });
});

test.each(['on', 'off'] as const)(
  'uploads past a link that neither end knows of, offloads %s',
  async (offloads) => {
    const { lab, dispatcher } = await open({ clientMtu: 9000, serverMtu: 9000 }, narrowServerSide);
    lab.setOffloads(offloads);
    for (const family of FAMILIES) {
      for (const [host, port] of [
        [VIP[family], 80],
        [DIRECT_VIP[family], http],
      ] as const) {
        const upload = ['--url', url(host, port), '--upload', TRANSFER_BYTES, '--timeout', STUCK_MS];
        expect(await lab.tool('client', 'http-transfer', upload), host).toMatchObject({ ok: 1, faults: [] });
      }
    }
    expect(dispatcher.json('counters')['too-big-sent']).toBeGreaterThanOrEqual(4);
  },
);

/** Makes the router refuse what is larger towards the client, though its link would carry it. */
function narrowBehindRouter(lab: Lab): void {
  lab.must('router', 'ip', 'route', 'change', '198.51.100.0/24', 'dev', 'to-client', 'mtu', 'lock', '1400');
  // IPv6 has the kernel's own route at metric 256: a better one beside it.
  const better = ['metric', '1', 'mtu', 'lock', '1400'];
  lab.must('router', 'ip', 'route', 'add', '2001:db8:c::/64', 'dev', 'to-client', ...better);
}

const SILENCE = `table inet silence {
  chain output {
    type filter hook output priority filter
    icmp type destination-unreachable drop
    icmpv6 type packet-too-big drop
  }
}`;

describe.each(FAMILIES)('errors, IPv%d', (family) => {
  const host = VIP[family];

  test("a router's 'too big' about a reply reaches the server", async () => {
    const { lab, dispatcher } = await open({});
    narrowBehindRouter(lab);
    lab.nftables('router', SILENCE);
    const silenced = ['--url', url(host, 80), '--download', 1_000_000, '--timeout', 3000];
    expect(await lab.tool('client', 'http-transfer', silenced)).toMatchObject({ ok: 0 });

    lab.must('router', 'nft', 'flush', 'ruleset');
    await transfer(lab, host, 80);
    expect(dispatcher.json('counters')['icmp-to-server']).toBeGreaterThan(0);
  });

  test("a server's 'port unreachable' reaches the client, quoting its own packet", async () => {
    const { lab, dispatcher } = await open({});
    const capture = await startCapture(lab, 'client', 'to-router', 'icmp or icmp6', ['-v']);
    const options = ['--host', host, '--port', 99, '--connected', '--sessions', 4, '--datagrams', 2];
    const refused = await lab.tool('client', 'udp-load', options);
    expect(refused).toMatchObject({ answered: 0, errors: { ECONNREFUSED: 8 } });
    expect(dispatcher.json('counters')['icmp-to-client']).toBe(8);
    const seen = (await capture.stop()).join('\n');
    expect(seen).toContain(`${host} > `);
    expect(seen).not.toMatch(/10\.0\.2\.|2001:db8:2::/);
  });

  test("'time exceeded' quotes the client's own packet, and the dispatcher is one hop", async () => {
    const { lab } = await open({});
    const capture = await startCapture(lab, 'client', 'to-router', 'icmp or icmp6', ['-v']);
    const arrived = await startCapture(lab, 'd1', 'to-lan', 'udp', ['-v']);
    const options = ['--host', host, '--port', 53, '--sessions', 2, '--datagrams', 1];
    // The router takes one, the dispatcher has none left to take; with one more the server is reached.
    const died = await lab.tool('client', 'udp-load', [...options, '--ttl', 2, '--timeout', 500]);
    expect(died).toMatchObject({ answered: 0, lost: 2 });
    const errors = () => capture.lines.filter((line) => line.includes('time exceeded in-transit'));
    await waitFor(() => errors().length === 2, { what: 'two errors' });
    expect((await capture.stop()).join('\n')).toMatch(
      family === 4 ? `> ${host}.53: ` : `in-transit for ${host}`,
    );
    expect(capture.lines.join('\n')).not.toMatch(/10\.0\.2\.|2001:db8:2::/);
    expect(arrived.lines).toEqual([]);

    expect(await lab.tool('client', 'udp-load', [...options, '--ttl', 3])).toMatchObject({ answered: 2 });
    await waitFor(() => arrived.lines.length >= 4, { what: 'datagrams on the server LAN' });
    expect((await arrived.stop()).join('\n')).toMatch(family === 4 ? /ttl 1,/ : /hlim 1,/);
  });

  test('a VIP answers echo, as long as there is a dispatcher', async () => {
    const { lab, dispatcher } = await open({});
    expect(await lab.tool('client', 'ping', ['--host', host])).toMatchObject({ answered: 3, wrongSource: 0 });
    await dispatcher.stop();
    const options = ['--host', host, '--count', 1, '--timeout', 500];
    expect(await lab.tool('client', 'ping', options)).toMatchObject({ answered: 0 });
  });

  test('fragments end at the dispatcher, counted, those of replies too', async () => {
    const { lab, dispatcher } = await open({});
    const capture = await startCapture(lab, 'client', 'to-router', FROM_SERVER);
    const options = ['--host', host, '--port', 53, '--sessions', 4, '--datagrams', 1, '--timeout', 500];
    const dropped = () => dispatcher.json('counters', '--all')['drop-fragment'] as number;

    const replies = await lab.tool('client', 'udp-load', [...options, '--reply-size', 4000]);
    expect(replies).toMatchObject({ answered: 0, lost: 4, wrongSource: 0 });
    await waitFor(() => dropped() >= 4 * 3, { what: 'fragments of replies to be counted' });
    const afterReplies = dropped();

    const requests = await lab.tool('client', 'udp-load', [...options, '--size', 4000]);
    expect(requests).toMatchObject({ answered: 0, lost: 4 });
    await waitFor(() => dropped() >= afterReplies + 4 * 3, { what: 'fragments of requests to be counted' });
    expect(await capture.stop()).toEqual([]);
  });
});
