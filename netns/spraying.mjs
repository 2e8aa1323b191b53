/**
 * Who gets which packet: the router of topology `cluster` hands what goes to a VIP, and what servers answer from their
 * own addresses, to the dispatchers that have a route.
 *
 *   spray     each packet to the next one: `numgen inc` sets a mark, a rule of policy routing by mark does the rest
 *   by-flow   the same by a hash of addresses and ports
 *   ecmp-0    multipath routes of the kernel, by addresses (fib_multipath_hash_policy 0)
 *   ecmp-1    the same, by addresses and ports
 *
 * Counters per dispatcher and direction, set up once and apart from the rules that change, prove what was done; a
 * fault in a rule set is an error (nft's exit code), and a change of it is one transaction.
 */
import { deviceTo, dispatcherAddress, INSIDE, LAN_DEVICE, SERVER_LAN } from './cluster.mjs';
import { ipBatch } from './host.mjs';
import { VIP_NETWORK } from './single.mjs';

/** @typedef {'spray' | 'by-flow' | 'ecmp-0' | 'ecmp-1'} SprayMode */
/** @typedef {Record<string, { requests: number, replies: number }>} Shares packets by dispatcher */

const FIRST_TABLE = 100;
const REPLY_TABLE = 200;
const FAMILIES = /** @type {const} */ ([4, 6]);
const WORD = { 4: 'ip', 6: 'ip6' };

/** @param {string} dispatcher its number is its mark */
const markOf = (dispatcher) => Number(dispatcher.slice(1));

export class Spraying {
  /** @param {import('./laboratory.mjs').Lab} lab of topology `cluster` @param {SprayMode} [mode] */
  constructor(lab, mode = 'spray') {
    this.lab = lab;
    this.dispatchers = lab.hosts.filter((host) => /^d\d$/.test(host));
    this.mode = mode;
    /** Those that have a route. @type {string[]} */
    this.live = [];
    this.#prepare();
    this.set(this.dispatchers);
  }

