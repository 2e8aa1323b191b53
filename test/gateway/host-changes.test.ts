/**
 * The host set-up over time: reloads and take-overs under a stream of replies, faults in the middle,
 * connection tracking, and the controls that show that each piece is needed.
 */

import { readdirSync } from 'node:fs';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { DNS, INPUT, MANY, SERVER, VIP, VIP6 } from '../support/host-inputs.ts';
import { type HostDriver, HostLab, type LineProcess } from '../support/host-lab.ts';
import { type PacketSpec, packet } from '../support/host-packets.ts';

const CLIENT = '10.1.0.2';

let lab: HostLab;
let driver: HostDriver;
beforeEach(() => {
  lab = HostLab.open();
  driver = lab.driver();
});
afterEach(() => lab.close());

const apply = (input: object, options: object = {}) =>
  driver.must('apply', { input, options: { journalDirectory: lab.directory, ...options } });
const stop = (options: object = {}) =>
  driver.must('stop', { options: { journalDirectory: lab.directory, ...options } });

const REPLY = { from: SERVER, to: CLIENT, protocol: 'udp', fromPort: 53, toPort: 4_000 } as const;
const FREE = { ...REPLY, fromPort: 9_999 } as const;

function hexOf(spec: Omit<PacketSpec, 'payload'>, payload: string): string {
  return packet({ ...spec, payload: Buffer.from(payload) }).toString('hex');
}

const has = (text: string) => (line: string) => line.includes(Buffer.from(text).toString('hex'));

/** Sends one packet from the server side; whether it came to the client (a later one did). */
async function leaks(
  client: LineProcess,
  send: LineProcess,
  spec: Omit<PacketSpec, 'payload'>,
  name: string,
) {
  send.write(hexOf(spec, `${name}-probe`));
  send.write(hexOf(FREE, `${name}-after`));
  await client.until(has(`${name}-after`));
  return client.lines.some(has(`${name}-probe`));
}

async function observers() {
  lab.mute('client');
  return {
    client: await lab.packets('client', 'sniff', 'cl0'),
    send: await lab.packets('server', 'send'),
  };
}

test('each piece is needed: without the twin, the fragment rule or the loop rule, replies leak or circle', async () => {
  const tun = await lab.packets('gateway', 'tun', 'lw0');
  await apply(INPUT, { nft: 'never' });
  const { client, send } = await observers();
  // The strictest that a host may have; the device's own setting overrules it, given that the device has an address.
  lab.sysctl('gateway', { 'net.ipv4.conf.all.rp_filter': 1 });
  // What the dispatcher writes back leaves toward the client, also with a source that the reply rules would take.
  tun.write(hexOf(REPLY, 'written-back'));
  await client.until(has('written-back'));
  expect(tun.lines.some(has('written-back'))).toBe(false);
  lab.run('gateway', 'ip rule del pref 7300');
  // With the rule gone, the same packet comes back to the device.
  tun.write(hexOf(REPLY, 'goes-round'));
  await tun.until(has('goes-round'));

  const fragment = { ...REPLY, fragment: 'later' } as const;
  expect(await leaks(client, send, fragment, 'with-rule')).toBe(false);
  lab.run('gateway', `ip rule del pref 7331 from ${SERVER}`);
  expect(await leaks(client, send, fragment, 'without-rule')).toBe(true);

  await tun.kill();
  expect(await leaks(client, send, REPLY, 'with-twin')).toBe(false);
  lab.run('gateway', 'ip route del blackhole default table 7373 metric 4294967295');
  expect(await leaks(client, send, REPLY, 'without-twin')).toBe(true);
});

