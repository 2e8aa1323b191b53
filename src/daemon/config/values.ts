/**
 * The kinds of values that a configuration file has, each a zod schema whose message states the rule and shows what
 * stands there instead: numbers in a range, durations, words, names, addresses, ports.
 */
import { z } from 'zod';
import {
  type Address,
  type Endpoint,
  formatAddress,
  parseAddress,
  parseEndpoint,
} from '../../wire/address.ts';
import * as limits from './limits.ts';
import { NAME_PATTERN, NAME_RULE } from './node-name.ts';
import {
  formatDuration,
  listWords,
  nearestWord,
  type PortRange,
  parseDuration,
  parsePortRange,
} from './units.ts';

/** What a person typed, short enough for a line. Lists and maps are not shown: aliases make them huge or circular. */
function shown(value: unknown): string {
  if (typeof value === 'object' && value !== null) return Array.isArray(value) ? 'a list' : 'a map';
  const text = typeof value === 'string' ? `'${value}'` : String(value);
  return text.length > 40 ? `${text.slice(0, 37)}...` : text;
}

/** A scalar that `parse` turns into a value; undefined from it is the fault `what`. */
function parsed<T>(parse: (value: string | number) => T | undefined, what: string): z.ZodType<T> {
  return z.unknown().transform((value, context) => {
    const result = typeof value === 'string' || typeof value === 'number' ? parse(value) : undefined;
    if (result !== undefined) return result;
    context.addIssue({ code: 'custom', message: `${what}, not ${shown(value)}` });
    return z.NEVER;
  });
}

export function wholeNumber(min: number, max: number): z.ZodType<number> {
  return parsed(
    (value) =>
      Number.isInteger(value) && Number(value) >= min && Number(value) <= max ? Number(value) : undefined,
    `must be a whole number from ${min} to ${max}`,
  );
}

export function duration(minMs: number, maxMs: number): z.ZodType<number> {
  return parsed(
    (value) => {
      const ms = parseDuration(String(value));
      return ms !== undefined && ms >= minMs && ms <= maxMs ? ms : undefined;
    },
    `must be a duration from ${formatDuration(minMs)} to ${formatDuration(maxMs)} (as in 100ms, 2s, 15m, 1h)`,
  );
}

/** One of `words`; those in `later` exist by design but are not built yet and are refused by name. */
export function choice<const Words extends readonly string[]>(
  words: Words,
  later: readonly string[] = [],
): z.ZodType<Words[number]> {
  return z.enum(words, {
    error: ({ input }) => {
      if (typeof input === 'string' && later.includes(input))
        return `${input} is not supported by this version: use ${listWords(words)}`;
      const near = typeof input === 'string' ? nearestWord(input, words) : undefined;
      return `must be ${listWords(words)}, not ${shown(input)}${near === undefined ? '' : ` (did you mean '${near}'?)`}`;
    },
  }) as unknown as z.ZodType<Words[number]>;
}

export const name = parsed(
  (value) => (NAME_PATTERN.test(String(value)) ? String(value) : undefined),
  NAME_RULE,
);

export const deviceName = parsed((value) => {
  const text = String(value);
  const good = NAME_PATTERN.test(text) && text.length <= limits.MAX_DEVICE_NAME && !/^\.+$/.test(text);
  return good && text !== 'lo' && text !== 'all' && text !== 'default' ? text : undefined;
}, `must be a device name of 1 to ${limits.MAX_DEVICE_NAME} letters, digits, dots, underscores and hyphens`);

/** An address that a packet can be sent to: unicast, and not of this host itself. */
export const ADDRESS: z.ZodType<Address> = z.unknown().transform((value, context) => {
  const read = typeof value === 'string' ? parseAddress(value) : undefined;
  const why = read === undefined ? 'not an IP address' : notUnicast(read);
  if (why === undefined) return read!;
  context.addIssue({
    code: 'custom',
    message: read === undefined ? `${why}: ${shown(value)}` : `${formatAddress(read)} ${why}`,
  });
  return z.NEVER;
});

