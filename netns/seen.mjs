/**
 * Which clients' connections each server has seen packets of: a set in the kernel of each server, filled by every TCP packet that
 * comes in. A connection that two servers have seen was torn apart, whatever became of it.
 */

const RULES = `
table inet seen {
  set tcp4 { type ipv4_addr . inet_service . inet_service; flags dynamic; size 262144; }
  set tcp6 { type ipv6_addr . inet_service . inet_service; flags dynamic; size 262144; }
  counter resets { }
  counter syns { }
  counter answers { }
  chain out {
    type filter hook output priority 0;
    tcp flags & (syn | ack) == syn | ack counter name answers
  }
  chain in {
    type filter hook input priority 0;
    tcp flags & (syn | ack) == syn counter name syns
    tcp flags & rst == rst counter name resets
    ip protocol tcp add @tcp4 { ip saddr . tcp sport . tcp dport }
    ip6 nexthdr tcp add @tcp6 { ip6 saddr . tcp sport . tcp dport }
  }
}
`;

/** The same of a client: what it sent, and what came. */
const CLIENT_RULES = `
table inet seen {
  counter syns { }
  counter answers { }
  chain out {
    type filter hook output priority 0;
    tcp flags & (syn | ack) == syn counter name syns
  }
  chain in {
    type filter hook input priority 0;
    tcp flags & (syn | ack) == syn | ack counter name answers
  }
}
`;

export class Seen {
  /** @param {import('./laboratory.mjs').Lab} lab */
  constructor(lab) {
    this.lab = lab;
    for (const server of lab.servers) lab.nftables(server, RULES);
    lab.nftables('client', CLIENT_RULES);
  }

  /** @param {string} host @param {string} counter @returns {number} packets */
  #count(host, counter) {
    const listed = JSON.parse(this.lab.must(host, 'nft', '-j', 'list', 'counter', 'inet', 'seen', counter));
    return listed.nftables.find((/** @type {any} */ one) => one.counter !== undefined).counter.packets;
  }

  /** Of the packets that open connections, those that one end has sent so far and no other end has got. */
  opened() {
    const atServers = (/** @type {string} */ counter) =>
      this.lab.servers.reduce((sum, server) => sum + this.#count(server, counter), 0);
    return {
      syns: this.#count('client', 'syns') - atServers('syns'),
      answers: atServers('answers') - this.#count('client', 'answers'),
    };
  }

  /** Forgets what was seen. */
  reset() {
    for (const server of this.lab.servers) {
      this.lab.nftables(server, 'flush set inet seen tcp4\nflush set inet seen tcp6\n');
    }
  }

  /** Resets that came in at any server, since the beginning. */
  get resets() {
    return this.resetsAt(this.lab.servers);
  }

  /** Resets that came in at some servers, since the beginning. @param {readonly string[]} servers */
  resetsAt(servers) {
    return servers.reduce((sum, server) => sum + this.#count(server, 'resets'), 0);
  }

  /** Connections that more than one server has seen, and how many there were in all. */
  torn() {
    /** @type {Map<string, number>} */
    const servers = new Map();
    for (const server of this.lab.servers) {
      for (const set of ['tcp4', 'tcp6']) {
        const listed = JSON.parse(this.lab.must(server, 'nft', '-j', 'list', 'set', 'inet', 'seen', set));
        const elements = listed.nftables.flatMap((/** @type {any} */ one) => one.set?.elem ?? []);
        for (const element of elements) {
          const tuple = JSON.stringify((element.elem?.val ?? element).concat);
          servers.set(tuple, (servers.get(tuple) ?? 0) + 1);
        }
      }
    }
    return { connections: servers.size, torn: [...servers.values()].filter((count) => count > 1).length };
  }
}
