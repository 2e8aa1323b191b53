/**
 * Sound packets of all kinds around a few live services, for the fuzzer: requests, replies, ICMP both ways, super-packets,
 * fragments, strangers. Drawn at random from a seeded generator; what is made of them is the fuzzer's affair.
 */
import type { ServerSpec, ServiceSpec } from '../../src/balance/generation.ts';
import type { Prng } from '../../src/base/prng.ts';
import {
  type BuiltPacket,
  extension,
  icmpPacket,
  ipPacket,
  tcpPacket,
  udpPacket,
} from '../support/packets.ts';
import { ENDS, type Family, servers, service } from '../support/path-packets.ts';
import { address } from '../support/services.ts';

/** A second VIP of IPv4 whose one server is also the first VIP's: flows of one client port cannot both go there. */
const TWIN_VIP = '192.0.2.11';
const ROUTER = { 4: '203.0.113.1', 6: '2001:db8:e::1' } as const;
const CLIENT_NETWORKS = { 4: ['198.51.100.', '198.51.101.'], 6: ['2001:db8:c::', '2001:db8:d::'] } as const;
const SIZES = [0, 1, 17, 100, 600, 1300, 1330, 1345, 1380, 1460, 1500];
const TTLS = [64, 64, 64, 64, 64, 255, 1, 0];
const FLAGS = [2, 2, 2, 4, 4, 16, 16, 16, 24, 24, 17, 17, 4, 20, 18, 0, 1, 3, 255];
const CLIENT_PORTS = 16;
/** Type and code: too big, port unreachable, time exceeded. */
const ERRORS: Readonly<Record<Family, readonly (readonly number[])[]>> = {
  4: [
    [3, 4],
    [3, 3],
    [11, 0],
  ],
  6: [
    [2, 0],
    [1, 4],
    [3, 0],
  ],
};

/** Ports of the services below, by family, and what they are. */
const PORTS = { nat: 80, tunnel: 81, nobody: 82, reset: 83, hash: 84, none: 99 } as const;
const ALL_PORTS: readonly number[] = Object.values(PORTS);

/** All services. @param down whether the first server of each pool is down. */
export function fuzzServices(down: boolean): ServiceSpec[] {
  const up = (list: ServerSpec[], mtuBytes: number): ServerSpec[] =>
    list.map((one, at) => ({ ...one, mtuBytes, up: at > 0 || !down }));
  let index = 0;
  const all: ServiceSpec[] = [];
  for (const family of [4, 6] as const) {
    for (const protocol of [6, 17] as const) {
      const endpoint = (family === 4 ? 1 : 101) + (protocol === 6 ? 0 : 50);
      const add = (port: number, changes: Partial<ServiceSpec>, of: Family = family): void => {
        const pool = servers(of, index * 10).map((one, at) => ({ ...one, endpoint: endpoint + at }));
        const ports = [[port, port]] as const;
        all.push(service(index, family, { protocol, ports, servers: up(pool, 1400), ...changes }));
        index++;
      };
      const client = { kind: 'client', prefix: family === 4 ? 24 : 48 } as const;
      add(PORTS.nat, {});
      add(PORTS.tunnel, { mode: 'ipip', unknown: 'drop' }, family === 4 ? 6 : 4);
      add(PORTS.nobody, { servers: servers(family, index * 10, { up: false, endpoint }) });
      add(PORTS.reset, { onServerDown: 'reset', scheduler: 'wlc' });
      add(PORTS.hash, { unknown: 'hash', scheduler: 'sh', affinity: client });
    }
  }
  const twin = { vip: address(TWIN_VIP), servers: servers(4, index * 10, { endpoint: 1 }).slice(0, 1) };
  all.push(service(index, 4, twin));
  return all;
}

/** One sound packet. */
export function drawTemplate(prng: Prng): BuiltPacket {
  const draw = new Draw(prng);
  switch (prng.below(14)) {
    case 0:
      return draw.icmp();
    case 1:
    case 2:
      return draw.error();
    case 3:
      return draw.fragment();
    case 4:
      return draw.stranger();
    case 5:
    case 6:
    case 7:
    case 8:
      return draw.reply();
    default:
      return draw.request();
  }
}

/** The random choices of one packet. */
class Draw {
  readonly #prng: Prng;
  readonly #family: Family;
  readonly #tcp: boolean;

  constructor(prng: Prng) {
    this.#prng = prng;
    this.#family = prng.below(2) === 0 ? 4 : 6;
    this.#tcp = prng.below(2) === 0;
  }

  #of<Value>(values: readonly Value[]): Value {
    return values[this.#prng.below(values.length)]!;
  }

