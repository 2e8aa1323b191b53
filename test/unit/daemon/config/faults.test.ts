import { describe, expect, test } from 'vitest';
import { FULL, faultsOf, service } from './sample.ts';

/** [what is wrong, text, the faults in full] */
type Row = readonly [what: string, text: string, ...faults: string[]];

const SERVERS = 7;

function check(rows: readonly Row[]): void {
  test.each(rows.map(([what, ...rest]) => [what, rest] as const))('%s', (_what, [text, ...faults]) => {
    expect(faultsOf(text!)).toEqual(faults);
  });
}

describe('YAML', () => {
  test('an alias inside its own anchor', () => {
    expect(faultsOf(`device: { name: &a [*a] }\n${service()}`)).toHaveLength(1);
  });

  test('strings with line ends stay on the line of their fault', () => {
    expect(faultsOf(service('mode: "na\\n\\u2028t"'))).toEqual([
      "services.web.mode: must be nat or ipip, not 'na\\u000a\\u2028t' (did you mean 'nat'?) (6)",
    ]);
  });

  check([
    ['empty', '', 'services: is missing (1)'],
    ['only a comment', '# nothing\n', 'services: is missing (1)'],
    ['a word', 'hello', 'yaml: must be a map of keys and values (1)'],
    ['a list', '- a\n- b\n', 'yaml: must be a map of keys and values (1)'],
    [
      'a stray bracket',
      'services:\n  web: ]\n',
      'yaml: Unexpected flow-seq-end token in YAML stream: "]" (2)',
    ],
    ['a tab', 'services:\n\tweb: 1\n', 'yaml: Tabs are not allowed as indentation (2)'],
    [
      'an alias of nothing',
      'services: *no\n',
      'yaml: Unresolved alias (the anchor must be set before the alias): no (1)',
    ],
    [
      'two documents',
      `${service()}---\n${service()}`,
      expect.stringMatching(/^yaml: .*multiple documents.* \(8\)$/) as unknown as string,
    ],
    ['an unknown tag', 'services: !foo bar\n', 'yaml: Unresolved tag: !foo (1)'],
  ]);

  test('depth beyond the stack', () => {
    expect(faultsOf('['.repeat(200_000))).toHaveLength(1);
  });

  check([
    [
      'a key given twice',
      `device: {}\n${service()}device: {}\n`,
      'device: is given twice, first in line 1 (9)',
    ],
    [
      'a server given twice, and another fault',
      service('unknown: maybe', 's1: { address: 10.0.2.1 }\ns1: { address: 10.0.2.2 }'),
      "services.web.unknown: must be auto, reset, drop or hash, not 'maybe' (6)",
      'services.web.servers.s1: is given twice, first in line 8 (9)',
    ],
    [
      'the key that objects cannot carry',
      service('', '__proto__: { address: 10.0.2.1 }'),
      'services.web.servers.__proto__: cannot be used as a name (7)',
    ],
  ]);
});

