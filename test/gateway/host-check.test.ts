/**
 * What a start or a check says of a host, and what it finds out about routes.
 */

import { afterEach, beforeEach, expect, test } from 'vitest';
import { type HostDriver, HostLab } from '../support/host-lab.ts';

const VIP = '192.0.2.10';
const server = { address: '10.2.0.2', name: 'web/s1', mode: 'nat', protocol: 6, ports: [[80, 80]] };
const INPUT = { device: 'lw0', table: 7373, vips: [{ address: VIP, service: 'web' }], servers: [server] };

let lab: HostLab;
let driver: HostDriver;
beforeEach(() => {
  lab = HostLab.open();
  driver = lab.driver();
});
afterEach(() => lab.close());

const faults = (input: object = INPUT) => driver.must('faults', { input });
const warnings = async (input: object = INPUT): Promise<string> =>
  (await driver.must('check', { input })).warnings.join('\n');

test('a good host has no fault; each bad one has its own, and a check says the same', async () => {
  const before = lab.snapshot();
  expect(await faults()).toEqual([]);
  const far = { ...server, address: '198.51.100.1' };
  expect(await faults({ ...INPUT, servers: [server, far] })).toEqual([
    { code: 'server-not-routable', server: 'web/s1', address: '198.51.100.1' },
  ]);
  const cases: [string, object][] = [
    [
      'ip addr add 192.0.2.10/24 dev gw0',
      { code: 'vip-on-interface', vip: VIP, device: 'gw0', service: 'web' },
    ],
    [
      'ip route add local 192.0.2.0/24 dev lo',
      { code: 'vip-on-interface', vip: VIP, device: 'lo', service: 'web' },
    ],
    ['ip link add lw0 type veth peer name lw1', { code: 'device-taken', device: 'lw0' }],
    ['ip route add 192.0.2.10 via 10.2.0.2', { code: 'host-conflict' }],
    ['ip rule add pref 7350 lookup main', { code: 'host-conflict' }],
    ['ip route add 198.51.100.0/24 via 10.2.0.2 table 7373', { code: 'host-conflict' }],
    ['ip route add 198.51.100.0/24 via 10.2.0.2 table 7374', { code: 'host-conflict' }],
  ];
  for (const [command, fault] of cases) {
    lab.run('gateway', command);
    const found = await faults();
    expect(found, command).toHaveLength(1);
    expect(found[0], command).toMatchObject(fault);
    expect((await driver.must('check', { input: INPUT })).errors, command).toHaveLength(1);
    lab.run('gateway', command.replace(' add ', ' del '));
    expect(await faults(), command).toEqual([]);
  }
  expect(lab.snapshot()).toBe(before);
});

test('without rights, without /dev/net/tun and without ip it says so', async () => {
  const bare = lab.start('gateway', [
    ...['setpriv', '--bounding-set', '-all', '--inh-caps', '-all', '--reuid', '65534', '--clear-groups'],
    ...driver.process.child.spawnargs.slice(4),
  ]);
  bare.write(JSON.stringify({ verb: 'faults', input: INPUT }));
  await bare.until((line) => line.includes('value'));
  expect(JSON.parse(bare.lines[0]!).value).toEqual([{ code: 'not-root' }]);
  const hidden = 'mount -t tmpfs none /dev/net && exec "$0" "$@"';
  const words = driver.process.child.spawnargs.slice(4);
  const noTun = lab.start('gateway', ['unshare', '--mount', 'sh', '-c', hidden, ...words]);
  noTun.write(JSON.stringify({ verb: 'faults', input: INPUT }));
  await noTun.until((line) => line.includes('value'));
  expect(JSON.parse(noTun.lines[0]!).value).toEqual([{ code: 'no-tun-device' }]);
  // Every `ip` that a search could find becomes an empty file, in a mount namespace of its own.
  const hide =
    'for file in $(which -a ip); do mount --bind /dev/null "$(readlink -f "$file")"; done; exec "$0" "$@"';
  const empty = lab.start('gateway', ['unshare', '--mount', 'sh', '-c', hide, ...words]);
  empty.write(JSON.stringify({ verb: 'faults', input: INPUT }));
  await empty.until((line) => line.includes('value'));
  expect(JSON.parse(empty.lines[0]!).value).toMatchObject([{ code: 'host-command', command: 'ip' }]);
});

