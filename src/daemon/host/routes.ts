/**
 * How this host reaches addresses: interface, MTU and, where it is a neighbour, its subnet; and news of changes.
 *
 * The packet path compares packets with these MTUs before it rewrites them. The value is the least of the route's
 * `mtu` metric (which includes what path MTU discovery has learnt and not forgotten yet), the interface's MTU, and
 * for IPv6 the interface's own IPv6 MTU (routers advertise it). A learnt path MTU makes no event in the kernel:
 * callers look it up again now and then.
 */

import { type ChildProcess, spawn } from 'node:child_process';
import {
  type Address,
  addressFromWords,
  type Family,
  familyMask,
  formatAddress,
  type Prefix,
  parsePrefix,
} from '../../wire/address.ts';
import { ipQuery, toolEnvironment } from './command.ts';
import { readLinks } from './links.ts';
import { readSysctl } from './sysctl.ts';

export interface Egress {
  readonly device: string;
  readonly mtuBytes: number;
  /** Subnet in which the address is a neighbour; missing when a gateway leads to it, or it is this host. */
  readonly onLinkPrefix?: Prefix;
}

interface GetJson {
  readonly type?: string;
  readonly dst: string;
  readonly gateway?: string;
  readonly via?: unknown;
  readonly dev?: string;
  readonly metrics?: readonly { readonly mtu?: number }[];
}

/**
 * Egress of each address as the kernel would route a packet of this host, keyed by address text. One process per
 * family, whatever the number of addresses.
 * @returns a map in which addresses without a route are missing.
 * @throws host-command
 */
export async function lookupEgress(addresses: readonly Address[]): Promise<Map<string, Egress>> {
  const links = new Map((await readLinks()).map((link) => [link.name, link.mtuBytes]));
  const found = new Map<string, Egress>();
  for (const family of [4, 6] as const) {
    const texts = [...new Set(addresses.filter((one) => one.family === family).map(formatAddress))];
    const answers = await ipQuery<GetJson>(
      family,
      texts.flatMap((text) => [`route get ${text}`, `route get fibmatch ${text}`]),
    );
    for (const [index, text] of texts.entries()) {
      const exact = answers[index * 2]?.[0];
      if (exact?.dev === undefined) continue;
      const linkMtu = links.get(exact.dev) ?? 0;
      found.set(text, egressOf(family, exact, exact.dev, answers[index * 2 + 1]?.[0], linkMtu));
    }
  }
  return found;
}

function egressOf(
  family: Family,
  exact: GetJson,
  device: string,
  matched: GetJson | undefined,
  linkMtu: number,
): Egress {
  const learnt = exact.metrics?.find((metric) => metric.mtu !== undefined)?.mtu;
  const ipv6Mtu = family === 6 ? Number(readSysctl(`net/ipv6/conf/${device}/mtu`)) : 0;
  const sizes = [linkMtu, learnt, ipv6Mtu].filter((size) => size !== undefined && size > 0) as number[];
  const mtuBytes = Math.min(...sizes, 65_535);
  // RTN_LOCAL is 2. A route by a gateway of the other family shows `via`.
  const direct = exact.gateway === undefined && exact.via === undefined && exact.type !== '2';
  const prefix = direct && matched !== undefined ? networkPrefix(family, matched.dst) : undefined;
  return prefix === undefined ? { device, mtuBytes } : { device, mtuBytes, onLinkPrefix: prefix };
}

/** `10.0.0.0/24`, `default` or a lone address, as a prefix with its host bits clear. */
function networkPrefix(family: Family, text: string): Prefix | undefined {
  const prefix = parsePrefix(text === 'default' ? (family === 4 ? '0.0.0.0/0' : '::/0') : text);
  if (prefix === undefined) return undefined;
  const mask = familyMask(family, prefix.bits);
  const word = (index: 0 | 1 | 2 | 3): number => (prefix.address.words[index] & mask[index]!) >>> 0;
  return { address: addressFromWords([word(0), word(1), word(2), word(3)]), bits: prefix.bits };
}

/** News within this time of the first are one event. */
const GATHER_MS = 200;
/** Least time between two events: a router that takes a full table from BGP prints thousands of lines a second. */
const REST_MS = 1_000;
const RESTART_MS = 1_000;

export interface EgressWatch {
  /** Ends the child process; no call comes afterwards. */
  stop(): Promise<void>;
}

/**
 * Calls back after interfaces, addresses, routes or policy rules changed, at most once a second. Own changes are
 * news as well. Runs `ip monitor` as a child process, and again should it end.
 */
export function watchEgress(onChange: () => void): EgressWatch {
  let child: ChildProcess | undefined;
  let timer: NodeJS.Timeout | undefined;
  let stopped = false;
  let restAtMs = 0;

  const news = (): void => {
    if (timer !== undefined || stopped) return;
    const wait = Math.max(GATHER_MS, restAtMs - performance.now());
    timer = setTimeout(() => {
      timer = undefined;
      restAtMs = performance.now() + REST_MS;
      onChange();
    }, wait);
  };
  const start = (): void => {
    if (stopped) return;
    const words = ['monitor', 'link', 'address', 'route', 'rule'];
    const ended = (): void => {
      child = undefined;
      // What happened between two children is not known: that is news, too.
      if (!stopped) setTimeout(start, RESTART_MS).unref();
      news();
    };
    try {
      // Its own process group (command.ts). It outlives a killed daemon by one piece of news at most: the device's
      // end is one, and writing it to a pipe that nobody reads ends the child.
      child = spawn('ip', words, {
        env: toolEnvironment(),
        stdio: ['ignore', 'pipe', 'ignore'],
        detached: true,
      });
    } catch {
      return ended(); // Without memory to spare.
    }
    child.on('error', () => {});
    if (child.pid === undefined) return ended();
    child.stdout!.on('data', news);
    child.on('close', ended);
  };
  start();
  return {
    stop: () => {
      stopped = true;
      clearTimeout(timer);
      const last = child;
      if (last === undefined) return Promise.resolve();
      return new Promise((resolve) => {
        last.on('close', () => resolve());
        last.kill('SIGKILL');
      });
    },
  };
}
