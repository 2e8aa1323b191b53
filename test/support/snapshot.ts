/**
 * What a dispatcher may change on its host, read as text, so that before and after can be compared line by line.
 */
import type { Lab } from './lab.ts';

const READINGS: readonly (readonly string[])[] = [
  ...['-4', '-6'].flatMap((family) => [
    ['ip', family, 'addr', 'show'],
    ['ip', family, 'rule', 'show'],
    ['ip', family, 'route', 'show', 'table', 'all'],
  ]),
  ['ip', 'link', 'show'],
  ['nft', 'list', 'ruleset'],
  ['sysctl', '-a'],
];

/** Settings that move by themselves: counts and random numbers, not configuration. */
const RESTLESS =
  /^(net\.netfilter\.nf_conntrack_count|kernel\.|fs\.|vm\.|dev\.|debug\.|user\.|sunrpc\.|abi\.)/;

/** Each reading as lines under its command. */
export function readHost(lab: Lab, host: string): Record<string, string[]> {
  const readings = READINGS.map((command) => {
    const lines = lab.must(host, ...command).split('\n');
    return [command.join(' '), lines.filter((line) => !RESTLESS.test(line))] as const;
  });
  return Object.fromEntries(readings);
}