test('a second dispatcher in the namespace is refused, and the first is told from a foreign device', async () => {
  const before = lab.snapshot();
  const tun = await lab.packets('gateway', 'tun', 'lw0');
  await driver.must('apply', { input: INPUT, options: { journalDirectory: lab.directory } });
  const other = await faults({ ...INPUT, device: 'lw9', table: 7473, rulePriority: 7400 });
  expect(other).toMatchObject([{ code: 'host-conflict' }]);
  expect(other[0].what).toContain('lw0');
  const { errors, warnings: said } = await driver.must('check', { input: INPUT });
  expect(errors).toEqual([]);
  expect(said.join('\n')).toContain('runs on this host with device lw0');
  // What a killed run leaves is no fault.
  await tun.kill();
  expect(await faults()).toEqual([]);
  // Nor does a device that is gone already keep a stop from restoring the host.
  expect(lab.snapshot()).not.toBe(before);
  await driver.must('stop', { options: { journalDirectory: lab.directory } });
  expect(lab.snapshot()).toBe(before);
});

test('while it runs, a new configuration is judged without mistaking ours for a conflict', async () => {
  await lab.packets('gateway', 'tun', 'lw0');
  await driver.must('apply', { input: INPUT, options: { journalDirectory: lab.directory } });
  const judge = (input: object = INPUT) => driver.must('configFaults', { input });
  expect(await judge()).toEqual([]);
  const second = { address: '192.0.2.11', service: 'web2' };
  const wider = { ...INPUT, vips: [...INPUT.vips, second] };
  expect(await judge(wider)).toEqual([]);
  lab.run('gateway', 'ip addr add 192.0.2.11/32 dev gw0');
  const far = { ...server, name: 'web/s2', address: '198.51.100.1' };
  expect(await judge({ ...wider, servers: [server, far] })).toEqual([
    { code: 'vip-on-interface', vip: '192.0.2.11', device: 'gw0', service: 'web2' },
    { code: 'server-not-routable', server: 'web/s2', address: '198.51.100.1' },
  ]);
  lab.run('gateway', 'ip rule add pref 7350 lookup main');
  expect(await judge()).toMatchObject([{ code: 'host-conflict' }]);
  await driver.must('stop', { options: { journalDirectory: lab.directory } });
});

test('without the right to ask nftables a check says just that, and not that it is missing', async () => {
  const bare = lab.start('gateway', [
    ...['setpriv', '--bounding-set', '-all', '--inh-caps', '-all', '--reuid', '65534', '--clear-groups'],
    ...driver.process.child.spawnargs.slice(4),
  ]);
  bare.write(JSON.stringify({ verb: 'check', input: INPUT }));
  await bare.until((line) => line.includes('value'));
  const said = (JSON.parse(bare.lines[0]!).value.warnings as string[]).join('\n');
  expect(said).toContain('without root nftables does not say what it holds');
  expect(said).not.toContain('install nftables');
  expect(await warnings()).not.toContain('without root');
});

test('each thing that will break traffic has its warning, and goes when it is put right', async () => {
  lab.sysctl('gateway', { 'net.ipv4.conf.gw0.forwarding': 1, 'net.ipv4.conf.gw1.forwarding': 1 });
  expect(await warnings()).toBe('');
  const cases: [make: string, undo: string, says: RegExp][] = [
    [
      'sysctl -q -w net.ipv4.conf.gw1.forwarding=0',
      'sysctl -q -w net.ipv4.conf.gw1.forwarding=1',
      /gw1\.forwarding=1/,
    ],
    [
      'sysctl -q -w net.ipv4.conf.gw0.rp_filter=1',
      'sysctl -q -w net.ipv4.conf.gw0.rp_filter=0',
      /strict on gw0/,
    ],
    [
      'ip addr add 192.0.2.1/24 dev gw0',
      'ip addr del 192.0.2.1/24 dev gw0',
      /ip neigh add proxy 192\.0\.2\.10 dev gw0/,
    ],
    ['ip rule add pref 100 lookup main', 'ip rule del pref 100', /policy rules 100 come before/],
    [
      'ip addr add 10.2.0.2/32 dev lo',
      'ip addr del 10.2.0.2/32 dev lo',
      /10\.2\.0\.2 is an address of this host/,
    ],
  ];
  for (const [make, undo, says] of cases) {
    lab.run('gateway', make);
    expect(await warnings()).toMatch(says);
    lab.run('gateway', undo);
    expect(await warnings()).toBe('');
  }
  lab.run('gateway', 'ip addr add 192.0.2.1/24 dev gw0');
  lab.run('gateway', `ip neigh add proxy ${VIP} dev gw0`);
  expect(await warnings()).toBe('');
  expect(await warnings({ ...INPUT, servers: [{ ...server, address: '192.0.2.2' }] })).toMatch(
    /both in 192\.0\.2/,
  );
  expect(await warnings({ ...INPUT, servers: [{ ...server, ports: [[0, 65_535]] }] })).toMatch(/ports: any/);
  const rules = 'ct state invalid drop; masquerade;';
  lab.run('gateway', 'nft -f -', `table ip fw { chain x { ${rules} }; }`);
  expect(await warnings()).toMatch(/masquerade or snat[^\n]*notrack[^\n]*\n[^\n]*ct state invalid/);
  const six = { ...INPUT, vips: [...INPUT.vips, { address: '2001:db8:f::1', service: 'web' }] };
  lab.sysctl('gateway', { 'net.ipv6.conf.all.forwarding': 1, 'net.ipv6.conf.gw0.accept_ra': 1 });
  lab.run('gateway', 'ip -6 route add 2001:db8:77::/64 via 2001:db8:1::2 dev gw0 proto ra');
  expect(await warnings(six)).toMatch(/accept_ra=2/);
});