  #once(times: number): boolean {
    return this.#prng.below(times) === 0;
  }

  #client(): string {
    return `${this.#of(CLIENT_NETWORKS[this.#family])}${1 + this.#prng.below(3)}`;
  }

  #clientPort(): number {
    return 1024 + this.#prng.below(CLIENT_PORTS);
  }

  #vip(): string {
    return this.#family === 4 && this.#once(6) ? TWIN_VIP : ENDS[this.#family].vip;
  }

  #server(): string {
    return this.#of(ENDS[this.#family].servers);
  }

  /** What hangs on IP, and on the transport. */
  #shape(plain = false): object {
    const family = this.#family;
    const size = this.#once(3) ? this.#of(SIZES) : this.#of(SIZES.slice(0, 4));
    const payload = Buffer.alloc(size, 1 + this.#prng.below(255));
    const options =
      family === 4
        ? { ipOptions: Buffer.alloc(4 * (1 + this.#prng.below(4)), 1) }
        : { extensions: [extension(this.#of([60, 43, 51]), 1 + this.#prng.below(2))] };
    const offload = this.#once(3)
      ? {
          payload: Buffer.alloc(1 + this.#prng.below(4000), 5),
          gsoSize: this.#of([48, 100, 536, 1300, 1400]),
        }
      : { partial: this.#once(3) };
    return {
      payload,
      ttl: this.#of(TTLS),
      dontFragment: !this.#once(3),
      flags: this.#of(FLAGS),
      sequence: this.#prng.below(4) * 1000,
      acknowledgment: this.#prng.next(),
      ...(this.#once(3) ? { options: Buffer.from([2, 4, 5, 180]) } : {}),
      ...(this.#once(6) ? options : {}),
      ...(plain || !this.#once(3) ? {} : offload),
      ...(this.#once(9) && family === 4 ? { noChecksum: true } : {}),
    };
  }

  #build(
    ends: { source: string; destination: string; sourcePort: number; destinationPort: number },
    shape: object,
  ) {
    if (this.#tcp) return tcpPacket({ ...ends, ...shape, noChecksum: undefined } as typeof ends);
    const offload = 'gsoSize' in shape || ('partial' in shape && shape.partial === true);
    return udpPacket({ ...ends, ...shape, ...(offload ? { noChecksum: false } : {}) });
  }

  request(plain = false): BuiltPacket {
    const ends = {
      source: this.#client(),
      destination: this.#vip(),
      sourcePort: this.#clientPort(),
      destinationPort: this.#once(3) ? PORTS.nat : this.#of(ALL_PORTS),
    };
    // Super-packets with more segments than a batch has room for.
    if (this.#once(300)) {
      const payload = Buffer.alloc(30_000, 3);
      return udpPacket({ ...ends, destinationPort: PORTS.tunnel, payload, gsoSize: 16 });
    }
    // A reset that hits a flow of a server that has gone down needs luck otherwise.
    if (this.#once(10))
      return tcpPacket({ ...ends, destinationPort: PORTS.reset, flags: this.#of([2, 4, 4]) });
    return this.#build(ends, this.#shape(plain));
  }

  reply(plain = false): BuiltPacket {
    const ends = {
      source: this.#server(),
      destination: this.#client(),
      sourcePort: this.#once(9) ? 22 : 8080,
      destinationPort: this.#clientPort(),
    };
    return this.#build(ends, this.#shape(plain));
  }

  icmp(): BuiltPacket {
    const family = this.#family;
    const type = this.#of(family === 4 ? [8, 8, 0, 13] : [128, 128, 129, 135]);
    const ends = { source: this.#once(9) ? this.#server() : this.#client(), destination: this.#vip() };
    const partial = family === 6 && this.#once(3);
    return icmpPacket({ ...ends, type, body: Buffer.alloc(this.#of(SIZES), 7), partial });
  }

  /** An ICMP error about a request or a reply of ours, as one side or the other saw it. */
  error(): BuiltPacket {
    const family = this.#family;
    const [type = 0, code = 0] = this.#of(ERRORS[family]);
    const about = this.#quoted();
    const body = about.bytes.subarray(0, this.#once(3) ? 64 : 400);
    return icmpPacket({ ...about, type, code, rest: 1300, body, ttl: this.#of(TTLS) });
  }

  #quoted(): { source: string; destination: string; bytes: Buffer } {
    const toClient = this.#once(2);
    const client = this.#client();
    const own = { client, port: this.#clientPort() };
    const shape = this.#shape(true);
    if (!toClient) {
      const vip = this.#vip();
      const ends = {
        source: vip,
        sourcePort: this.#of(ALL_PORTS),
        destination: client,
        destinationPort: own.port,
      };
      return { source: ROUTER[this.#family], destination: vip, bytes: this.#build(ends, shape).bytes };
    }
    const server = this.#server();
    const ends = { source: client, sourcePort: own.port, destination: server, destinationPort: 8080 };
    const source = this.#once(2) ? server : ROUTER[this.#family];
    return { source, destination: client, bytes: this.#build(ends, shape).bytes };
  }

  fragment(): BuiltPacket {
    const bits = this.#of([0x2000, 0x2010, 0x0010]);
    const ends = this.#once(2)
      ? { source: this.#client(), destination: this.#vip() }
      : { source: this.#server(), destination: this.#client() };
    const protocol = this.#of([6, 17, this.#family === 4 ? 1 : 58]);
    const bytes = Buffer.alloc(64, 9);
    bytes[12] = 0x50;
    if (protocol === 1 || protocol === 58) bytes[0] = this.#family === 4 ? 3 : 1;
    if (this.#family === 4) {
      return ipPacket({ ...ends, fragmentBits: bits, dontFragment: false }, protocol, bytes);
    }
    const header = extension(44);
    Buffer.from(header.bytes.buffer, header.bytes.byteOffset, 8).writeUInt16BE(
      ((bits & 0x1fff) << 3) | (bits >>> 13),
      2,
    );
    return ipPacket({ ...ends, extensions: [header] }, protocol, bytes);
  }

  stranger(): BuiltPacket {
    const ends = { source: ROUTER[this.#family], destination: this.#client() };
    if (this.#once(2)) return ipPacket(ends, this.#of([47, 50, 132]), Buffer.alloc(40, 3));
    if (this.#once(3)) return ipPacket({ ...ends, destination: this.#vip() }, 47, Buffer.alloc(40, 3));
    return this.#build({ ...ends, sourcePort: 1, destinationPort: 2 }, this.#shape());
  }
}
