/**
 * Grants kept away from the holder of a lock, by nftables in the hub.
 *
 * Datagrams are sealed, but their stream (byte 3 of the payload) and their length are not hidden. A grant and a heartbeat are both
 * unicast; those of a turn share a datagram. So heartbeats that came alone pass, by their length, and keep both sides
 * live; whatever else comes by unicast is dropped: a lone grant, counted by its own length, and what rides with one. Among
 * four dispatchers a heartbeat would be as long as two grants; among three it is like no sum of them.
 * Layouts: src/cluster/seal.ts, messages.ts, messages-control.ts.
 */
import { clusterAddress } from '../cluster.mjs';

const UDP_HEADER = 8;
/** Header and tag of a sealed datagram. */
const SEALED = 32 + 16;
const UNICAST = 2;
/** Type, flags, attempt, key of an IPv4 flow, number of reports. */
const GRANT = 1 + 1 + 4 + (4 + 4 + 2 + 2) + 1;
/** Type, flags, sequence, configuration, version, count. */
const HEARTBEAT = 1 + 1 + 6 + 4 + 1 + 1;
/** Node and incarnation of each that is heard. */
const HEARD = 8;

export class HeldGrants {
  /** @param {import('../laboratory.mjs').Lab} lab @param {string} holder @param {readonly string[]} granters */
  constructor(lab, holder, granters) {
    this.lab = lab;
    this.holder = holder;
    this.granters = granters;
  }

  /** From now on no grant comes through. */
  hold() {
    const { granters, holder, lab } = this;
    const lone = UDP_HEADER + SEALED + GRANT;
    const beat = UDP_HEADER + SEALED + HEARTBEAT + HEARD * granters.length;
    const unicast = `ip daddr ${clusterAddress(holder, 4)} udp dport 7373 @th,88,8 ${UNICAST}`;
    lab.nftables(
      'hub',
      `table inet lab_grants { }
delete table inet lab_grants
table inet lab_grants {
${granters.map((name) => `  counter from_${name} { }`).join('\n')}
  counter others { }
  counter heartbeats { }
  chain holding {
    type filter hook forward priority filter
${granters.map((name) => `    ip saddr ${clusterAddress(name, 4)} ${unicast} udp length ${lone} counter name from_${name} drop`).join('\n')}
    ${unicast} udp length ${beat} counter name heartbeats accept
    ${unicast} counter name others drop
  }
}
`,
    );
  }

  /** Lone grants dropped by who sent them, other unicast datagrams dropped, lone heartbeats let through. */
  get counts() {
    const listed = JSON.parse(
      this.lab.must('hub', 'nft', '-j', 'list', 'counters', 'table', 'inet', 'lab_grants'),
    );
    /** @type {Record<string, number>} */
    const counts = {};
    for (const { counter } of listed.nftables) if (counter) counts[counter.name] = counter.packets;
    const grants = Object.fromEntries(this.granters.map((name) => [name, counts[`from_${name}`] ?? 0]));
    return { grants, others: counts['others'] ?? 0, heartbeats: counts['heartbeats'] ?? 0 };
  }

  /** Lets them through again. */
  release() {
    this.lab.must('hub', 'nft', 'delete', 'table', 'inet', 'lab_grants');
  }
}