  /** Counters, and the rules that never change. */
  #prepare() {
    const { dispatchers, lab } = this;
    const names = dispatchers.flatMap((name) => [`${name}_requests`, `${name}_replies`]);
    const count = (/** @type {string} */ name, /** @type {string} */ from, /** @type {string} */ what) =>
      `    iifname "${from}" oifname "${deviceTo(name)}" counter name ${name}_${what}`;
    lab.nftables(
      'router',
      `table inet lab_counters {
${names.map((name) => `  counter ${name} { }`).join('\n')}
  chain counting {
    type filter hook forward priority filter
    ${FAMILIES.map((family) => `iifname "${LAN_DEVICE}" ${WORD[family]} daddr ${INSIDE[family]} return`).join('\n    ')}
${dispatchers.flatMap((name) => [count(name, 'to-client', 'requests'), count(name, LAN_DEVICE, 'replies')]).join('\n')}
  }
}
`,
    );
    this.#ip([
      ...dispatchers.flatMap((name) =>
        FAMILIES.flatMap((family) => [
          `route add default via ${dispatcherAddress(name, family)} dev ${deviceTo(name)} onlink table ${FIRST_TABLE + markOf(name)}`,
          `${flag(family)}rule add priority ${FIRST_TABLE} fwmark ${markOf(name)} lookup ${FIRST_TABLE + markOf(name)}`,
        ]),
      ),
      `rule add priority 150 iif ${LAN_DEVICE} to 10.0.0.0/16 lookup main`,
      `-6 rule add priority 150 iif ${LAN_DEVICE} to 2001:db8::/46 lookup main`,
      ...FAMILIES.map(
        (family) =>
          `${flag(family)}rule add priority ${REPLY_TABLE} iif ${LAN_DEVICE} from ${SERVER_LAN[family]} lookup ${REPLY_TABLE}`,
      ),
    ]);
  }

  /** @param {readonly string[]} lines */
  #ip(lines) {
    ipBatch(lines, this.lab.namespace('router'));
  }

  /** Hands packets to these dispatchers from now on. @param {readonly string[]} live at least one */
  set(live) {
    if (live.length === 0) throw new Error('nobody left to spray to');
    this.live = [...live];
    const marks = this.mode === 'spray' || this.mode === 'by-flow';
    this.lab.nftables(
      'router',
      `table inet lab_spray { }
delete table inet lab_spray
table inet lab_spray {
  chain spreading {
    type filter hook prerouting priority mangle
${marks ? this.#markRules() : ''}
  }
}
`,
    );
    if (!marks) this.#multipath();
  }

  #markRules() {
    const map = this.live.map((name, index) => `${index} : ${markOf(name)}`).join(', ');
    return FAMILIES.flatMap((family) => {
      const ip = WORD[family];
      const spread =
        this.mode === 'spray' ? 'numgen inc' : `jhash ${ip} saddr . ${ip} daddr . th sport . th dport`;
      const set = `meta mark set ${spread} mod ${this.live.length} map { ${map} }`;
      return [
        `    iifname "to-client" ${ip} daddr ${VIP_NETWORK[family]} ${set}`,
        `    iifname "${LAN_DEVICE}" ${ip} saddr ${SERVER_LAN[family]} ${ip} daddr != ${INSIDE[family]} ${set}`,
      ];
    }).join('\n');
  }

  #multipath() {
    const policy = this.mode === 'ecmp-1' ? 1 : 0;
    this.lab.must(
      'router',
      'sysctl',
      '-q',
      '-w',
      `net.ipv4.fib_multipath_hash_policy=${policy}`,
      `net.ipv6.fib_multipath_hash_policy=${policy}`,
    );
    this.#ip(
      FAMILIES.flatMap((family) => {
        const hops = this.live
          .map((name) => `nexthop via ${dispatcherAddress(name, family)} dev ${deviceTo(name)} onlink`)
          .join(' ');
        return [
          `route replace ${VIP_NETWORK[family]} ${hops}`,
          `route replace ${family === 6 ? '::/0' : 'default'} table ${REPLY_TABLE} ${hops}`,
        ];
      }),
    );
  }

  /**
   * Hands packets over in another way from now on. What multipath left of routes does no harm: marks come before them.
   * @param {SprayMode} mode
   */
  setMode(mode) {
    this.mode = mode;
    this.set(this.live);
  }

  /** Takes the route of a dispatcher away. @param {string} dispatcher */
  withdraw(dispatcher) {
    this.set(this.live.filter((name) => name !== dispatcher));
  }

  /** Gives a dispatcher a route. @param {string} dispatcher */
  add(dispatcher) {
    this.set([...new Set([...this.live, dispatcher])].sort());
  }

  /** Packets handed over so far. @returns {Shares} */
  counts() {
    const { nftables } = JSON.parse(this.lab.must('router', 'nft', '-j', 'list', 'counters'));
    /** @type {Shares} */
    const shares = Object.fromEntries(this.dispatchers.map((name) => [name, { requests: 0, replies: 0 }]));
    for (const { counter } of nftables) {
      const [name, what] = counter?.name.split('_') ?? [];
      const share = shares[name];
      if (share !== undefined) share[/** @type {'requests' | 'replies'} */ (what)] = counter.packets;
    }
    return shares;
  }
}

/** @param {4 | 6} family */
const flag = (family) => (family === 6 ? '-6 ' : '');

/**
 * What was handed over since an earlier count.
 * @param {Shares} now @param {Shares} before
 * @returns {Shares}
 */
export function sharesSince(now, before) {
  return Object.fromEntries(
    Object.entries(now).map(([name, { requests, replies }]) => [
      name,
      {
        requests: requests - (before[name]?.requests ?? 0),
        replies: replies - (before[name]?.replies ?? 0),
      },
    ]),
  );
}

/**
 * Whether packets went to all of some dispatchers in equal parts: no two differ by more than one packet for each time
 * that the rules were set.
 * @param {Shares} shares @param {'requests' | 'replies'} what @param {readonly string[]} live @param {number} [slack]
 */
export function isEvenlySprayed(shares, what, live, slack = 2) {
  const numbers = live.map((name) => shares[name]?.[what] ?? 0);
  return Math.min(...numbers) > 0 && Math.max(...numbers) - Math.min(...numbers) <= slack;
}