test('no reply leaks while plans change under a stream of replies, nor while a new run takes over', async () => {
  const before = lab.snapshot();
  const tun = await lab.packets('gateway', 'tun', 'lw0');
  await apply(INPUT);
  const { client, send } = await observers();
  let streaming = true;
  let sent = 0;
  const stream = (async () => {
    while (streaming) {
      for (let burst = 0; burst < 20; burst++) send.write(hexOf(REPLY, `stream-${sent++}.`));
      await new Promise((resolve) => setTimeout(resolve, 1));
    }
  })();
  // Rules to set, set to rules, a server more and one less, another VIP and family.
  expect(await apply(MANY)).toMatchObject({ aggregated: true });
  expect(await apply(INPUT)).toMatchObject({ aggregated: false });
  const grown = {
    ...INPUT,
    vips: [...INPUT.vips, VIP6],
    servers: [DNS, { ...DNS, ports: [[54, 60]] }],
  };
  expect(await apply(grown)).toMatchObject({ removed: 1 });
  expect(await apply(INPUT)).toMatchObject({ added: 1 });
  expect(await apply(INPUT)).toMatchObject({ added: 0, removed: 0 });
  const middle = sent;
  await driver.process.kill();
  await tun.kill();
  const second = await lab.packets('gateway', 'tun', 'lw0');
  driver = lab.driver();
  expect(await apply(MANY)).toMatchObject({ leftovers: true, aggregated: true });
  streaming = false;
  await stream;
  send.write(hexOf(FREE, 'the-end'));
  await client.until(has('the-end'));
  await second.until(has(`stream-${sent - 1}.`));
  expect(sent).toBeGreaterThan(middle);
  expect(client.lines.filter(has('stream-'))).toEqual([]);
  await stop();
  await second.kill();
  expect(lab.snapshot()).toBe(before);
});

test('a fault in the middle undoes what was done; on a reload it goes back to the plan before', async () => {
  const before = lab.snapshot();
  const tun = await lab.packets('gateway', 'tun', 'lw0');
  lab.run('gateway', `ip route add ${VIP} via ${SERVER} dev gw1`);
  // All but the very last step works.
  const failed = await driver.ask('apply', { input: INPUT, options: { journalDirectory: lab.directory } });
  expect(failed.fault).toMatchObject({ code: 'host-command', detail: 'RTNETLINK answers: File exists' });
  expect(failed.fault!['command']).toBe(`ip -4 route add ${VIP} dev lw0 table 254 metric 0 proto 173`);
  lab.run('gateway', `ip route del ${VIP}`);
  await tun.kill();
  expect(lab.snapshot()).toBe(before);
  expect(readdirSync(lab.directory)).toEqual([]);

  const again = await lab.packets('gateway', 'tun', 'lw0');
  await apply(INPUT);
  const running = lab.snapshot();
  lab.run('gateway', `ip route add 192.0.2.11 via ${SERVER} dev gw1`);
  const reload = { ...MANY, vips: [...INPUT.vips, { address: '192.0.2.11', service: 'dns' }] };
  const answer = await driver.ask('apply', { input: reload, options: { journalDirectory: lab.directory } });
  expect(answer.fault).toMatchObject({ code: 'host-command' });
  lab.run('gateway', 'ip route del 192.0.2.11');
  expect(lab.snapshot()).toBe(running);
  await stop();
  await again.kill();
  expect(lab.snapshot()).toBe(before);
});

test('a fault in the first set-up leaves what an earlier run left, and the next one takes it over', async () => {
  const before = lab.snapshot();
  const first = await lab.packets('gateway', 'tun', 'lw0');
  await apply(INPUT);
  await driver.process.kill();
  await first.kill();
  const left = lab.snapshot();
  const held = (snapshot: string) => snapshot.match(/^blackhole .*$/gm) ?? [];
  expect(held(left)).not.toEqual(held(before));

  const second = await lab.packets('gateway', 'tun', 'lw0');
  driver = lab.driver();
  lab.run('gateway', `ip route add ${VIP} via ${SERVER} dev gw1`);
  const failed = await driver.ask('apply', { input: INPUT, options: { journalDirectory: lab.directory } });
  expect(failed.fault).toMatchObject({ code: 'host-command', detail: 'RTNETLINK answers: File exists' });
  lab.run('gateway', `ip route del ${VIP}`);
  await driver.process.kill();
  await second.kill();
  expect(lab.snapshot()).toBe(left);

  const third = await lab.packets('gateway', 'tun', 'lw0');
  driver = lab.driver();
  expect(await apply(INPUT)).toMatchObject({ leftovers: true });
  expect(await stop()).toEqual([]);
  await third.kill();
  expect(lab.snapshot()).toBe(before);
});

