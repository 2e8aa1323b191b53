/**
 * A fuzzer of what comes on the cluster's UDP port: half of its datagrams are of outsiders (noise, cut short, bits flipped, replayed; all of an
 * earlier run to the restarted dispatcher among them), half of an insider who has the key and says anything.
 *
 * The dispatcher is whole: protocol, dispatch table and packet path, with client packets and tunnelled ones in between. Checked: nothing is
 * thrown; a datagram of an outsider changes nothing and raises exactly one counter of refusal (a hello, which anybody may repeat, is answered);
 * all that can grow stays within its limit; memory is flat; in the end the dispatcher still works with its peers.
 */
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { COUNTER, COUNTER_INFO, type CounterName } from '../../src/base/counters.ts';
import { Prng } from '../../src/base/prng.ts';
import { MAX_REMEMBERED } from '../../src/cluster/lock-state.ts';
import { MAX_LEARNT_LOCKS, MAX_LOCK_DEADLINES } from '../../src/cluster/locks.ts';
import type { ClusterNode } from '../../src/cluster/node.ts';
import { HEADER_SIZE, Sealer, STREAM_HELLO, TAG_SIZE, tagOf } from '../../src/cluster/seal.ts';
import { RING_SIZE } from '../../src/cluster/streams.ts';
import { wireId } from '../../src/daemon/member/ids.ts';
import { processBatch } from '../../src/forward/packet-path.ts';
import { type Dispatcher, Members } from '../support/members.ts';
import { datagram as udpRequest } from '../support/path-packets.ts';
import { address } from '../support/services.ts';
import { RecordDraw } from './cluster-records.ts';
import { drawTemplate, fuzzServices } from './templates.ts';

export interface NetworkFuzzOptions {
  readonly datagrams: number;
  readonly seed: number;
  readonly progress?: (datagrams: number) => void;
  /** Takes a defence away, to show that its absence is noticed. */
  readonly sabotage?: (node: ClusterNode) => void;
}

export interface NetworkFuzzSummary {
  readonly datagrams: number;
  readonly seconds: number;
  readonly outsiders: Readonly<Record<string, number>>;
  readonly insiders: Readonly<Record<string, number>>;
  readonly counts: Readonly<Record<CounterName, number>>;
  /** Bytes after a collection, at half of the run and at its end. */
  readonly heapAtHalf: number;
  readonly heapAtEnd: number;
  /** The largest that each thing became. */
  readonly largest: Readonly<Record<string, number>>;
  /** Datagrams that the dispatcher sent in answer, and the most for one that came. */
  readonly answers: number;
}

const VICTIM = 0;
const TICK_EVERY = 8;
const CHECK_EVERY = 1_024;
const BURST_EVERY = 400_000;
const BURST_SIZE = 4_500;
const FIRST_BURST = 2_000;
const RECORDED = 4_096;
/** Of an established flow, and of the session of a client. */
const LONGEST_TIMEOUT_MS = 900_000;
/** Refusals of which an outsider's datagram raises exactly one. */
const REFUSALS = [
  'cluster-refused-header',
  'cluster-refused-stranger',
  'cluster-refused-seal',
  'cluster-refused-replay',
  'cluster-refused-records',
  'cluster-refused-life',
  'cluster-refused-echo',
] as const;
/** And some of its own: as many as packets may wait. */
const MAX_LOCKS = MAX_LEARNT_LOCKS + 4_096;

/** What is bounded, and by what. */
const LIMITS: { readonly [what: string]: readonly [(victim: Dispatcher) => number, number] } = {
  locks: [({ member }) => member.node.core.locks.table.size, MAX_LOCKS],
  'lock deadlines': [({ member }) => member.node.core.locks.deadlines.size, 2 * MAX_LOCK_DEADLINES],
  'remembered intentions': [({ member }) => member.node.core.locks.remembered.byKey.size, MAX_REMEMBERED],
  questions: [({ member }) => member.node.core.questions.table.size, 10_000],
  'question deadlines': [({ member }) => member.node.core.questions.deadlines.size, 20_000],
  'waiting packets': [({ member }) => member.node.core.room.packets, 4_096],
  entries: [({ path }) => path.table.size, 1_024],
  'entries aside': [({ member }) => member.store.aside, 65_536],
  'replay windows': [({ member }) => member.node.link.windows.size, 9],
  'own sequences': [({ member }) => member.node.link.sequences.size, 9],
  'derived keys': [({ member }) => member.node.link.sealer.derived.size, 1_024],
  'missing of a stream': [
    ({ member }) =>
      Math.max(...[...member.node.membership.members.values()].map((one) => one.stream.missing.size)),
    RING_SIZE,
  ],
};