/** A multicast group for one link. */
export const GROUP: z.ZodType<Address> = z.unknown().transform((value, context) => {
  const read = typeof value === 'string' ? parseAddress(value) : undefined;
  const why = read === undefined ? 'not an IP address' : notGroup(read);
  if (why === undefined) return read!;
  context.addIssue({
    code: 'custom',
    message: read === undefined ? `${why}: ${shown(value)}` : `${formatAddress(read)} ${why}`,
  });
  return z.NEVER;
});

/** Why dispatchers cannot talk by a group (RFC 5771 and RFC 4291, section 2.7); undefined when they can. */
function notGroup({ family, words }: Address): string | undefined {
  const [first, , , last] = words;
  if (family === 4) {
    if (last >>> 28 !== 0xe) return 'is no multicast group: take one of 239.0.0.0/8';
    return last >>> 8 === 0xe00000 ? 'belongs to routing protocols: take one of 239.0.0.0/8' : undefined;
  }
  if (first >>> 24 !== 0xff) return 'is no multicast group: take one of ff12::/16';
  const scope = (first >>> 16) & 0xf;
  if (scope < 2) return 'does not leave its host: take one of ff12::/16';
  // Without the transient flag, IANA says who uses a group.
  return (first & 0x0010_0000) === 0 ? 'is an assigned group: take one of ff12::/16' : undefined;
}

/** Why nothing can be balanced to or from an address (RFC 6890 blocks); undefined when it can. */
function notUnicast({ family, words }: Address): string | undefined {
  const [first, , , last] = words;
  if (family === 4) {
    const octet = last >>> 24;
    if (octet === 0) return 'is the unspecified address';
    if (octet === 127) return 'is a loopback address';
    if (last === 0xffffffff) return 'is the broadcast address';
    return octet >= 224 && octet < 240 ? 'is a multicast address' : undefined;
  }
  if (first >>> 24 === 0xff) return 'is a multicast address';
  if (first >>> 22 === 0xfe80 >>> 6) return 'is a link-local address, which has a meaning on one link only';
  if (words[0] !== 0 || words[1] !== 0 || words[2] !== 0) return undefined;
  if (last === 0) return 'is the unspecified address';
  return last === 1 ? 'is a loopback address' : undefined;
}

const RANGE_RULE = 'must be a port from 1 to 65535, a range such as "8000-8099", or any';
const range = parsed(parsePortRange, RANGE_RULE);

/** One port or range, or a list of them; sorted by first port. */
export const ports = z
  .preprocess(
    (value) => (Array.isArray(value) ? value : [value]),
    z
      .array(range)
      .min(1, { error: 'is empty: list at least one port' })
      .max(limits.MAX_PORT_RANGES, {
        error: `has more than ${limits.MAX_PORT_RANGES} ranges: use fewer, or any`,
      }),
  )
  .transform((ranges): readonly PortRange[] => ranges.toSorted((a, b) => a[0] - b[0]));

/** Bits 0 stand for "the whole address", whose length depends on the family of the VIP. */
export type AffinityDraft = { readonly kind: 'flow' } | { readonly kind: 'client'; readonly prefix: number };

export const affinity = parsed((value): AffinityDraft | undefined => {
  if (value === 'flow') return { kind: 'flow' };
  const match = /^client(?:\/([1-9]\d{0,2}))?$/.exec(String(value));
  return match === null ? undefined : { kind: 'client', prefix: Number(match[1] ?? 0) };
}, 'must be flow, client or client/N (N bits of the client address)');

export const endpoint: z.ZodType<Endpoint> = parsed((value) => {
  const read = parseEndpoint(String(value));
  return read !== undefined && read.port > 0 ? read : undefined;
}, 'must be an address and a port, as in "127.0.0.1:9273" or "[::1]:9273"');

export const filePath = parsed(
  (value) => (String(value) === '' ? undefined : String(value)),
  'must be a path',
);
