/**
 * Dispatchers of one cluster in one process: packet path, table and protocol of each as its thread puts them together; datagrams and
 * tunnelled packets go by memory, in order, a millisecond later.
 */
import { randomBytes } from 'node:crypto';
import type { ServiceSpec } from '../../src/balance/generation.ts';
import { nodeId } from '../../src/cluster/identity.ts';
import { Member } from '../../src/daemon/member/member.ts';
import type { MemberAddress } from '../../src/daemon/member/setup.ts';
import { processBatch } from '../../src/forward/packet-path.ts';
import { PEER_TARGET } from '../../src/io/raw-socket.ts';
import type { BuiltPacket } from './packets.ts';
import { type Output, Path } from './path.ts';
import { address, makeGeneration } from './services.ts';

interface Message {
  readonly to: number;
  readonly datagram?: Buffer;
  /** A tunnelled packet, and the number of the dispatcher that sent it. */
  readonly packet?: BuiltPacket;
  readonly from: number;
}

/** One dispatcher. */
export class Dispatcher {
  readonly path: Path;
  readonly member: Member;
  /** Packets that left toward clients and servers. */
  sent: Output[] = [];

  constructor(path: Path, member: Member) {
    this.path = path;
    this.member = member;
  }
}

export class Members {
  readonly dispatchers: Dispatcher[];
  /** Under way. */
  wire: Message[] = [];
  /** Whether a message is lost. */
  isLost: (message: Message) => boolean = () => false;
  now = 10_000;
  /** The cluster's. */
  readonly key: Uint8Array;
  readonly #random: (size: number) => Buffer;
  readonly #addresses: readonly MemberAddress[];
  readonly #services: readonly ServiceSpec[];

  /** @param random makes the cluster's key and the incarnations: the same bytes make the same run */
  constructor(
    count: number,
    services: readonly ServiceSpec[],
    random: (size: number) => Buffer = randomBytes,
  ) {
    this.#services = services;
    this.#random = random;
    this.key = random(32);
    this.#addresses = Array.from({ length: count }, (_, index) => ({
      name: `d${index + 1}`,
      node: nodeId(`d${index + 1}`),
      address: address(`10.0.9.${index + 1}`),
    }));
    this.dispatchers = this.#addresses.map((_, index) => this.#make(index));
    this.run(3_000);
  }

  /** A new life of a dispatcher: an empty table, nothing remembered. */
  restart(index: number): Dispatcher {
    const made = this.#make(index);
    this.dispatchers[index] = made;
    return made;
  }

  #make(index: number): Dispatcher {
    const self = this.#addresses[index]!;
    const services = this.#services;
    const path = new Path(services, { capacity: 1024 });
    path.state.now = path.now;
    const peers = this.#addresses.filter((one) => one !== self);
    const setup = {
      self,
      peers,
      port: 7373,
      multicast: undefined,
      incarnation: this.#random(16).toString('hex'),
      clusterKeys: [this.key],
      seed: [1, 2] as const,
      configuration: 1,
      heartbeatMs: 100,
      deadAfterMs: 500,
      leaseMs: 250,
      confirmTimeoutMs: 20,
      newSessionsPerSecond: 50_000,
    };
    const member = new Member(setup, path.state, path.table, this.now);
    member.generationChanged(makeGeneration(services));
    const dispatcher = new Dispatcher(path, member);
    member.onDatagram = (peer, bytes) => {
      const to = this.#addresses.indexOf(peers[peer]!);
      this.wire.push({ to, from: index, datagram: Buffer.from(bytes) });
    };
    member.onEvent = (event) => {
      if (event.kind === 'alone') member.step({ kind: 'alone-done' });
      // The table of a dispatcher that is ready is empty while they start.
      if (event.kind === 'copy-request') {
        const source = this.dispatchers[this.#addresses.findIndex(({ node }) => node === event.from)]!;
        member.step({ kind: 'copy-end', vector: source.member.node.vector() });
      }
    };
    return dispatcher;
  }

  /** Hands a packet to a dispatcher. @returns what left there at once */
  give(index: number, packet: BuiltPacket): Output[] {
    const dispatcher = this.dispatchers[index]!;
    const { path, member } = dispatcher;
    const before = dispatcher.sent.length;
    this.#turn(dispatcher);
    path.load([packet]);
    processBatch(path.state, path.table, path.now);
    member.flush();
    this.#collect(index);
    return dispatcher.sent.slice(before);
  }

  /** Lets time pass. @param ms whole */
  run(ms: number): void {
    for (let left = ms; left > 0; left--) {
      this.now++;
      const due = this.wire;
      this.wire = [];
      for (const message of due) if (!this.isLost(message)) this.#deliver(message);
      for (const [index, dispatcher] of this.dispatchers.entries()) this.#rest(index, dispatcher);
    }
  }

  #turn({ path, member }: Dispatcher): void {
    path.now = 1_000_000 + this.now;
    path.state.now = path.now | 0;
    member.turn(this.now);
  }

  #deliver({ to, from, datagram, packet }: Message): void {
    const dispatcher = this.dispatchers[to]!;
    const { path, member } = dispatcher;
    this.#turn(dispatcher);
    path.batch.reset();
    if (datagram !== undefined) member.datagram(datagram);
    if (packet !== undefined) {
      path.load([packet]);
      member.tunnelled(Uint32Array.from(this.#addresses[from]!.address.words));
    }
    member.flush();
    this.#collect(to);
  }

  #rest(index: number, dispatcher: Dispatcher): void {
    const { path, member } = dispatcher;
    this.#turn(dispatcher);
    path.batch.reset();
    member.tick();
    if (member.hasReleased) member.release();
    member.flush();
    this.#collect(index);
  }

  /** Takes what is on the output lists: tunnelled packets onto the wire, all others are sent. */
  #collect(index: number): void {
    const dispatcher = this.dispatchers[index]!;
    const { batch } = dispatcher.path;
    const peers = this.#addresses.filter((_, at) => at !== index);
    for (const output of dispatcher.path.outputs()) {
      const target = (output.server ?? 0) - PEER_TARGET;
      if (target < 0) dispatcher.sent.push(output);
      else this.wire.push({ to: this.#addresses.indexOf(peers[target]!), from: index, packet: output });
    }
    batch.resetOutput();
  }
}