export function fuzzNetwork(options: NetworkFuzzOptions): NetworkFuzzSummary {
  return new NetworkFuzz(options).run();
}

class NetworkFuzz {
  readonly #options: NetworkFuzzOptions;
  readonly #prng: Prng;
  readonly #members: Members;
  readonly #sealer: Sealer;
  /** Sealed datagrams to the victim: of its earlier life, and of this one. */
  readonly #earlier: Buffer[] = [];
  readonly #present: Buffer[] = [];
  readonly #plaintexts: Buffer[] = [];
  readonly #draw: RecordDraw;
  readonly #outsiders: Record<string, number> = {};
  readonly #insiders: Record<string, number> = {};
  readonly #largest: Record<string, number> = {};
  readonly #sequences = new Map<string, number>();
  #victim: Dispatcher;
  #sent = 0;
  #answers = 0;
  #burst = 0;

  constructor(options: NetworkFuzzOptions) {
    this.#options = options;
    this.#prng = new Prng(options.seed);
    const services = fuzzServices(false).map((service) => ({
      ...service,
      id: hexId(service.index + 1),
      servers: service.servers.map((server) => ({ ...server, id: hexId(server.index + 1_000) })),
    }));
    this.#members = new Members(3, services, (size) => this.#noise(size));
    this.#sealer = new Sealer([Buffer.from(this.#members.key)]);
    this.#record(this.#earlier);
    this.#victim = this.#members.restart(VICTIM);
    this.#replayAll();
    this.#record(this.#present);
    this.#victim.member.onDatagram = () => {
      this.#answers++;
    };
    options.sabotage?.(this.#victim.member.node);
    const nodes = this.#members.dispatchers.map(({ member }) => member.node.options.life.node);
    this.#draw = new RecordDraw(this.#prng, {
      nodes,
      services: services.map(({ id }) => wireId(id)),
      servers: services.flatMap((service) => service.servers.map(({ id }) => wireId(id))),
      addresses: [...Array.from({ length: 6 }, (_, at) => `198.51.100.${at + 1}`), '2001:db8:c::1'].map(
        (text) => address(text).words,
      ),
      tag: tagOf(this.#victim.member.node.options.life.incarnation),
    });
    for (const [node, stream, sequence] of this.#heardSoFar())
      this.#sequences.set(`${node}/${stream}`, sequence);
  }

