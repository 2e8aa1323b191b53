import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { failedLines } from '../../../../src/daemon/host/command.ts';
import { judgeRuleset } from '../../../../src/daemon/host/firewall.ts';
import {
  journalPath,
  readJournal,
  removeJournal,
  writeJournal,
} from '../../../../src/daemon/host/journal.ts';
import { subnetOf } from '../../../../src/daemon/host/links.ts';
import { localAddresses } from '../../../../src/daemon/host/sockets.ts';
import { sysctlName } from '../../../../src/daemon/host/sysctl.ts';
import { parseAddress, parsePrefix } from '../../../../src/wire/address.ts';

let directory: string;
beforeEach(() => {
  directory = mkdtempSync(`${tmpdir()}/latchway-journal-`);
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));

test('the journal gives back what was noted, and nothing of what is no sysctl of ours', () => {
  const path = journalPath(directory);
  expect(path).toMatch(/host-\d+\.json$/);
  expect(readJournal(path)).toEqual([]);
  const change = { key: 'net/ipv4/conf/eth0.5/forwarding', from: '0', to: '1' };
  writeJournal(path, [change]);
  expect(readJournal(path)).toEqual([change]);
  for (const key of ['kernel/core_pattern', 'net/ipv4/../../kernel/core_pattern', '../net/ipv4/x'])
    writeFileSync(
      path,
      readFileSync(path, 'utf8').replace(/("changes":\[)/, `$1{"key":"${key}","from":"x","to":"y"},`),
    );
  expect(readJournal(path)).toEqual([change]);
  writeFileSync(path, '{"changes":');
  expect(readJournal(path)).toEqual([]);
  removeJournal(path);
  removeJournal(path);
});

test('keys are shown as sysctl(8) shows them', () => {
  expect(sysctlName('net/ipv4/conf/eth0.5/forwarding')).toBe('net.ipv4.conf.eth0/5.forwarding');
});

test('local addresses of sockets, as /proc prints them on a little-endian machine', () => {
  const table = [
    '  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode',
    '   0: 0A0200C0:0050 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 1',
    '  12: B80D0120000000000000000001000000:0050 00000000000000000000000000000000:0000 06 00000000',
    '  13: 0000000000000000FFFF00000A0200C0:0050 00000000000000000000000000000000:0000 06 00000000',
  ].join('\n');
  expect(localAddresses(table)).toEqual(['192.0.2.10', '2001:db8::1', '192.0.2.10']);
});

test('failed batch lines', () => {
  expect(failedLines('RTNETLINK answers: File exists\nCommand failed -:2\nx\nCommand failed -:14\n')).toEqual(
    [2, 14],
  );
});

test('firewalls that touch balanced traffic, in the words of nft and of iptables-save', () => {
  const none = { masquerade: false, invalidDrop: false, forwardPolicyDrop: false };
  expect(judgeRuleset('')).toEqual(none);
  const own = 'table inet latchway_lw0 {\n\tchain x {\n\t\tct state invalid drop masquerade\n\t}\n}\n';
  expect(judgeRuleset(own)).toEqual(none);
  const nft = [
    'table inet fw {',
    '\tchain f {',
    '\t\ttype filter hook forward priority filter; policy drop;',
    '\t\tct state { established, related } accept',
    '\t\tct state invalid counter packets 0 bytes 0 drop',
    '\t}',
    '\tchain p {',
    '\t\toifname "eth0" masquerade',
    '\t}',
    '}',
  ];
  expect(judgeRuleset(`${own}${nft.join('\n')}`)).toEqual({
    masquerade: true,
    invalidDrop: true,
    forwardPolicyDrop: true,
  });
  expect(judgeRuleset(nft.slice(0, 4).join('\n').replace('policy drop', 'policy accept'))).toEqual(none);
  const legacy = [
    '*filter',
    ':FORWARD DROP [0:0]',
    '-A FORWARD -m conntrack --ctstate INVALID -j DROP',
    '-A POSTROUTING -o eth0 -j MASQUERADE',
  ];
  expect(judgeRuleset(legacy.join('\n'))).toEqual({
    masquerade: true,
    invalidDrop: true,
    forwardPolicyDrop: true,
  });
  expect(judgeRuleset('-A FORWARD -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT')).toEqual(none);
});

test('a subnet is found by its interface; a lone address is none', () => {
  const link = (name: string, ...texts: string[]) => ({
    name,
    index: 2,
    mtuBytes: 1500,
    multicast: true,
    up: true,
    addresses: texts.map((text) => parsePrefix(text)!),
  });
  const links = [link('lo', '192.0.2.10/32', '::1/128'), link('eth0', '192.0.2.1/24', '2001:db8::1/64')];
  expect(subnetOf(links, parseAddress('192.0.2.10')!)?.device).toBe('eth0');
  expect(subnetOf(links, parseAddress('2001:db8::ff')!)?.device).toBe('eth0');
  expect(subnetOf(links, parseAddress('198.51.100.1')!)).toBeUndefined();
});
