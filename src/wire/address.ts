/**
 * Addresses of both families as four unsigned 32-bit words in host order, and their text forms.
 *
 * IPv6 as it is; IPv4 a.b.c.d is mapped to (0, 0, 0xffff, abcd) (RFC 4291 section 2.5.5.2), so that one key serves both
 * families. Invariant: words in ::ffff:0:0/96 always mean IPv4. A mapped address never comes from an IPv6 packet (the
 * parser refuses it), and its text form `::ffff:192.0.2.1` reads as the IPv4 address that it is.
 * Text: RFC 4291 section 2.2 is read, RFC 5952 is written. Control path only: these functions allocate.
 */

export type Family = 4 | 6;

/** Four words, most significant first, each 0 to 2^32 - 1. */
export type AddressWords = readonly [number, number, number, number];

export interface Address {
  readonly family: Family;
  readonly words: AddressWords;
}

export interface Prefix {
  readonly address: Address;
  /** Length in bits of the address's own family: 0 to 32, or 0 to 128. */
  readonly bits: number;
}

export interface Endpoint {
  readonly address: Address;
  readonly port: number;
}

/** Word 2 of every mapped IPv4 address; words 0 and 1 are zero. */
export const MAPPED_WORD = 0xffff;

/** Whether the words are an IPv4 address in its mapped form. Allocates nothing, never throws. */
export function isMapped(a0: number, a1: number, a2: number): boolean {
  return a2 === MAPPED_WORD && a1 === 0 && a0 === 0;
}

/** The address that four words mean; those in ::ffff:0:0/96 are IPv4. */
export function addressFromWords(words: AddressWords): Address {
  return { family: isMapped(words[0], words[1], words[2]) ? 4 : 6, words };
}

/** Same words, hence same family. */
export function sameAddress(a: Address, b: Address): boolean {
  return a.words.every((word, index) => word === b.words[index]);
}

/**
 * Reads `192.0.2.1`, `2001:db8::1`, `64:ff9b::192.0.2.1`. Octets with leading zeros (octal to some readers), zones
 * (`%eth0`) and brackets are refused.
 * @returns undefined when the text is no address.
 */
export function parseAddress(text: string): Address | undefined {
  if (!text.includes(':')) {
    const word = parseIpv4(text);
    return word === undefined ? undefined : { family: 4, words: [0, 0, MAPPED_WORD, word] };
  }
  const words = parseIpv6(text);
  return words === undefined ? undefined : addressFromWords(words);
}

function parseIpv4(text: string): number | undefined {
  const parts = text.split('.');
  if (parts.length !== 4) return undefined;
  let word = 0;
  for (const part of parts) {
    if (!/^(0|[1-9]\d{0,2})$/.test(part) || Number(part) > 255) return undefined;
    word = word * 256 + Number(part);
  }
  return word;
}

function parseIpv6(text: string): AddressWords | undefined {
  const halves = text.split('::');
  if (halves.length > 2) return undefined;
  const head = parseGroups(halves[0]!, halves.length === 1);
  const tail = halves.length === 2 ? parseGroups(halves[1]!, true) : [];
  if (head === undefined || tail === undefined) return undefined;
  const missing = 8 - head.length - tail.length;
  if (halves.length === 1 ? missing !== 0 : missing < 1) return undefined;
  const groups = [...head, ...new Array<number>(missing).fill(0), ...tail];
  const word = (index: number): number => groups[index * 2]! * 65_536 + groups[index * 2 + 1]!;
  return [word(0), word(1), word(2), word(3)];
}

/** Groups between colons; an IPv4 tail counts as two, and only where the text ends (`last`). */
function parseGroups(text: string, last: boolean): number[] | undefined {
  if (text === '') return [];
  const parts = text.split(':');
  const groups: number[] = [];
  for (const [index, part] of parts.entries()) {
    if (part.includes('.')) {
      const word = last && index === parts.length - 1 ? parseIpv4(part) : undefined;
      if (word === undefined) return undefined;
      groups.push(word >>> 16, word & 0xffff);
    } else {
      if (!/^[0-9a-fA-F]{1,4}$/.test(part)) return undefined;
      groups.push(Number.parseInt(part, 16));
    }
  }
  return groups;
}