describe('keys', () => {
  check([
    ['mistyped at the top', `tabel: {}\n${service()}`, "tabel: unknown key: did you mean 'table'? (1)"],
    [
      'mistyped in a service',
      service('shceduler: rr'),
      "services.web.shceduler: unknown key: did you mean 'scheduler'? (6)",
    ],
    [
      'of another world',
      service('', 's1: { address: 10.0.2.1, colour: red }'),
      `services.web.servers.s1.colour: unknown key: known are address, port, weight (${SERVERS})`,
    ],
    [
      'a map where a section is empty',
      `device:\n${service()}`,
      'device: is empty: give it a value or leave it out (1)',
    ],
    [
      'a list where a map is due',
      `device: [lw0]\n${service()}`,
      'device: must be a map of keys and values (1)',
    ],
    ['an empty value', service('mode:'), 'services.web.mode: is empty: give it a value or leave it out (6)'],
    [
      'names inherited by every object',
      `toString: 1\n${service()}`,
      expect.stringMatching(/^toString: unknown key/) as unknown as string,
    ],
    [
      'missing in a service',
      'services:\n  web:\n    mode: nat\n',
      'services.web.vip: is missing (2)',
      'services.web.protocol: is missing (2)',
      'services.web.ports: is missing (2)',
      'services.web.servers: is missing (2)',
    ],
    [
      'an empty service',
      'services:\n  web:\n',
      'services.web: is empty: give it a value or leave it out (2)',
    ],
    ['no services', 'services: {}\n', 'services: is empty: it needs at least one entry (1)'],
    [
      'no servers',
      service().replace(/servers:\n.*/, 'servers: {}'),
      'services.web.servers: is empty: it needs at least one entry (6)',
    ],
  ]);

  test('a service may be named as something that every object inherits', () => {
    expect(faultsOf(service().replace('web:', 'constructor:'))).toEqual([]);
  });

  const NAME = 'must be a name of 1 to 64 letters, digits, dots, underscores and hyphens';
  check([
    ['a name with a slash', service().replace('web:', 'a/b:'), `services.a/b: ${NAME} (2)`],
    [
      'a name too long',
      service('', `${'x'.repeat(65)}: { address: 10.0.2.1 }`),
      `services.web.servers.${'x'.repeat(65)}: ${NAME} (${SERVERS})`,
    ],
    [
      'names that look like numbers and dots are names',
      service('', '8080: { address: 10.0.2.1 }\na.b_c-d: { address: 10.0.2.2 }'),
    ],
  ]);
});