  run(): NetworkFuzzSummary {
    const { datagrams, progress } = this.#options;
    const startedAt = performance.now();
    let heapAtHalf = 0;
    while (this.#sent < datagrams) {
      this.#one();
      if (this.#sent % TICK_EVERY === 0) this.#moveOn();
      if (this.#sent % CHECK_EVERY === 0) this.#checkLimits();
      if (this.#sent % 500_000 === 0) progress?.(this.#sent);
      if (heapAtHalf === 0 && this.#sent >= datagrams / 2) heapAtHalf = heapUsed();
    }
    this.#checkLimits();
    const heapAtEnd = heapUsed();
    const { counters } = this.#victim.path;
    const counts = Object.fromEntries(COUNTER_INFO.map(({ name }, at) => [name, counters[at]!]));
    this.#checkStillWorks();
    return {
      datagrams: this.#sent,
      seconds: (performance.now() - startedAt) / 1_000,
      outsiders: this.#outsiders,
      insiders: this.#insiders,
      counts: counts as Record<CounterName, number>,
      heapAtHalf,
      heapAtEnd,
      largest: this.#largest,
      answers: this.#answers,
    };
  }

  /** Lets the cluster work for a while and keeps what its members say to the victim. */
  #record(into: Buffer[]): void {
    const members = this.#members;
    members.isLost = ({ to, datagram }) => {
      if (to === VICTIM && datagram !== undefined && into.length < RECORDED) into.push(datagram);
      return false;
    };
    members.run(3_000);
    for (let port = 1; port <= 200; port++) {
      members.give(1 + (port % 2), udpRequest(4, { sourcePort: 2_000 + port }));
      members.run(2);
    }
    members.isLost = () => false;
    for (const bytes of into) {
      const end = bytes.length - TAG_SIZE;
      if (end > HEADER_SIZE) this.#plaintexts.push(Buffer.from(bytes.subarray(HEADER_SIZE, end)));
    }
  }

  /** A new life hears the whole recording of the one before it, and nothing else. */
  #replayAll(): void {
    const { member } = this.#victim;
    this.#members.wire = [];
    for (const bytes of this.#earlier) this.#outsider('earlier run, from the start', bytes);
    if (member.node.believed > 0 || this.#victim.path.table.size > 0)
      throw new Error('a recording was believed');
  }

  *#heardSoFar(): Generator<readonly [number, number, number]> {
    const { windows } = this.#victim.member.node.link;
    for (const [name, window] of windows) {
      const [node, stream] = name.split('/').map(Number);
      yield [node!, stream!, window.highest];
    }
  }

  #one(): void {
    const prng = this.#prng;
    if (this.#sent % BURST_EVERY === FIRST_BURST) this.#beginBurst();
    if (this.#burst > 0) {
      this.#burst--;
      this.#insider('many locks', (sender) => this.#draw.manyLocks(sender));
    } else if (prng.below(2) === 0) this.#drawOutsider();
    else this.#drawInsider();
  }

  /** Locks count of peers only that seem to hear the victim. */
  #beginBurst(): void {
    this.#burst = BURST_SIZE;
    for (let left = 8; left > 0; left--)
      this.#insider('many locks', (sender) => this.#draw.goodHeartbeat(sender));
  }

  #drawOutsider(): void {
    const prng = this.#prng;
    const kind = prng.below(8);
    const recorded = (): Buffer => this.#present[prng.below(this.#present.length)]!;
    if (kind === 0) return this.#outsider('noise', this.#noise(prng.below(1_500)));
    if (kind === 1) return this.#outsider('noise behind a header', this.#headed(recorded()));
    if (kind === 2) {
      const whole = recorded();
      return this.#outsider('cut short', whole.subarray(0, prng.below(Math.min(80, whole.length))));
    }
    if (kind === 3) {
      const whole = recorded();
      return this.#outsider('cut short', whole.subarray(0, prng.below(whole.length)));
    }
    if (kind === 4) return this.#outsider('replayed', recorded());
    if (kind === 5) {
      const bytes = this.#earlier[prng.below(this.#earlier.length)]!;
      return this.#outsider('of an earlier run', bytes);
    }
    const whole = recorded();
    const flipped = Buffer.from(whole);
    for (let left = 1 + prng.below(3); left > 0; left--) {
      const at = prng.below(kind === 6 ? HEADER_SIZE : flipped.length);
      flipped[at] = flipped[at]! ^ (1 << prng.below(8));
    }
    // Two flips may undo each other.
    if (flipped.equals(whole)) return;
    return this.#outsider('bits flipped', flipped);
  }

  #noise(size: number): Buffer {
    const bytes = Buffer.alloc(size);
    for (let at = 0; at + 4 <= size; at += 4) bytes.writeUInt32LE(this.#prng.next(), at);
    return bytes;
  }

  #headed(model: Buffer): Buffer {
    const bytes = this.#noise(HEADER_SIZE + TAG_SIZE + this.#prng.below(1_400));
    model.copy(bytes, 0, 0, this.#prng.below(2) === 0 ? 8 : HEADER_SIZE);
    return bytes;
  }

  /** @throws Error when it is believed, changes anything, or is refused without a counter */
  #outsider(what: string, bytes: Buffer): void {
    const { member, path } = this.#victim;
    this.#count(this.#outsiders, what);
    const before = this.#stateOf();
    const refusedBefore = this.#refusals();
    member.datagram(bytes);
    member.flush();
    const refused = this.#refusals() - refusedBefore;
    // Bits of a hello cannot be flipped unseen, but it may be sent again: it is answered, and nothing more comes of it.
    const isHello = bytes.length > 3 && bytes[3] === STREAM_HELLO;
    if (this.#stateOf() !== before || refused > 1 || (refused === 0 && !isHello)) {
      throw new Error(
        `${what}: ${before} became ${this.#stateOf()}, ${refused} refusals (${path.table.size} entries): ${bytes.toString('hex')}`,
      );
    }
  }