test('egress: interface, MTU of route, link and learnt path, and the subnet of neighbours', async () => {
  lab.run('gateway', 'ip link set gw1 mtu 1400');
  lab.run('gateway', 'ip route add 198.51.100.0/24 via 10.2.0.2 mtu 1300');
  lab.run('gateway', 'ip -6 route add 2001:db8:77::/64 via 2001:db8:2::2 mtu 1280');
  const addresses = [
    '10.1.0.2',
    '10.2.0.2',
    '198.51.100.7',
    '203.0.113.1',
    '10.2.0.1',
    '2001:db8:2::2',
    '2001:db8:77::1',
  ];
  const found = new Map<string, { onLinkPrefix?: { bits: number } }>(
    await driver.must('egress', { addresses }),
  );
  const bits = (text: string) => found.get(text)?.onLinkPrefix?.bits;
  expect(found.get('10.1.0.2')).toMatchObject({ device: 'gw0', mtuBytes: 1500 });
  expect(bits('10.1.0.2')).toBe(24);
  expect(found.get('10.2.0.2')).toMatchObject({ device: 'gw1', mtuBytes: 1400 });
  expect(found.get('198.51.100.7')).toEqual({ device: 'gw1', mtuBytes: 1300 });
  expect(found.has('203.0.113.1')).toBe(false);
  expect(found.get('10.2.0.1')).toMatchObject({ device: 'lo' });
  expect(bits('10.2.0.1')).toBeUndefined();
  expect(found.get('2001:db8:2::2')).toMatchObject({ device: 'gw1', mtuBytes: 1400 });
  expect(bits('2001:db8:2::2')).toBe(64);
  expect(found.get('2001:db8:77::1')).toEqual({ device: 'gw1', mtuBytes: 1280 });
  lab.sysctl('gateway', { 'net.ipv6.conf.gw1.mtu': 1280 });
  const again = new Map<string, { mtuBytes: number }>(
    await driver.must('egress', { addresses: ['2001:db8:2::2'] }),
  );
  expect(again.get('2001:db8:2::2')?.mtuBytes).toBe(1280);
});

test('changes of routes are told, and the watcher leaves no process', async () => {
  await driver.must('watch');
  // When the child has subscribed is not known: changes are made until one is told.
  let told = 0;
  for (let round = 0; told === 0 && round < 200; round++) {
    lab.run('gateway', `ip link set gw0 mtu ${1_400 + (round % 2)}`);
    told = await driver.must('changes');
  }
  expect(told).toBeGreaterThan(0);
  expect(
    lab
      .run('gateway', `ip netns pids ${lab.namespace('gateway')}`)
      .trim()
      .split('\n').length,
  ).toBe(3);
  await driver.must('unwatch');
  // What is left: the driver, and the `ip netns pids` that asks.
  expect(
    lab
      .run('gateway', `ip netns pids ${lab.namespace('gateway')}`)
      .trim()
      .split('\n').length,
  ).toBe(2);
});