describe('values', () => {
  const vip = (text: string): string => service().replace('192.0.2.10', text);
  const WHERE = 'services.web.vip:';
  check([
    ['no address', vip('192.0.2.256'), `${WHERE} not an IP address: '192.0.2.256' (3)`],
    ['a host name', vip('localhost'), `${WHERE} not an IP address: 'localhost' (3)`],
    ['a number', vip('12'), `${WHERE} not an IP address: 12 (3)`],
    ['a list', vip('[192.0.2.1]'), `${WHERE} not an IP address: a list (3)`],
    ['unspecified', vip('0.0.0.0'), `${WHERE} 0.0.0.0 is the unspecified address (3)`],
    ['loopback', vip('127.1.2.3'), `${WHERE} 127.1.2.3 is a loopback address (3)`],
    ['loopback in its mapped form', vip('::ffff:127.0.0.1'), `${WHERE} 127.0.0.1 is a loopback address (3)`],
    ['multicast', vip('239.1.1.1'), `${WHERE} 239.1.1.1 is a multicast address (3)`],
    ['broadcast', vip('255.255.255.255'), `${WHERE} 255.255.255.255 is the broadcast address (3)`],
    ['IPv6 unspecified', vip('"::"'), `${WHERE} :: is the unspecified address (3)`],
    ['IPv6 loopback', vip('"::1"'), `${WHERE} ::1 is a loopback address (3)`],
    ['IPv6 multicast', vip('ff02::1'), `${WHERE} ff02::1 is a multicast address (3)`],
    [
      'IPv6 link-local',
      vip('fe80::1'),
      `${WHERE} fe80::1 is a link-local address, which has a meaning on one link only (3)`,
    ],
  ]);

  const ports = (text: string): string => service().replace('[80]', text);
  const RANGE = 'must be a port from 1 to 65535, a range such as "8000-8099", or any';
  check([
    ['port 0', ports('[0]'), `services.web.ports[0]: ${RANGE}, not 0 (5)`],
    ['port beyond the end', ports('[80, 65536]'), `services.web.ports[1]: ${RANGE}, not 65536 (5)`],
    ['a range backwards', ports('["90-80"]'), `services.web.ports[0]: ${RANGE}, not '90-80' (5)`],
    ['half a port', ports('80.5'), `services.web.ports[0]: ${RANGE}, not 80.5 (5)`],
    ['no ports', ports('[]'), 'services.web.ports: is empty: list at least one port (5)'],
    [
      'a port twice',
      ports('[80, "70-90"]'),
      'services.web.ports: 80 is covered by another entry of the list (5)',
    ],
    [
      'any and another',
      ports('[any, 80]'),
      'services.web.ports: any must stand alone: it includes every other port (5)',
    ],
    ['a port as text', ports('"80"')],
    ['one port', ports('80')],
    ['any in a list', ports('[any]')],
    ['a list in the list', ports('[80, [1]]'), `services.web.ports[1]: ${RANGE}, not a list (5)`],
  ]);

  check([
    [
      'mode not built',
      service('mode: gue'),
      'services.web.mode: gue is not supported by this version: use nat or ipip (6)',
    ],
    [
      'the other mode not built',
      service('mode: dsr'),
      'services.web.mode: dsr is not supported by this version: use nat or ipip (6)',
    ],
    [
      'mode mistyped',
      service('mode: ipp'),
      "services.web.mode: must be nat or ipip, not 'ipp' (did you mean 'ipip'?) (6)",
    ],
    [
      'rebind',
      service('on-server-down: rebind'),
      'services.web.on-server-down: rebind is agreed on by the dispatchers of a cluster: add a cluster section, of one dispatcher if need be (6)',
    ],
    [
      'a kind of check not built, its keys not judged',
      service('health: { type: http, path: /, codes: [200] }'),
      'services.web.health.type: http is not supported by this version: use none or tcp (6)',
    ],
    [
      'no kind of check',
      service('health: { type: 5 }'),
      'services.web.health.type: must be none or tcp, not 5 (6)',
    ],
    [
      'affinity',
      service('affinity: client/'),
      "services.web.affinity: must be flow, client or client/N (N bits of the client address), not 'client/' (6)",
    ],
    [
      'affinity of no bits',
      service('affinity: client/0'),
      "services.web.affinity: must be flow, client or client/N (N bits of the client address), not 'client/0' (6)",
    ],
    [
      'affinity beyond the family',
      service('affinity: client/33'),
      'services.web.affinity: client/33: an IPv4 address has 32 bits (6)',
    ],
    [
      'scheduler',
      service('scheduler: wllc'),
      "services.web.scheduler: must be maglev, rr, wrr, lc, wlc, sh or random, not 'wllc' (did you mean 'wlc'?) (6)",
    ],
    [
      'weight below',
      service('', 's1: { address: 10.0.2.1, weight: -1 }'),
      'services.web.servers.s1.weight: must be a whole number from 0 to 65535, not -1 (7)',
    ],
    [
      'weight beyond',
      service('', 's1: { address: 10.0.2.1, weight: 65536 }'),
      'services.web.servers.s1.weight: must be a whole number from 0 to 65535, not 65536 (7)',
    ],
    [
      'weight as text',
      service('', 's1: { address: 10.0.2.1, weight: "1" }'),
      "services.web.servers.s1.weight: must be a whole number from 0 to 65535, not '1' (7)",
    ],
    [
      'weight at both ends',
      service('', 's1: { address: 10.0.2.1, weight: 0 }\ns2: { address: 10.0.2.2, weight: 65535 }'),
    ],
  ]);

  const TIME = (range: string, not: string) =>
    `must be a duration from ${range} (as in 100ms, 2s, 15m, 1h), not ${not}`;
  check([
    [
      'a time without unit',
      `timeouts: { udp: 5 }\n${service()}`,
      `timeouts.udp: ${TIME('100ms to 168h', '5')} (1)`,
    ],
    [
      'a time below',
      service('timeouts: { udp: 99ms }'),
      `services.web.timeouts.udp: ${TIME('100ms to 168h', "'99ms'")} (6)`,
    ],
    [
      'a time beyond',
      service('timeouts: { udp: 169h }'),
      `services.web.timeouts.udp: ${TIME('100ms to 168h', "'169h'")} (6)`,
    ],
    [
      'a fraction',
      service('timeouts: { client: 1.5s }'),
      `services.web.timeouts.client: ${TIME('100ms to 168h', "'1.5s'")} (6)`,
    ],
    [
      'probe interval',
      service('health: { interval: 1ms }'),
      `services.web.health.interval: ${TIME('10ms to 1h', "'1ms'")} (6)`,
    ],
    [
      'rise',
      service('health: { rise: 0 }'),
      'services.web.health.rise: must be a whole number from 1 to 100, not 0 (6)',
    ],
    [
      'capacity below',
      `table: { capacity: 1023 }\n${service()}`,
      'table.capacity: must be a whole number from 1024 to 16777216, not 1023 (1)',
    ],
    [
      'capacity beyond',
      `table: { capacity: 16777217 }\n${service()}`,
      'table.capacity: must be a whole number from 1024 to 16777216, not 16777217 (1)',
    ],
    ['capacity at both ends', `table: { capacity: 1024 }\n${service()}`],
    [
      'queues',
      `device: { queues: 9 }\n${service()}`,
      'device.queues: must be a whole number from 1 to 8, not 9 (1)',
    ],
    [
      'a device of 16 letters',
      `device: { name: abcdefghijklmnop }\n${service()}`,
      expect.stringMatching(/^device\.name: must be a device name of 1 to 15/) as unknown as string,
    ],
    [
      'a device with a format',
      `device: { name: "lw%d" }\n${service()}`,
      expect.stringMatching(/^device\.name: /) as unknown as string,
    ],
    [
      'a device named ..',
      `device: { name: ".." }\n${service()}`,
      expect.stringMatching(/^device\.name: /) as unknown as string,
    ],
    [
      'a device named lo',
      `device: { name: lo }\n${service()}`,
      expect.stringMatching(/^device\.name: /) as unknown as string,
    ],
    [
      'a listener without port',
      `metrics: { listen: 127.0.0.1 }\n${service()}`,
      expect.stringMatching(/^metrics\.listen: must be an address and a port/) as unknown as string,
    ],
    [
      'a listener at port 0',
      `metrics: { listen: "127.0.0.1:0" }\n${service()}`,
      expect.stringMatching(/^metrics\.listen: /) as unknown as string,
    ],
    [
      'flood',
      `flood: { new-sessions-per-second: 0 }\n${service()}`,
      'flood.new-sessions-per-second: must be a whole number from 1 to 10000000, not 0 (1)',
    ],
    [
      'no number at all',
      `flood: { new-sessions-per-second: .nan }\n${service()}`,
      expect.stringMatching(/^flood\.new-sessions-per-second: must be a whole number/) as unknown as string,
    ],
  ]);
});