  #refusals(): number {
    const { counters } = this.#victim.path;
    return REFUSALS.reduce((sum, name) => sum + counters[COUNTER[name]]!, 0);
  }

  /** What a datagram that is refused must leave alone. */
  #stateOf(): string {
    const { member, path } = this.#victim;
    const { core, believed, membership, link } = member.node;
    const peers = [...membership.members.values()].map(
      ({ peer, incarnation, stream, heardAt }) =>
        `${incarnation}${peer.up}${peer.hearsMe}${peer.ready}${stream.next}${stream.missing.size}${heardAt}`,
    );
    const sizes = [core.locks.table.size, core.questions.table.size, path.table.size, link.ring.last];
    return `${believed} ${sizes.join(' ')} ${peers.join(' ')}`;
  }

  #drawInsider(): void {
    const prng = this.#prng;
    const kind = prng.below(8);
    if (kind === 0) this.#insider('noise', () => this.#noise(prng.below(1_400)));
    else if (kind < 3) {
      this.#insider('mutated', () => {
        const bytes = Buffer.from(this.#plaintexts[prng.below(this.#plaintexts.length)]!);
        for (let left = 1 + prng.below(3); left > 0; left--) bytes[prng.below(bytes.length)] = prng.next();
        return prng.below(4) === 0 ? bytes.subarray(0, prng.below(bytes.length)) : bytes;
      });
    } else this.#insider('records', (sender) => this.#draw.plaintext(sender, this.#present));
  }

  #insider(what: string, plaintext: (sender: number) => Buffer): void {
    const prng = this.#prng;
    this.#count(this.#insiders, what);
    const peer = this.#members.dispatchers[1 + prng.below(2)]!.member.node.options.life;
    const to = this.#victim.member.node.options.life;
    const stream = what === 'many locks' ? 2 : ([1, 1, 2, 2, 2, 2, 0] as const)[prng.below(7)]!;
    const name = `${peer.node}/${stream}`;
    const sequence = (this.#sequences.get(name) ?? 0) + 1 + (prng.below(50) === 0 ? prng.below(6_000) : 0);
    this.#sequences.set(name, sequence);
    const header = { stream, sender: peer, sequence };
    const { member } = this.#victim;
    member.datagram(this.#sealer.seal(header, to, plaintext(peer.node)));
    member.flush();
  }

  /** Time goes on, clients and tunnels send. */
  #moveOn(quietMs = 0): void {
    const prng = this.#prng;
    const { path, member } = this.#victim;
    if (quietMs > 0) this.#members.now += quietMs;
    else if (this.#burst === 0) this.#members.now += prng.below(3);
    const { now } = this.#members;
    path.now = 1_000_000 + now;
    path.state.now = path.now | 0;
    member.turn(now);
    path.load(quietMs > 0 ? [] : [drawTemplate(prng), drawTemplate(prng)]);
    if (quietMs > 0) path.batch.reset();
    else if (prng.below(4) === 0) {
      const peer = address(`10.0.9.${1 + prng.below(4)}`).words;
      member.tunnelled(Uint32Array.from([...peer, ...address('203.0.113.9').words]));
    } else processBatch(path.state, path.table, path.now);
    member.flush();
    path.batch.resetOutput();
    path.batch.reset();
    if (member.hasReleased) member.release();
    path.batch.resetOutput();
    path.batch.reset();
    if (this.#burst === 0) member.tick();
    member.flush();
  }

  #checkLimits(): void {
    for (const [what, [measure, limit]] of Object.entries(LIMITS)) {
      const size = measure(this.#victim);
      this.#largest[what] = Math.max(this.#largest[what] ?? 0, size);
      if (size > limit)
        throw new Error(`${what}: ${size}, more than ${limit}, after ${this.#sent} datagrams`);
    }
  }

  /** Its peers start anew; then what one of them opens is known to it. */
  #checkStillWorks(): void {
    const members = this.#members;
    members.wire = [];
    // What still waits is of clients that forge checksums: it goes before anybody reads outputs again. What an insider has put into the table,
    // and may have filled it with, goes by its time-outs.
    for (let left = 100; left > 0; left--) this.#moveOn(LONGEST_TIMEOUT_MS / 25);
    if (this.#victim.path.table.size > 0)
      throw new Error(`${this.#victim.path.table.size} entries outlive their time-outs`);
    this.#victim.member.onDatagram = (peer, bytes) =>
      members.wire.push({ to: peer + 1, from: VICTIM, datagram: Buffer.from(bytes) });
    for (const at of [1, 2]) members.restart(at);
    members.run(5_000);
    if (!members.dispatchers.every(({ path }) => path.state.ready))
      throw new Error('not all are ready again');
    const port = 60_001;
    members.give(1, udpRequest(4, { sourcePort: port }));
    members.run(300);
    const knows = [...entriesOf(this.#victim)].some((key) => key.clientPort === port);
    if (!knows) throw new Error('it does not learn from its peers any more');
  }

  #count(counts: Record<string, number>, what: string): void {
    counts[what] = (counts[what] ?? 0) + 1;
    this.#sent++;
  }
}

function* entriesOf({ member, path }: Dispatcher): Generator<{ readonly clientPort: number }> {
  for (let row = 0; row < path.table.usedRows; row++) {
    if (path.table.state(row) !== 0) yield member.store.keys.keyOf(row);
  }
}

/** 64 bits as the pool makes them, told apart by the first 32. */
function hexId(index: number): string {
  return `${index.toString(16).padStart(8, '0')}00000000`;
}

/** Bytes in use after a collection, buffers included. */
function heapUsed(): number {
  setFlagsFromString('--expose-gc');
  const collect = runInNewContext('gc') as () => void;
  collect();
  collect();
  const { heapUsed: heap, external } = process.memoryUsage();
  return heap + external;
}
