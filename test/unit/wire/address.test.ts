import { describe, expect, it } from 'vitest';
import {
  addressFromWords,
  familyMask,
  formatAddress,
  formatEndpoint,
  formatPrefix,
  parseAddress,
  parseEndpoint,
  parsePrefix,
  prefixContains,
  prefixMask,
} from '../../../src/wire/address.ts';

describe('address text', () => {
  it.each([
    ['192.0.2.1', 4, [0, 0, 0xffff, 0xc0000201], '192.0.2.1'],
    ['255.255.255.255', 4, [0, 0, 0xffff, 0xffffffff], '255.255.255.255'],
    ['::ffff:192.0.2.1', 4, [0, 0, 0xffff, 0xc0000201], '192.0.2.1'],
    ['::', 6, [0, 0, 0, 0], '::'],
    ['::1', 6, [0, 0, 0, 1], '::1'],
    ['2001:DB8::1', 6, [0x20010db8, 0, 0, 1], '2001:db8::1'],
    ['64:ff9b::192.0.2.33', 6, [0x0064ff9b, 0, 0, 0xc0000221], '64:ff9b::c000:221'],
    ['1::', 6, [0x00010000, 0, 0, 0], '1::'],
    ['1:2:3:4:5:6:7::', 6, [0x10002, 0x30004, 0x50006, 0x70000], '1:2:3:4:5:6:7:0'],
    // RFC 5952 section 4.2.2 and 4.2.3: one zero group is written out; the first of two equal runs is shortened.
    ['2001:db8:0:1:1:1:1:1', 6, [0x20010db8, 1, 0x10001, 0x10001], '2001:db8:0:1:1:1:1:1'],
    ['2001:db8:0:0:1:0:0:1', 6, [0x20010db8, 0, 0x10000, 1], '2001:db8::1:0:0:1'],
    ['2001:0:0:1:0:0:0:1', 6, [0x20010000, 1, 0, 1], '2001:0:0:1::1'],
  ])('reads %s', (text, family, words, written) => {
    expect(parseAddress(text)).toEqual({ family, words });
    expect(formatAddress(parseAddress(text)!)).toBe(written);
    expect(parseAddress(written)?.words).toEqual(words);
  });

  it.each([
    '',
    '1.2.3',
    '1.2.3.4.5',
    '1.2.3.256',
    '01.2.3.4',
    '1.2.3.4 ',
    '0x1.2.3.4',
    ':',
    ':::',
    '1::2::3',
    '1:2:3:4:5:6:7',
    '1:2:3:4:5:6:7:8:9',
    '1:2:3:4:5:6:7:8::',
    ':1:2:3:4:5:6:7',
    '1:2:3:4:5:6:7:',
    '12345::',
    'g::',
    'fe80::1%eth0',
    '[::1]',
    '1.2.3.4::',
    '::1.2.3.4:5',
    '1:2:3:4:5:6:7:1.2.3.4',
  ])('refuses "%s"', (text) => {
    expect(parseAddress(text)).toBeUndefined();
  });

  it('takes mapped words for IPv4', () => {
    expect(addressFromWords([0, 0, 0xffff, 1]).family).toBe(4);
    expect(addressFromWords([0, 1, 0xffff, 1]).family).toBe(6);
  });
});

describe('endpoint text', () => {
  it.each(['192.0.2.1:80', '[2001:db8::1]:65535', '0.0.0.0:0'])('reads and writes %s', (text) => {
    const endpoint = parseEndpoint(text)!;
    expect(formatEndpoint(endpoint.address, endpoint.port)).toBe(text);
  });

  it.each([
    '192.0.2.1',
    '192.0.2.1:65536',
    '192.0.2.1:080',
    '2001:db8::1:80',
    '[192.0.2.1]:80',
    ':80',
    '[::1]:',
  ])('refuses %s', (text) => {
    expect(parseEndpoint(text)).toBeUndefined();
  });
});

describe('prefixes', () => {
  it('masks words', () => {
    expect(prefixMask(0)).toEqual([0, 0, 0, 0]);
    expect(prefixMask(1)).toEqual([0x80000000, 0, 0, 0]);
    expect(prefixMask(64)).toEqual([0xffffffff, 0xffffffff, 0, 0]);
    expect(prefixMask(128)).toEqual([0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff]);
    expect(familyMask(4, 24)).toEqual([0xffffffff, 0xffffffff, 0xffffffff, 0xffffff00]);
  });

  it('reads, writes and contains', () => {
    const prefix = parsePrefix('192.0.2.0/24')!;
    expect(formatPrefix(prefix)).toBe('192.0.2.0/24');
    expect(prefixContains(prefix, parseAddress('192.0.2.255')!)).toBe(true);
    expect(prefixContains(prefix, parseAddress('192.0.3.0')!)).toBe(false);
    expect(prefixContains(parsePrefix('::/0')!, parseAddress('192.0.2.1')!)).toBe(false);
    expect(prefixContains(parsePrefix('2001:db8::/33')!, parseAddress('2001:db8:8000::')!)).toBe(false);
    expect(parsePrefix('192.0.2.1')?.bits).toBe(32);
  });

  it.each(['192.0.2.0/33', '::/129', '192.0.2.0/', '192.0.2.0/-1', '192.0.2.0/08', 'x/8'])(
    'refuses %s',
    (text) => {
      expect(parsePrefix(text)).toBeUndefined();
    },
  );
});
