/**
 * Counters: one row of numbers per thread in shared memory; each thread writes its own row, anybody sums.
 *
 * Shape: a Float64Array of COUNTER_ROW_SIZE entries per thread on a SharedArrayBuffer (a double counts exactly to 2^53).
 * A packet that arrives ends in exactly one counter of kind `verdict` or `drop`; `event` counters say what else happened.
 */

/** [name, kind, help]; the order is the index and is private to one build. */
const COUNTERS = [
  ['rx-packets', 'event', 'packets read from the device (a GSO super-packet counts once)'],
  ['rx-bytes', 'event', 'bytes of those packets'],
  ['tx-packets', 'event', 'packets written to the device or sent to a server by raw socket'],
  ['tx-bytes', 'event', 'bytes of those packets'],

  ['nat-request', 'verdict', 'client packets rewritten toward their server (mode nat)'],
  ['nat-reply', 'verdict', "server packets rewritten to carry the VIP's address (mode nat)"],
  ['ipip-request', 'verdict', 'client packets sent to their server in an outer header (mode ipip)'],
  [
    'icmp-to-server',
    'verdict',
    "ICMP errors about a server's packet, translated and delivered to the server",
  ],
  [
    'icmp-to-client',
    'verdict',
    "ICMP errors about a client's packet, translated and delivered to the client",
  ],
  ['echo-answered', 'verdict', 'echo requests to a VIP, answered'],
  ['reset-sent', 'verdict', 'TCP packets answered with a reset'],
  [
    'too-big-sent',
    'verdict',
    "packets over the egress MTU, answered with 'fragmentation needed' or 'packet too big'",
  ],
  ['time-exceeded-sent', 'verdict', "packets whose TTL ran out, answered with 'time exceeded'"],
  ['passed', 'verdict', 'packets that belong to no service, passed on unchanged'],
  ['tunnel-sent', 'verdict', 'packets tunnelled to the dispatcher that holds the client lock'],
  ['to-dispatcher', 'verdict', 'packets that a reader thread handed to the dispatcher thread'],

  ['drop-truncated', 'drop', 'shorter than its headers'],
  ['drop-bad-version', 'drop', 'IP version is neither 4 nor 6'],
  ['drop-bad-header', 'drop', 'an IP header that lies about its own length or checksum'],
  ['drop-bad-length', 'drop', 'IP length field disagrees with the bytes received'],
  ['drop-bad-transport', 'drop', 'TCP, UDP or ICMP header with absurd lengths'],
  ['drop-bad-offload', 'drop', 'offload (vnet) header that contradicts the packet'],
  ['drop-fragment', 'drop', 'IP fragments to a VIP or from a server: not supported'],
  ['drop-no-service', 'drop', 'to a VIP, but no service has this protocol and port'],
  ['drop-no-server', 'drop', 'no server of the service is up and has weight'],
  ['drop-unknown', 'drop', "opens nothing and hits no entry; policy 'unknown: drop'"],
  ['drop-reply-unknown', 'drop', 'from a server port, but of no known flow'],
  ['drop-reply-taken', 'drop', 'no server left whose reply tuple is free for this client port'],
  ['drop-table-full', 'drop', 'the table is full of flows that live'],
  ['drop-icmp', 'drop', 'ICMP to a VIP that is neither echo nor an error about a known flow'],
  ['drop-limited', 'drop', 'an answer (ICMP error, reset) above its rate limit or with no room in the batch'],
  [
    'drop-server-down',
    'drop',
    "flow of a server that is down and no answer can tell its client ('on-server-down: reset', not TCP)",
  ],
  ['drop-stopping', 'drop', 'client packets that a server would answer, while the daemon stops'],
  [
    'drop-device-full',
    'drop',
    "the device's queue was full: the dispatcher thread was too slow, or had no CPU",
  ],
  ['drop-ring-full', 'drop', 'the ring from a reader thread to the dispatcher thread was full'],
  ['drop-not-ready', 'drop', 'came before this dispatcher knew the table of its cluster'],
  ['drop-lock-limit', 'drop', 'would need a client lock, and too many stand'],
  ['drop-queue-full', 'drop', 'waited for a lock or an answer, with too many others'],
  ['drop-waited-too-long', 'drop', 'waited for a lock or an answer until its time was over'],
  ['drop-hop-limit', 'drop', 'tunnelled twice, and the lock that it met did not end'],
  ['drop-question-unanswered', 'drop', 'opens nothing, and not every dispatcher said whether it knows it'],
  ['drop-question-limit', 'drop', 'opens nothing, and too many such packets are being asked for'],
  ['drop-tunnel-stranger', 'drop', 'tunnelled here by an address that is no dispatcher of the cluster'],
  [
    'drop-tunnel-bad',
    'drop',
    'tunnelled here, and what is inside is no packet for a service, or has too many outer headers',
  ],
  ['drop-write', 'drop', 'the device or a raw socket refused the packet, after its verdict was counted'],

  ['flow-opened', 'event', 'flow entries made'],
  ['flow-expired', 'event', 'flow entries that ended by time-out'],
  ['flow-reopened', 'event', 'SYNs on a closing flow that began a new one (port reuse)'],
  ['flow-revived', 'event', 'flows that a reset had closed, and that went on'],
  ['flow-evicted', 'event', 'entries not assured, or closing, given up because the table was full'],
  ['session-opened', 'event', 'session entries made (affinity: client)'],
  ['session-refused', 'event', 'flows whose client got no session entry, because the table was full'],
  ['session-expired', 'event', 'session entries that ended by time-out'],
  ['mss-clamped', 'event', 'SYNs whose MSS option was lowered'],
  ['joined', 'event', 'TCP segments written to the device in one frame with those before them'],
  ['segmented', 'event', 'super-packets cut into segments in software'],
  ['reply-tuple-avoided', 'event', 'selections that took another server because the reply tuple was taken'],
  [
    'client-on-server-subnet',
    'event',
    "flows of mode nat whose client is on a server's own subnet: replies bypass the dispatcher",
  ],
  ['tunnel-received', 'event', 'packets that other dispatchers tunnelled here'],
  ['waited', 'event', 'packets that waited for a lock or an answer'],
  ['lock-placed', 'event', 'client locks placed here'],
  ['lock-learnt', 'event', 'client locks learnt from other dispatchers'],
  ['lock-yielded', 'event', 'own locks given up for a better ranked one'],
  ['lock-voided', 'event', 'learnt locks that ended by lease or with their holder'],
  ['lock-ended-empty', 'event', 'own locks that ended without a server'],
  ['lock-adopted', 'event', 'servers adopted from a lock that had been voided'],
  ['lock-refused-full', 'event', 'locks of others neither learnt nor granted, because too many stand'],
  ['lock-forgotten', 'event', 'intentions of voided locks forgotten early, because there were too many'],
  [
    'lock-granted-by-timeout',
    'event',
    'grants that a dispatcher never sent, taken as given after confirm-timeout',
  ],
  ['question-asked', 'event', 'packets that open nothing, asked for at the other dispatchers'],
  ['question-unanswered', 'event', 'such questions that not all answered in time'],
  ['update-sent', 'event', 'entry updates broadcast'],
  ['refresh-sent', 'event', 'refreshes of busy flows broadcast'],
  ['refresh-shed', 'event', 'refreshes that were put off because the way to other dispatchers was full'],
  ['update-shed', 'event', 'records about sessions that were left out because too many waited to be sent'],
  ['conflict', 'event', 'entries of one session that named two servers'],
  ['reply-collision', 'event', 'entries that lost their reply tuple to another flow'],
  ['entry-refused-old', 'event', 'records that were too old to count'],
  ['entry-refused-full', 'event', 'entries of other dispatchers for which there was no room'],
  ['record-ignored', 'event', 'records that mean nothing here: late answers, locks of who does not hear us'],
  ['entry-unknown-service', 'event', 'records about services that this configuration does not know'],
  ['flow-rebound', 'event', 'flows that moved to another server because theirs was down'],
  ['stateless-forward', 'event', 'packets forwarded by hash alone, without an entry (flood)'],
  ['cluster-datagrams-sent', 'event', 'datagrams sent to other dispatchers'],
  ['cluster-bytes-sent', 'event', 'bytes of those datagrams, without IP and UDP headers'],
  ['cluster-multicasts-sent', 'event', 'datagrams among them that went to the multicast group, once for all'],
  ['cluster-datagrams-received', 'event', 'datagrams from other dispatchers'],
  ['cluster-bytes-received', 'event', 'bytes of those datagrams'],
  ['cluster-multicasts-received', 'event', 'datagrams among them that came by the multicast group'],
  ['cluster-datagrams-lost', 'event', 'datagrams to other dispatchers that the kernel refused'],
  ['cluster-datagrams-repaired', 'event', 'lost datagrams of others that were had again'],
  ['cluster-refused-header', 'event', 'datagrams that are none of this protocol'],
  ['cluster-refused-stranger', 'event', 'datagrams in the name of who is no dispatcher of the cluster'],
  ['cluster-refused-seal', 'event', 'datagrams that no key of the cluster opens'],
  ['cluster-refused-replay', 'event', 'datagrams that had come before'],
  ['cluster-refused-records', 'event', 'datagrams whose content cannot be read'],
  ['cluster-refused-life', 'event', 'datagrams of a life that is not believed (yet)'],
  ['cluster-refused-connection', 'event', "connections refused on the cluster's TCP port; `status` says why"],
  ['cluster-refused-echo', 'event', 'handshakes that do not echo our challenge'],
  ['cluster-refused-repair', 'event', 'repairs that are not what was asked for, or had come before'],
  ['cluster-repair-limited', 'event', 'repairs put off: too much was queued for who asked'],
  ['read-retried', 'event', 'table rows that changed while a reader thread looked'],
] as const;