describe('cluster', () => {
  const cluster = (body: string): string => `cluster: { name: e, key-file: k, ${body} }\n${service()}`;
  check([
    ['one dispatcher', cluster('dispatchers: { d1: 10.0.1.1 }')],
    ['more than one', cluster('dispatchers: { d1: 10.0.1.1, d2: 10.0.1.2 }')],
    [
      'one address twice',
      cluster('dispatchers: { d1: 10.0.1.1, d2: 10.0.1.1 }'),
      "cluster.dispatchers.d2: has the address of 'd1' (1)",
    ],
    [
      'two families',
      cluster('dispatchers: { d1: 10.0.1.1, d2: "2001:db8::2" }'),
      'cluster.dispatchers.d2: must be of the same address family as the other dispatchers (1)',
    ],
    ['none', cluster('dispatchers: {}'), 'cluster.dispatchers: is empty: it needs at least one entry (1)'],
    ['left out', cluster('port: 1'), 'cluster.dispatchers: is missing (1)'],
    [
      'a dispatcher without address',
      cluster('dispatchers: { d1: 10.0.1 }'),
      "cluster.dispatchers.d1: not an IP address: '10.0.1' (1)",
    ],
    ['a group', cluster('multicast: 239.1.2.3, dispatchers: { d1: 10.0.1.1 }')],
    ['an IPv6 group', cluster('multicast: "ff12::1", dispatchers: { d1: "2001:db8::1" }')],
    [
      'a group that is none',
      cluster('multicast: 10.1.2.3, dispatchers: { d1: 10.0.1.1 }'),
      'cluster.multicast: 10.1.2.3 is no multicast group: take one of 239.0.0.0/8 (1)',
    ],
    [
      'a group of others',
      cluster('multicast: 224.0.0.18, dispatchers: { d1: 10.0.1.1 }'),
      'cluster.multicast: 224.0.0.18 belongs to routing protocols: take one of 239.0.0.0/8 (1)',
    ],
    [
      'a group that goes nowhere',
      cluster('multicast: "ff11::1", dispatchers: { d1: "2001:db8::1" }'),
      'cluster.multicast: ff11::1 does not leave its host: take one of ff12::/16 (1)',
    ],
    [
      'an assigned group',
      cluster('multicast: "ff02::1", dispatchers: { d1: "2001:db8::1" }'),
      'cluster.multicast: ff02::1 is an assigned group: take one of ff12::/16 (1)',
    ],
    [
      'a group that is no address',
      cluster('multicast: all, dispatchers: { d1: 10.0.1.1 }'),
      "cluster.multicast: not an IP address: 'all' (1)",
    ],
    [
      'a group of the other family',
      cluster('multicast: "ff12::1", dispatchers: { d1: 10.0.1.1 }'),
      "cluster.multicast: must be of the family of the dispatchers' addresses, which are IPv4 (1)",
    ],
    [
      'a dead peer before its heartbeat',
      cluster('heartbeat: 1s, dispatchers: { d1: 10.0.1.1 }'),
      'cluster.dead-after: must be at least twice the heartbeat, else one lost datagram is a death (1)',
    ],
    [
      'two changes of keys at once',
      cluster('next-key-file: n, previous-key-file: p, dispatchers: { d1: 10.0.1.1 }'),
      'cluster.next-key-file: excludes previous-key-file: end the change of keys that is under way first (1)',
    ],
    [
      'the VIP',
      cluster('dispatchers: { d1: 192.0.2.10 }'),
      'services.web.vip: 192.0.2.10 is the address of dispatcher d1 (4)',
    ],
    [
      'nothing in it',
      `cluster: {}\n${service()}`,
      'cluster.name: is missing (1)',
      'cluster.key-file: is missing (1)',
      'cluster.dispatchers: is missing (1)',
    ],
  ]);
});

