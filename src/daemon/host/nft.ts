/**
 * The daemon's nftables table, as text for `nft -f -`. Pure.
 *
 * One base chain before connection tracking (priority raw, -300) does two things, each only where needed: it exempts
 * what passes the dispatcher from connection tracking (a reply whose request went through another dispatcher is
 * `invalid` here, and a masquerade would change addresses that the dispatcher relies on), and it marks replies for
 * the one policy rule that stands for thousands of servers. The text replaces the whole table in one transaction, so
 * there is no moment without it. Source: nft(8).
 *
 * What is addressed to this host itself (answers to health checks, to masqueraded clients) is left alone. ICMP errors
 * are matched by the server address that they quote: the destination of the quoted packet lies 16 (IPv6: 24) bytes
 * into the quoted header, which follows 8 bytes of ICMP; raw payload sets compare with integers, hence the hex.
 */

import { type Address, type Family, formatAddress } from '../../wire/address.ts';
import type { ReplyClaim } from './claims.ts';
import { portWords } from './state.ts';

export interface NftInput {
  readonly table: string;
  readonly device: string;
  readonly vips: readonly Address[];
  readonly claims: readonly ReplyClaim[];
  /** Mark bit to set on replies; undefined: policy rules find them. */
  readonly mark: number | undefined;
  readonly notrack: boolean;
}

/** Per family: set suffix, nft's words, where an ICMP error holds the quoted destination, types of ICMP errors. */
const FAMILIES = {
  4: { type: 'ipv4_addr', ip: 'ip', icmp: 'icmp', quoted: '@th,192,32', errors: '3, 4, 11, 12' },
  6: { type: 'ipv6_addr', ip: 'ip6', icmp: 'icmpv6', quoted: '@th,256,128', errors: '1, 2, 3, 4' },
} as const;

/** Fragment tests; connection tracking, where active, has reassembled before this chain sees anything. */
const IS_FRAGMENT = { 4: 'ip frag-off & 0x3fff != 0', 6: 'exthdr frag exists' } as const;

/** Replaces the table, whether it exists or not, in one transaction. */
export function nftText(input: NftInput): string {
  const sets: string[] = [];
  const before: string[] = [];
  const after: string[] = [];
  if (input.notrack) before.push(`iifname "${input.device}" notrack return`);
  for (const family of [4, 6] as const) {
    vipPart(input, family, sets, before);
    replyPart(input, family, sets, after);
  }
  if (after.length > 0) after.unshift('fib daddr type local return');
  const claim = [
    ...(input.mark === undefined ? [] : [`meta mark set meta mark | 0x${input.mark.toString(16)}`]),
    ...(input.notrack ? ['notrack'] : []),
  ];
  return [
    `table inet ${input.table} {}`,
    nftRemoval(input.table),
    `table inet ${input.table} {`,
    ...sets,
    `  chain reply { ${claim.join('; ')}; }`,
    '  chain prerouting {',
    '    type filter hook prerouting priority raw; policy accept;',
    ...[...before, ...after].map((line) => `    ${line}`),
    '  }',
    '}',
    '',
  ].join('\n');
}

/** Removes the table; fails when it is not there. */
export function nftRemoval(table: string): string {
  return `delete table inet ${table}`;
}

function vipPart(input: NftInput, family: Family, sets: string[], chain: string[]): void {
  const vips = unique(input.vips.filter((vip) => vip.family === family).map(formatAddress));
  if (vips.length === 0 || !input.notrack) return;
  const words = FAMILIES[family];
  sets.push(set(`vips${family}`, `type ${words.type}`, vips));
  chain.push(`${words.ip} daddr @vips${family} notrack return`);
}

function replyPart(input: NftInput, family: Family, sets: string[], chain: string[]): void {
  const claims = input.claims.filter((claim) => claim.address.family === family);
  if (claims.length === 0) return;
  const words = FAMILIES[family];
  const pair = `${words.ip} saddr . meta l4proto`;
  const text = (claim: ReplyClaim): string => `${formatAddress(claim.address)} . ${claim.protocol}`;

  const ports = claims.flatMap((claim) => claim.ports.map((range) => `${text(claim)} . ${portWords(range)}`));
  const ranged = claims.some((claim) => claim.ports.some(([low, high]) => low !== high));
  if (ports.length > 0) {
    const type = `type ${words.type} . inet_proto . inet_service`;
    sets.push(set(`replies${family}`, ranged ? `${type}; flags interval` : type, ports));
    chain.push(`${pair} . th sport @replies${family} goto reply`);
  }
  const any = claims.filter((claim) => claim.any).map(text);
  if (any.length > 0) {
    sets.push(set(`any${family}`, `type ${words.type} . inet_proto`, any));
    chain.push(`${pair} @any${family} goto reply`);
  }
  sets.push(set(`servers${family}`, `type ${words.type} . inet_proto`, claims.map(text)));
  chain.push(`${IS_FRAGMENT[family]} ${pair} @servers${family} goto reply`);

  const quoted = unique(claims.map((claim) => addressInteger(claim.address)));
  sets.push(set(`quoted${family}`, `typeof ${words.quoted}`, quoted));
  chain.push(
    `meta l4proto ${words.icmp} ${words.icmp} type { ${words.errors} } ${words.quoted} @quoted${family} goto reply`,
  );
}

function set(name: string, type: string, elements: readonly string[]): string {
  return `  set ${name} { ${type}; elements = { ${elements.join(', ')} }; }`;
}

function addressInteger(address: Address): string {
  const words = address.family === 4 ? address.words.slice(3) : address.words;
  return `0x${words.map((word) => word.toString(16).padStart(8, '0')).join('')}`;
}

function unique(texts: readonly string[]): string[] {
  return [...new Set(texts)];
}