export type CounterName = (typeof COUNTERS)[number][0];
export type CounterKind = 'event' | 'verdict' | 'drop';

export interface CounterInfo {
  readonly name: CounterName;
  readonly kind: CounterKind;
  readonly help: string;
}

export const COUNTER_INFO: readonly CounterInfo[] = COUNTERS.map(([name, kind, help]) => ({
  name,
  kind,
  help,
}));

/** Doubles per thread, rounded up so that rows of two threads share no cache line (64 bytes). */
export const COUNTER_ROW_SIZE: number = Math.ceil(COUNTERS.length / 8) * 8;

type CounterIndex = { readonly [Name in CounterName]: number };

/** Index of each counter in a row: `row[COUNTER['passed']]`. Resolve it once into a module constant. */
export const COUNTER: CounterIndex = Object.fromEntries(
  COUNTERS.map(([name], index) => [name, index]),
) as unknown as CounterIndex;

/** Shared memory for the rows of `threads` threads. */
export function createCounters(threads: number): SharedArrayBuffer {
  return new SharedArrayBuffer(threads * COUNTER_ROW_SIZE * Float64Array.BYTES_PER_ELEMENT);
}

/** The row of one thread. Only that thread writes it. */
export function counterRow(buffer: SharedArrayBuffer, thread: number): Float64Array {
  return new Float64Array(
    buffer,
    thread * COUNTER_ROW_SIZE * Float64Array.BYTES_PER_ELEMENT,
    COUNTER_ROW_SIZE,
  );
}

/** Sum of all threads, by name. Packets that merely changed threads are counted in `to-dispatcher` once more. */
export function sumCounters(buffer: SharedArrayBuffer): Record<CounterName, number> {
  const all = new Float64Array(buffer);
  const sums = {} as Record<CounterName, number>;
  for (const [index, info] of COUNTER_INFO.entries()) {
    let sum = 0;
    for (let at = index; at < all.length; at += COUNTER_ROW_SIZE) sum += all[at]!;
    sums[info.name] = sum;
  }
  return sums;
}