describe('what keys say together', () => {
  const two = (a: string, b: string): string => `services:
  a: { vip: 192.0.2.1, servers: { s1: { address: 10.0.0.1 } }, ${a} }
  b: { vip: 192.0.2.1, servers: { s1: { address: 10.0.0.1 } }, ${b} }
`;
  const ipip = (servers: string): string => service('mode: ipip', servers);
  check([
    [
      'one port of two services',
      two('protocol: tcp, ports: 80', 'protocol: tcp, ports: 80'),
      'services.b.ports: 192.0.2.1 tcp 80 belongs to service a already (3)',
    ],
    [
      'a range over a port',
      two('protocol: tcp, ports: [22, 80]', 'protocol: tcp, ports: ["70-90", 443]'),
      'services.b.ports: 192.0.2.1 tcp 70-90 belongs to service a already (3)',
    ],
    [
      'any over all',
      two('protocol: udp, ports: any', 'protocol: udp, ports: [53]'),
      'services.b.ports: 192.0.2.1 udp 53 belongs to service a already (3)',
    ],
    ['neighbours', two('protocol: tcp, ports: "80-89"', 'protocol: tcp, ports: "90-99"')],
    ['another protocol', two('protocol: tcp, ports: 53', 'protocol: udp, ports: 53')],
    [
      'nat across families',
      service('', 's1: { address: 2001:db8::1 }'),
      'services.web.servers.s1.address: is IPv6 but the VIP is IPv4: mode nat translates within one family (ipip takes any) (7)',
    ],
    ['ipip across families', ipip('s1: { address: 2001:db8::1 }\ns2: { address: 10.0.2.1 }')],
    [
      'ipip to IPv4 from IPv6',
      ipip('s1: { address: 2001:db8::1 }\ns2: { address: 10.0.2.1 }').replace('192.0.2.10', '2001:db8::10'),
    ],
    [
      'ipip with a port',
      ipip('s1: { address: 10.0.2.1, port: 80 }'),
      "services.web.servers.s1.port: has no meaning in mode ipip: the server gets the client's own packet and port; leave it out (8)",
    ],
    [
      'a server that is the VIP',
      service('', 's1: { address: 192.0.2.10 }'),
      'services.web.servers.s1.address: 192.0.2.10 is the VIP of service web (7)',
    ],
    [
      'one server twice',
      service('', 's1: { address: 10.0.2.1, port: 8080 }\ns2: { address: 10.0.2.1, port: 8080 }'),
      'services.web.servers.s2: has the same address and port as s1: 10.0.2.1:8080 (8)',
    ],
    [
      'one server twice, once by the port it keeps',
      service('', 's1: { address: 10.0.2.1 }\ns2: { address: 10.0.2.1, port: 80 }'),
      'services.web.servers.s2: has the same address and port as s1: 10.0.2.1:80 (8)',
    ],
    [
      'one host, two ports',
      service('', 's1: { address: 10.0.2.1, port: 8080 }\ns2: { address: 10.0.2.1, port: 8081 }'),
    ],
    [
      'any port and nothing to probe',
      service('health: {}').replace('[80]', 'any'),
      "services.web.health: needs a 'port': the service has any port, so there is none to probe (6)",
    ],
    ['any port and a port to probe', service('health: { port: 80 }').replace('[80]', 'any')],
  ]);

  test('comparisons are made in a service that has other faults', () => {
    const text = service(
      'mode: natt',
      's1: { address: 192.0.2.10 }\ns2: { address: 10.0.2.1, weight: x }\ns3: { address: 10.0.2.1 }',
    );
    expect(faultsOf(text).map((fault) => fault.split(': ')[0])).toEqual([
      'services.web.mode',
      'services.web.servers.s1.address',
      'services.web.servers.s2.weight',
      'services.web.servers.s3',
    ]);
  });
});