test('masquerade and ct state invalid drop leave VIP traffic alone, and only that', async () => {
  const firewall = `table inet fw {
    chain leaving { type nat hook postrouting priority srcnat; masquerade; }
    chain forwarded { type filter hook forward priority filter; ct state invalid counter drop; }
  }`;
  lab.run('gateway', 'nft -f -', firewall);
  const tun = await lab.packets('gateway', 'tun', 'lw0');
  const tcp = { ...DNS, protocol: 6, ports: [[80, 80]] };
  const input = { ...INPUT, servers: [DNS, tcp] };
  await apply(input);
  const { client, send } = await observers();
  const atServer = await lab.packets('server', 'sniff', 'sv0');
  const request = { from: CLIENT, to: SERVER, protocol: 'udp', fromPort: 4_000, toPort: 53 } as const;
  // A SYN-ACK whose SYN went through another dispatcher; an error about such a packet, from a router.
  const synAck = { ...REPLY, protocol: 'tcp', fromPort: 80, flags: 0x12 } as const;
  const quoted = packet({ ...request, protocol: 'tcp', toPort: 80, payload: Buffer.from('quoted') });
  const error = packet({ from: '10.2.0.9', to: CLIENT, protocol: 'icmp-error', payload: quoted });
  const errorOf = (name: string): string =>
    error.toString('hex').replace(Buffer.from('quoted').toString('hex'), Buffer.from(name).toString('hex'));
  const source = (line: string): string => line.slice(24, 32);

  /** @param passes whether all are to come: those are waited for, since packets of two flows may overtake each other on two CPUs */
  const run = async (name: string, passes: boolean): Promise<Record<string, boolean>> => {
    tun.write(hexOf(request, `${name}-request`));
    send.write(hexOf(synAck, `${name}-synack`));
    send.write(errorOf(name));
    tun.write(hexOf({ ...synAck, from: VIP }, `${name}-to-client`));
    tun.write(hexOf({ ...FREE, from: VIP }, `${name}-last`));
    send.write(hexOf(REPLY, `${name}-sentinel`));
    await atServer.until(has(`${name}-request`));
    await client.until(has(`${name}-last`));
    await tun.until(has(`${name}-sentinel`));
    if (passes) {
      await tun.until(has(`${name}-synack`));
      await tun.until((line) => source(line) === '0a020009' && has(name)(line));
      await client.until(has(`${name}-to-client`));
    }
    const seen = atServer.lines.find(has(`${name}-request`))!;
    return {
      sourceKept: source(seen) === '0a010002',
      replyTaken: tun.lines.some(has(`${name}-synack`)),
      errorTaken: tun.lines.some(has(name)),
      replyPassed: client.lines.some(has(`${name}-to-client`)),
    };
  };
  expect(await run('exempt', true)).toMatchObject({
    sourceKept: true,
    replyTaken: true,
    errorTaken: true,
    replyPassed: true,
  });
  // The control: without the exemption this firewall does break it.
  lab.run('gateway', 'nft delete table inet latchway_lw0');
  expect(await run('nothing', false)).toMatchObject({
    sourceKept: false,
    replyTaken: false,
    replyPassed: false,
  });
  await driver.must('repair', { options: { journalDirectory: lab.directory } });
  expect(await run('healed', true)).toMatchObject({
    sourceKept: true,
    replyTaken: true,
    errorTaken: true,
    replyPassed: true,
  });
  // Other traffic is still masqueraded.
  const plain = await lab.packets('client', 'send');
  plain.write(hexOf({ ...request, toPort: 77 }, 'plain'));
  await atServer.until(has('plain'));
  expect(source(atServer.lines.find(has('plain'))!)).toBe('0a020001');
  await stop();
  expect(readdirSync(lab.directory)).toEqual([]);
  await tun.kill();
});

test('a thousand servers and a hundred VIPs are placed and removed', async () => {
  const before = lab.snapshot();
  const tun = await lab.packets('gateway', 'tun', 'lw0');
  const address = (index: number): string => `10.${20 + (index >> 8)}.${index & 255}.1`;
  const servers = Array.from({ length: 1_000 }, (_, index) => ({ ...DNS, address: address(index) }));
  const vips = Array.from({ length: 100 }, (_, index) => ({ address: `192.0.2.${index + 1}`, service: 'x' }));
  const report = await apply({ ...INPUT, servers, vips });
  expect(report).toMatchObject({ aggregated: true, warnings: [] });
  expect(lab.run('gateway', 'ip route show table main proto 173').split('\n').length).toBe(201);
  const slow = await driver.must('apply', {
    input: { ...INPUT, servers, vips },
    options: { journalDirectory: lab.directory, nft: 'never' },
  });
  expect(slow.warnings[0]).toMatch(/install nftables/);
  await stop();
  await tun.kill();
  expect(lab.snapshot()).toBe(before);
});
