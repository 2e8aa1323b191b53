/**
 * Where a packet may have been lost that no dispatcher has counted: what the kernels of a lab say of queues that were full, of neighbours
 * that did not answer in time, and of segments that TCP had to repeat. And how long dispatchers waited for a processor, which
 * delays packets and loses none.
 *
 * Each sign is a number that grows; what client and servers have of packets that open connections says whether one was lost at all, by whomever.
 * Those of the machine (`softnet`, `neighbour`) are of all its namespaces together, other labs included.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { parseSnmp, SNMP_FILES } from '../tools/snmp.mjs';

/** @typedef {Record<string, number>} Signs */

/** Of any host. */
const LOST = [
  'TcpExt.ListenDrops',
  'TcpExt.ListenOverflows',
  'TcpExt.TCPBacklogDrop',
  'TcpExt.TCPReqQFullDrop',
  'TcpExt.TCPRcvQDrop',
  'TcpExt.PAWSEstab',
  'TcpExt.IPReversePathFilter',
  'Ip.InDiscards',
  'Ip.OutDiscards',
  'Udp.RcvbufErrors',
  'Udp6RcvbufErrors',
  'Udp.SndbufErrors',
  'Udp6SndbufErrors',
];
/** What ends repeat by time-out, and what of it receivers say that they had already (RFC 2883). */
const REPEATED = [
  'TcpExt.TCPSynRetrans',
  'TcpExt.TCPTimeouts',
  'TcpExt.TCPDSACKOldSent',
  'TcpExt.TCPDSACKOfoSent',
];
const UNSERVED = 'SYNs that came to no server';
const UNANSWERED = 'SYN-ACKs that came to no client';
const plain = (/** @type {string} */ name) => name.replace(/^TcpExt\./, '');
/** Signs that are the kernel's own word for a packet that it lost. */
const COUNTED = [
  'softnet drops',
  'neighbour discards',
  'raw socket drops',
  'device drops',
  ...LOST.map(plain),
];

/** @param {string} file @returns {string[][]} words by line, of the lines below the heading */
function table(file) {
  const lines = readFileSync(file, 'utf8').trimEnd().split('\n');
  return lines.map((line) => line.trim().split(/\s+/));
}

/** @param {string} file @param {string} column @returns {number} its sum over all CPUs */
function perCpu(file, column) {
  const [heading = [], ...rows] = table(file);
  const at = heading.indexOf(column);
  return rows.reduce((sum, words) => sum + Number.parseInt(words[at] ?? '0', 16), 0);
}

/** Second column: packets that the queue of a CPU had no room for. */
const softnetDrops = () =>
  table('/proc/net/softnet_stat').reduce((sum, words) => sum + Number.parseInt(words[1] ?? '0', 16), 0);

/** A raw socket that only sends has as little room as the kernel gives: what it drops are copies that nobody wants. */
const SENDER_ROOM = 8192;

/** Drops of raw sockets that receive. @param {string} text of `ss -wanm` */
function rawDrops(text) {
  return [...text.matchAll(/skmem:\(r\d+,rb(\d+),.*?,d(\d+)\)/g)].reduce(
    (sum, [, room, drops]) => sum + (Number(room) > SENDER_ROOM ? Number(drops) : 0),
    0,
  );
}

/** Milliseconds that the threads of a process have waited for a CPU while they could run (proc(5), schedstat), the longest. @param {number} pid */
function waitedMs(pid) {
  const waits = readdirSync(`/proc/${pid}/task`).map((task) => {
    try {
      return Number(readFileSync(`/proc/${pid}/task/${task}/schedstat`, 'utf8').split(' ')[1]) / 1e6;
    } catch {
      return 0; // it ended meanwhile
    }
  });
  return Math.round(Math.max(0, ...waits));
}

/** All signs now. @param {import('./cluster-lab.mjs').ClusterLab} bed @returns {Signs} */
export function lossSigns({ lab, dispatchers, seen }) {
  /** @type {Signs} */
  const signs = {
    'softnet drops': softnetDrops(),
    'neighbour discards': ['arp_cache', 'ndisc_cache'].reduce(
      (sum, name) => sum + perCpu(`/proc/net/stat/${name}`, 'unresolved_discards'),
      0,
    ),
  };
  const add = (/** @type {string} */ name, /** @type {number} */ value) => {
    signs[name] = (signs[name] ?? 0) + value;
  };
  for (const host of lab.hosts) {
    const snmp = parseSnmp(lab.must(host, 'cat', ...SNMP_FILES));
    for (const name of [...LOST, ...REPEATED]) add(plain(name), snmp[name] ?? 0);
    add('raw socket drops', rawDrops(lab.must(host, 'ss', '-wanm')));
    for (const { stats64 } of JSON.parse(lab.must(host, 'ip', '-j', '-s', 'link'))) {
      add('device drops', (stats64?.rx?.dropped ?? 0) + (stats64?.tx?.dropped ?? 0));
    }
  }
  const { syns, answers } = seen.opened();
  signs[UNSERVED] = syns;
  signs[UNANSWERED] = answers;
  for (const [name, { daemon }] of dispatchers.running)
    add(`${name} waited for a CPU, ms`, waitedMs(daemon.pid));
  return signs;
}

/** Whether a kernel has counted a packet that it lost, by what has risen. @param {Signs} risen */
export const isCounted = (risen) => COUNTED.some((name) => (risen[name] ?? 0) > 0);

/**
 * Whether all that was repeated by time-out had come after all, only late: then nobody lost anything, and what stood still were
 * processes without a processor. @param {Signs} risen
 */
export function isNothingLost(risen) {
  const of = (/** @type {string} */ name) => risen[name] ?? 0;
  const came = of(UNSERVED) <= 0 && of(UNANSWERED) <= 0;
  return came && of('TCPTimeouts') - of('TCPSynRetrans') <= of('TCPDSACKOldSent') + of('TCPDSACKOfoSent');
}