describe('limits', () => {
  const servers = (count: number): string =>
    Array.from({ length: count }, (_, i) => `s${i}: { address: 10.0.${i >> 8}.${i & 255} }`).join('\n');

  test('servers of one service', () => {
    expect(faultsOf(service('', servers(655)))).toEqual([]);
    expect(faultsOf(service('', servers(656)))).toEqual([
      'services.web.servers: has 656 servers: at most 655 are supported in one service (6)',
    ]);
  });

  test('servers in all, multiplied by aliases', () => {
    const more = Array.from(
      { length: 29 },
      (_, i) => `  w${i}: { vip: 192.0.2.11, protocol: tcp, ports: ${i + 1}, servers: *pool }\n`,
    );
    const text = service('', servers(600)).replace('servers:', 'servers: &pool') + more.join('');
    expect(faultsOf(text)).toEqual(['services: has 18000 servers in all: at most 16384 are supported (1)']);
  });

  test('services', () => {
    const many = Array.from({ length: 4097 }, (_, i) => `  w${i}:\n`).join('');
    expect(faultsOf(`services:\n${many}`)).toEqual([
      'services: has 4097 services: at most 4096 are supported (1)',
    ]);
  });

  test('ranges', () => {
    const list = Array.from({ length: 257 }, (_, i) => i * 2 + 1).join(', ');
    expect(faultsOf(service().replace('[80]', `[${list}]`))).toEqual([
      'services.web.ports: has more than 256 ranges: use fewer, or any (5)',
    ]);
  });
});

test('the sample of every key is valid', () => {
  expect(faultsOf(FULL)).toEqual([]);
});