/** Text of an address as RFC 5952 has it; mapped words as a dotted quad. */
export function formatAddress(address: Address | AddressWords): string {
  const words: AddressWords = 'words' in address ? address.words : address;
  if (isMapped(words[0], words[1], words[2])) {
    const word = words[3];
    return `${word >>> 24}.${(word >>> 16) & 255}.${(word >>> 8) & 255}.${word & 255}`;
  }
  const groups = words.flatMap((word) => [word >>> 16, word & 0xffff]);
  const [start, size] = longestZeroRun(groups);
  const hex = (from: number, to: number): string =>
    groups
      .slice(from, to)
      .map((group) => group.toString(16))
      .join(':');
  return size < 2 ? hex(0, 8) : `${hex(0, start)}::${hex(start + size, 8)}`;
}

/** The first of the longest runs of zero groups (RFC 5952 section 4.2.3). */
function longestZeroRun(groups: readonly number[]): readonly [start: number, size: number] {
  let best = 0;
  let bestSize = 0;
  let size = 0;
  for (const [index, group] of groups.entries()) {
    size = group === 0 ? size + 1 : 0;
    if (size > bestSize) {
      bestSize = size;
      best = index + 1 - size;
    }
  }
  return [best, bestSize];
}

/** `192.0.2.1:80`, `[2001:db8::1]:80`. */
export function formatEndpoint(address: Address | AddressWords, port: number): string {
  const text = formatAddress(address);
  return text.includes(':') ? `[${text}]:${port}` : `${text}:${port}`;
}

/**
 * Reads what `formatEndpoint` writes. The port is 0 to 65,535.
 * @returns undefined when the text is no endpoint.
 */
export function parseEndpoint(text: string): Endpoint | undefined {
  const match = /^(?:\[([0-9a-fA-F:.]+)\]|([0-9.]+)):(0|[1-9]\d{0,4})$/.exec(text);
  if (match === null) return undefined;
  const address = parseAddress(match[1] ?? match[2]!);
  const port = Number(match[3]);
  if (address === undefined || port > 0xffff) return undefined;
  // Brackets belong to what has colons: `[192.0.2.1]:80` is no endpoint.
  if (match[1] !== undefined && !match[1].includes(':')) return undefined;
  return { address, port };
}

/**
 * Mask of the first `bits` of the four words (0 to 128). For IPv4 prefixes see `familyMask`.
 */
export function prefixMask(bits: number): AddressWords {
  const word = (index: number): number => {
    const set = Math.min(32, Math.max(0, bits - index * 32));
    return set === 0 ? 0 : (0xffffffff << (32 - set)) >>> 0;
  };
  return [word(0), word(1), word(2), word(3)];
}

/** Mask over the four words for a prefix of `bits` of the family: for IPv4 it keeps the mapped part whole. */
export function familyMask(family: Family, bits: number): AddressWords {
  return prefixMask(family === 4 ? 96 + bits : bits);
}

/**
 * Reads `192.0.2.0/24` or `2001:db8::/32`; host bits are kept as written. Without a slash: the whole address.
 * @returns undefined when the text is no prefix.
 */
export function parsePrefix(text: string): Prefix | undefined {
  const slash = text.indexOf('/');
  const address = parseAddress(slash < 0 ? text : text.slice(0, slash));
  if (address === undefined) return undefined;
  const width = address.family === 4 ? 32 : 128;
  if (slash < 0) return { address, bits: width };
  const digits = text.slice(slash + 1);
  if (!/^(0|[1-9]\d{0,2})$/.test(digits) || Number(digits) > width) return undefined;
  return { address, bits: Number(digits) };
}

/** `192.0.2.0/24`. */
export function formatPrefix(prefix: Prefix): string {
  return `${formatAddress(prefix.address)}/${prefix.bits}`;
}

/** Whether the address lies in the prefix; never across families. */
export function prefixContains(prefix: Prefix, address: Address): boolean {
  if (prefix.address.family !== address.family) return false;
  const mask = familyMask(address.family, prefix.bits);
  return address.words.every((word, index) => ((word ^ prefix.address.words[index]!) & mask[index]!) === 0);
}
