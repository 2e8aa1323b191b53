/**
 * The kernel's own counters of a namespace: /proc/net/snmp, snmp6 and netstat as flat names (`Udp.InCsumErrors`,
 * `Ip6InReceives`, `TcpExt.TCPSpuriousRTOs`). By hand: `netns/lab exec s1 node netns/tools/snmp.mjs` prints those
 * that count something going wrong.
 */
import { readFileSync } from 'node:fs';
import { pathToFileURL } from 'node:url';

/** @typedef {Record<string, number>} Snmp */

export const SNMP_FILES = ['/proc/net/snmp', '/proc/net/netstat', '/proc/net/snmp6'];

/** Counters of broken checksums: they stay 0 on any end that gets whole packets. */
export const CHECKSUM_ERRORS = [
  'Tcp.InCsumErrors',
  'Udp.InCsumErrors',
  'Icmp.InCsumErrors',
  'Udp6InCsumErrors',
  'Icmp6InCsumErrors',
  'IpExt.InCsumErrors',
];

/**
 * @param {string} text the three files, one after the other
 * @returns {Snmp}
 */
export function parseSnmp(text) {
  /** @type {Snmp} */
  const values = {};
  /** @type {Record<string, string[]>} */
  const headings = {};
  for (const line of text.split('\n')) {
    const words = line.trim().split(/\s+/);
    const [first = '', second = ''] = words;
    if (first.endsWith(':')) {
      const group = first.slice(0, -1);
      const names = headings[group];
      if (names === undefined) headings[group] = words.slice(1);
      else
        names.forEach((name, index) => {
          values[`${group}.${name}`] = Number(words[index + 1]);
        });
    } else if (words.length === 2) values[first] = Number(second);
  }
  return values;
}

/** What went up between two readings, without what did not. @param {Snmp} before @param {Snmp} after @returns {Snmp} */
export function snmpRise(before, after) {
  const rises = Object.entries(after).map(([name, value]) => [name, value - (before[name] ?? 0)]);
  return Object.fromEntries(rises.filter(([, rise]) => rise !== 0));
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) {
  const all = parseSnmp(SNMP_FILES.map((file) => readFileSync(file, 'utf8')).join('\n'));
  for (const [name, value] of Object.entries(all)) {
    if (value !== 0 && /Err|Csum|Discard|Drop|Rst|NoRoute|Fail/.test(name)) console.log(`${name} ${value}`);
  }
}
