/**
 * Sysctls, and what administrators do while the dispatcher runs: what is changed comes back, what is theirs stays.
 */

import { afterEach, beforeEach, expect, test } from 'vitest';
import { INPUT, MANY, VIP, VIP6 } from '../support/host-inputs.ts';
import { type HostDriver, HostLab } from '../support/host-lab.ts';

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

test.each(['auto', 'global'])(
  'sysctls (%s IPv6) come back, also after a kill, but not over somebody else',
  async (kind) => {
    const input = { ...INPUT, vips: [...INPUT.vips, VIP6] };
    const options = { ipv6Forwarding: kind };
    lab.sysctl('gateway', { 'net.ipv6.conf.gw1.forwarding': 1 });
    const before = lab.snapshot();
    const tun = await lab.packets('gateway', 'tun', 'lw0');
    const { changed } = await apply(input, options);
    expect(changed.length).toBe(kind === 'auto' ? 4 : 3);
    await driver.process.kill();
    await tun.kill();
    expect(lab.snapshot()).not.toBe(before);
    const second = await lab.packets('gateway', 'tun', 'lw0');
    driver = lab.driver();
    await apply(input, options);
    await stop(options);
    await second.kill();
    expect(lab.snapshot()).toBe(before);

    const third = await lab.packets('gateway', 'tun', 'lw0');
    await apply(input, options);
    lab.sysctl('gateway', { 'net.ipv4.conf.gw0.forwarding': 0 });
    expect(
      await driver.must('repair', { options: { journalDirectory: lab.directory, ...options } }),
    ).toMatchObject({
      added: 0,
    });
    expect(lab.run('gateway', 'sysctl -n net.ipv4.conf.gw0.forwarding')).toBe('0\n');
    lab.sysctl('gateway', { 'net.ipv4.conf.gw1.rp_filter': 2 });
    lab.sysctl('gateway', { 'net.ipv4.conf.gw1.rp_filter': 0 });
    expect(await stop(options)).toEqual([]);
    await third.kill();
    expect(lab.snapshot()).toBe(before);
  },
);

test('a value that somebody changed meanwhile is left, and told', async () => {
  lab.sysctl('gateway', { 'net.ipv6.conf.all.accept_ra': 0 });
  const tun = await lab.packets('gateway', 'tun', 'lw0');
  // A socket in TIME_WAIT or bound to the VIP makes early demux wrong.
  lab.run('gateway', 'sysctl -q -w net.ipv4.ip_nonlocal_bind=1');
  const code = `import socket,sys;s=socket.socket();s.bind(("${VIP}",80));s.listen();print("bound",flush=True);sys.stdin.read()`;
  const bound = lab.start('gateway', ['python3', '-c', code]);
  await bound.until((line) => line === 'bound');
  const { changed } = await apply(INPUT);
  const demux = changed.find((one: { key: string }) => one.key === 'net/ipv4/ip_early_demux');
  expect(demux).toEqual({ key: 'net/ipv4/ip_early_demux', from: '1', to: '0' });
  expect(lab.run('gateway', 'sysctl -n net.ipv4.ip_early_demux')).toBe('0\n');
  await bound.kill();
  lab.sysctl('gateway', { 'net.ipv4.ip_early_demux': 2 });
  expect(await stop()).toEqual([demux]);
  expect(lab.run('gateway', 'sysctl -n net.ipv4.ip_early_demux')).toBe('2\n');
  await tun.kill();
});

test('repair puts back what somebody removed, and finds new interfaces', async () => {
  const before = lab.snapshot();
  const tun = await lab.packets('gateway', 'tun', 'lw0');
  await apply(MANY);
  const running = lab.snapshot();
  lab.run('gateway', 'nft flush ruleset');
  // The kernel removes all IPv4 routes over an interface with its last address.
  lab.run('gateway', 'ip addr flush dev lw0');
  expect(lab.run('gateway', 'ip route show proto 173')).not.toContain('lw0');
  lab.run('gateway', 'ip rule del pref 7302');
  const options = { journalDirectory: lab.directory };
  expect(await driver.must('repair', { options })).toMatchObject({ added: 3, removed: 0 });
  expect(lab.snapshot()).toBe(running);
  lab.run('gateway', 'ip link add late0 type veth peer name late1');
  await driver.must('repair', { options });
  expect(lab.run('gateway', 'sysctl -n net.ipv4.conf.late0.forwarding')).toBe('1\n');
  lab.run('gateway', 'ip link del late0');
  await stop();
  await tun.kill();
  expect(lab.snapshot()).toBe(before);
});

test('an interface that was made anew is switched on again; where an administrator switched it off, it stays off', async () => {
  const before = lab.snapshot();
  const tun = await lab.packets('gateway', 'tun', 'lw0');
  await apply({ ...INPUT, vips: [...INPUT.vips, VIP6] });
  const repair = () => driver.must('repair', { options: { journalDirectory: lab.directory } });
  const add = () => lab.run('gateway', 'ip link add late0 type veth peer name late1');
  const forwarding = () => lab.run('gateway', 'sysctl -a -r net.ipv[46].conf.late0.*forwarding');
  add();
  const fresh = forwarding();
  await repair();
  const switchedOn = forwarding();
  expect(switchedOn).toContain('net.ipv4.conf.late0.forwarding = 1\n');
  expect(switchedOn).not.toBe(fresh);

  lab.sysctl('gateway', { 'net.ipv4.conf.gw0.forwarding': 0 });
  lab.run('gateway', 'ip link del late0');
  add();
  expect(forwarding()).toBe(fresh);
  await repair();
  expect(forwarding()).toBe(switchedOn);
  expect(lab.run('gateway', 'sysctl -n net.ipv4.conf.gw0.forwarding')).toBe('0\n');

  lab.sysctl('gateway', { 'net.ipv4.conf.late0.forwarding': 0 });
  await repair();
  expect(lab.run('gateway', 'sysctl -n net.ipv4.conf.late0.forwarding')).toBe('0\n');
  lab.run('gateway', 'ip link del late0');
  expect(await stop()).toEqual([]);
  await tun.kill();
  expect(lab.snapshot()).toBe(before);
});
