import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { packetLine } from '../../../src/cli/packet-line.ts';

const bytes = (...hex: string[]): Uint8Array => Buffer.from(hex.join('').replace(/\s/g, ''), 'hex');
const line = (...hex: string[]): string => packetLine(bytes(...hex));

/** IPv4 header from 198.51.100.7 to 192.0.2.10 for a packet of `total` bytes. */
const ip4 = (total: number, protocol: string, fragment = '0000'): string =>
  `4500 ${total.toString(16).padStart(4, '0')} 0001 ${fragment} 40 ${protocol} 0000 c6336407 c000020a`;
/** IPv6 header from 2001:db8::1 to 2001:db8::2 for `payload` bytes. */
const ip6 = (payload: number, next: string): string =>
  `60000000 ${payload.toString(16).padStart(4, '0')} ${next} 40 20010db8000000000000000000000001 20010db8000000000000000000000002`;
const tcp = (flags: string): string => `9c40 0050 00000001 00000002 50${flags} ffff 0000 0000`;
const UDP = '9c40 0035 000d 0000 68656c6c6f';
const CLIENT = '198.51.100.7';
const VIP = '192.0.2.10';

describe('TCP and UDP', () => {
  test.each([
    ['02', '[S]'],
    ['12', '[S.]'],
    ['10', '[.]'],
    ['18', '[P.]'],
    ['11', '[F.]'],
    ['04', '[R]'],
    ['14', '[R.]'],
    ['c2', '[SEW]'],
    ['00', '[none]'],
  ])('flags %s are %s', (flags, letters) => {
    expect(line(ip4(40, '06'), tcp(flags))).toBe(
      `IP ${CLIENT}:40000 > ${VIP}:80: Flags ${letters}, length 0`,
    );
  });

  test('length is that of the payload, by the headers', () => {
    expect(line(ip4(45, '06'), tcp('18'), '68656c6c6f')).toMatch(/length 5$/);
    expect(line(ip4(1040, '06'), tcp('18'), 'aa')).toMatch(/length 1000$/);
  });

  test('UDP, and IPv6 in brackets', () => {
    expect(line(ip4(33, '11'), UDP)).toBe(`IP ${CLIENT}:40000 > ${VIP}:53: UDP, length 5`);
    expect(line(ip6(13, '11'), UDP)).toBe('IP6 [2001:db8::1]:40000 > [2001:db8::2]:53: UDP, length 5');
  });

  test('options and extension headers are stepped over', () => {
    const options = `46${ip4(44, '06').slice(2)} 01010100`;
    expect(line(options, tcp('02'))).toBe(`IP ${CLIENT}:40000 > ${VIP}:80: Flags [S], length 0`);
    expect(line(ip6(21, '00'), '1100 010400000000', UDP)).toMatch(/:53: UDP, length 5$/);
  });
});

describe('ICMP', () => {
  test('echo', () => {
    expect(line(ip4(28, '01'), '0800 0000 0007 0003')).toBe(
      `IP ${CLIENT} > ${VIP}: ICMP echo request, id 7, seq 3, length 8`,
    );
    expect(line(ip6(8, '3a'), '8100 0000 0001 0002')).toBe(
      'IP6 2001:db8::1 > 2001:db8::2: ICMP6 echo reply, id 1, seq 2, length 8',
    );
  });

  test('errors with the packet that they quote', () => {
    expect(line(ip4(68, '01'), '0304 0000 0000 0578', ip4(40, '06'), tcp('10'))).toBe(
      `IP ${CLIENT} > ${VIP}: ICMP fragmentation needed, mtu 1400, about (IP ${CLIENT}:40000 > ${VIP}:80: Flags [.], length 0)`,
    );
    expect(line(ip6(61, '3a'), '0200 0000 00000578', ip6(13, '11'), UDP)).toMatch(
      /ICMP6 packet too big, mtu 1400, about \(IP6 .*UDP, length 5\)$/,
    );
    expect(line(ip4(28, '01'), '0b00 0000 0000 0000')).toMatch(/ICMP time exceeded, about \(IP \[empty\]\)$/);
    expect(line(ip4(28, '01'), '0d05 0000 0000 0000')).toMatch(/ICMP type 13 code 5, length 8$/);
  });
});

describe('tunnels', () => {
  test('the inner packet is shown, of either family', () => {
    expect(line(ip4(60, '04'), ip4(40, '06'), tcp('02'))).toBe(
      `IP ${CLIENT} > ${VIP}: IP ${CLIENT}:40000 > ${VIP}:80: Flags [S], length 0`,
    );
    expect(line(ip4(73, '29'), ip6(13, '11'), UDP)).toMatch(
      /^IP 198\S+ > 192\S+: IP6 \[2001.*UDP, length 5$/,
    );
  });

  test('not without end', () => {
    const deep = Array.from({ length: 20 }, (_, index) => ip4(400 - 20 * index, '04'));
    expect(line(...deep)).toMatch(/^(IP \S+ > \S+: ){4}protocol 4, length \d+$/);
  });
});

describe('what is not whole', () => {
  test.each([
    ['', 'IP [empty]'],
    ['4500', 'IP [truncated], length 2'],
    ['60', 'IP6 [truncated], length 1'],
    ['95', 'IP version 9 [not IP], length 1'],
    [`44${ip4(40, '06').slice(2)}`, `IP ${CLIENT} > ${VIP}: [bad header]`],
    [ip4(10, '06'), `IP ${CLIENT} > ${VIP}: [bad header]`],
    [`${ip4(40, '06')} 9c40`, `IP ${CLIENT} > ${VIP}: TCP [truncated], length 20`],
    [`${ip4(28, '11')} 9c40`, `IP ${CLIENT} > ${VIP}: UDP [truncated], length 8`],
    [`${ip4(28, '01')} 0800`, `IP ${CLIENT} > ${VIP}: ICMP [truncated], length 8`],
    [
      `${ip4(60, '06', '2000')} ${tcp('02')}`,
      `IP ${CLIENT}:40000 > ${VIP}:80: Flags [S], length 20, first fragment`,
    ],
    [`${ip4(60, '11', '0010')} aabb`, `IP ${CLIENT} > ${VIP}: fragment at 128, UDP, length 40`],
    [`${ip4(24, '2f')} 00000800`, `IP ${CLIENT} > ${VIP}: protocol 47, length 4`],
    [`${ip6(16, '2c')} 1100 0081 00000001 ${UDP}`, 'IP6 2001:db8::1 > 2001:db8::2: fragment, UDP, length 8'],
    [`${ip6(8, '00')} 11`, 'IP6 2001:db8::1 > 2001:db8::2: [bad extension headers]'],
  ])('%s', (hex, expected) => {
    expect(line(hex)).toBe(expected);
  });

  test('any bytes are one line', () => {
    const start = fc.constantFrom(
      ip4(60, '06'),
      ip4(60, '11'),
      ip4(60, '01'),
      ip4(60, '04'),
      ip6(40, '06'),
      ip6(40, '2c'),
      '',
    );
    fc.assert(
      fc.property(start, fc.uint8Array({ maxLength: 120 }), fc.nat(100), (head, rest, cut) => {
        const packet = Buffer.concat([bytes(head), rest]);
        expect(packetLine(packet.subarray(0, Math.max(0, packet.length - cut)))).toMatch(/^IP[^\n]+$/);
      }),
      { numRuns: 2000 },
    );
  });
});
