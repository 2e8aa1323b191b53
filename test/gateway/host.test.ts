/**
 * The host set-up on real namespaces: which packets reach the device, what happens to them once the process is
 * killed, and that the gateway is afterwards as it was. The dispatcher's place is taken by a program that only prints
 * what the device gives it.
 */

import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { type HostDriver, HostLab, type LineProcess } from '../support/host-lab.ts';
import { type PacketSpec, packet } from '../support/host-packets.ts';

const CLIENT = { 4: '10.1.0.2', 6: '2001:db8:1::2' } as const;
const SERVER = { 4: '10.2.0.2', 6: '2001:db8:2::2' } as const;
/** A neighbour of the server that is none: a router before it, or another host. */
const NEIGHBOUR = { 4: '10.2.0.9', 6: '2001:db8:2::9' } as const;
const VIP = { 4: '192.0.2.10', 6: '2001:db8:f::10' } as const;
const FAMILIES = [4, 6] as const;
type Family = (typeof FAMILIES)[number];

const vips = FAMILIES.map((family) => ({ address: VIP[family] as string, service: `web${family}` }));
const servers = FAMILIES.flatMap((family) => [
  { address: SERVER[family], name: `dns${family}/s1`, mode: 'nat', protocol: 17, ports: [[53, 53]] },
  { address: SERVER[family], name: `web${family}/s1`, mode: 'nat', protocol: 6, ports: [[8080, 8099]] },
]);
const INPUT = { device: 'lw0', table: 7373, vips, servers };

/** Enough servers for the nftables set. */
const many = Array.from({ length: 40 }, (_, index) => ({
  address: `10.2.1.${index + 1}`,
  name: `dns4/m${index}`,
  mode: 'nat',
  protocol: 17,
  ports: [[53, 53]],
}));

const MODES = [
  { name: 'rules, no nftables', input: INPUT, options: { nft: 'never' }, aggregated: false },
  { name: 'rules, nftables for conntrack', input: INPUT, options: {}, aggregated: false },
  {
    name: 'nftables set',
    input: { ...INPUT, servers: [...servers, ...many] },
    options: {},
    aggregated: true,
  },
] as const;

let lab: HostLab;
let driver: HostDriver;
beforeEach(() => {
  lab = HostLab.open();
  driver = lab.driver();
});
afterEach(() => lab.close());

type Sent = Omit<PacketSpec, 'payload'> & { readonly quotes?: PacketSpec };

/** Packets in, and where they came out. */
class Observer {
  readonly tun: LineProcess | undefined;
  readonly client: LineProcess;
  readonly senders: Readonly<Record<'client' | 'server', LineProcess>>;
  #sent = 0;

  private constructor(tun: LineProcess | undefined, client: LineProcess, senders: Observer['senders']) {
    this.tun = tun;
    this.client = client;
    this.senders = senders;
  }

  static async open(tun: LineProcess | undefined): Promise<Observer> {
    lab.mute('client');
    const client = await lab.packets('client', 'sniff', 'cl0');
    const senders = {
      client: await lab.packets('client', 'send'),
      server: await lab.packets('server', 'send'),
    };
    return new Observer(tun, client, senders);
  }

  withoutTun(): Observer {
    return new Observer(undefined, this.client, this.senders);
  }

  /** A payload that is found again whatever was put around it. */
  mark(): Buffer {
    return Buffer.from(
      `mark-${String(this.#sent++).padStart(4, '0')}-${Math.random().toString(36).slice(2, 10)}`,
    );
  }

  /** Where a packet goes. Sentinels that take known ways are sent after it, so that "nowhere" is not a guess. */
  async fate(side: 'client' | 'server', spec: Sent): Promise<string> {
    const family = spec.from.includes(':') ? 6 : 4;
    const marker = this.mark();
    const payload = spec.quotes === undefined ? marker : packet({ ...spec.quotes, payload: marker });
    this.senders[side].write(packet({ ...spec, payload }).toString('hex'));
    // To the client: from a port of the server's neighbour that nobody claims; to the device: to a VIP.
    const open = this.mark();
    const taken = this.mark();
    const sentinel = { protocol: 'udp', fromPort: 9999, toPort: 9, ttl: 64 } as const;
    const past = packet({ ...sentinel, from: NEIGHBOUR[family], to: CLIENT[family], payload: open });
    const into = packet({ ...sentinel, from: NEIGHBOUR[family], to: VIP[family], payload: taken });
    // Both follow the packet on its own link; from the client's side there is no way past the gateway back to it.
    if (side === 'server') this.senders.server.write(past.toString('hex'));
    this.senders[side].write(into.toString('hex'));
    const saw = (text: Buffer) => (line: string) => line.includes(text.toString('hex'));
    if (side === 'server') await this.client.until(saw(open));
    if (this.tun !== undefined) await this.tun.until(saw(taken));
    const at = [
      ...(this.tun?.lines.some(saw(marker)) ? ['device'] : []),
      ...(this.client.lines.some(saw(marker)) ? ['client'] : []),
    ];
    return at.join('+') || 'nowhere';
  }
}

/** From the server's side to the client, by family. */
function packets(family: Family): Record<string, Sent> {
  const [client, server, neighbour] = [CLIENT[family], SERVER[family], NEIGHBOUR[family]];
  const from = (source: string, fromPort: number, protocol: 'udp' | 'tcp' = 'udp') =>
    ({ from: source, to: client, protocol, fromPort, toPort: 40_000 }) as const;
  const quotes = { from: client, to: server, protocol: 'udp', fromPort: 40_000 } as const;
  const error = (source: string, quotedTo: string): Sent =>
    ({
      ...{ from: source, to: client, protocol: 'icmp-error' },
      quotes: { ...quotes, to: quotedTo, toPort: 53, payload: Buffer.alloc(0) },
    }) as const;
  return {
    reply: from(server, 53),
    tcpReply: from(server, 8085, 'tcp'),
    firstFragment: { ...from(server, 53), fragment: 'first' } as const,
    laterFragment: { ...from(server, 53), fragment: 'later' } as const,
    errorOfServer: error(server, server),
    errorOfRouter: error(neighbour, server),
    otherPort: from(server, 9999),
    otherProtocolPort: from(server, 8085, 'udp'),
    neighbourSamePort: from(neighbour, 53),
    neighbourFragment: { ...from(neighbour, 53), fragment: 'later' } as const,
    neighbourEcho: { from: neighbour, to: client, protocol: 'echo' } as const,
    foreignError: error(neighbour, neighbour),
  };
}

async function fates(observer: Observer, family: Family): Promise<Record<string, string>> {
  const found: Record<string, string> = {};
  for (const [name, spec] of Object.entries(packets(family)))
    found[name] = await observer.fate('server', spec);
  return found;
}

const REPLIES = ['reply', 'tcpReply', 'firstFragment', 'laterFragment', 'errorOfServer'];
const PASSING = ['otherPort', 'otherProtocolPort', 'neighbourSamePort', 'neighbourFragment'];

function expected(aggregated: boolean, alive: boolean): Record<string, string> {
  const taken = alive ? 'device' : 'nowhere';
  // Rules cannot see what an ICMP error quotes: all ICMP visits the dispatcher, and passes when there is none.
  const icmp = aggregated || !alive ? 'client' : 'device';
  return {
    ...Object.fromEntries(REPLIES.map((name) => [name, taken])),
    ...Object.fromEntries(PASSING.map((name) => [name, 'client'])),
    neighbourEcho: icmp,
    foreignError: icmp,
    errorOfRouter: alive ? 'device' : aggregated ? 'nowhere' : 'client',
  };
}

describe.each(MODES)('$name', ({ input, options, aggregated }) => {
  test('takes exactly its replies, fails closed after a kill, takes over, and restores the host', async () => {
    const before = lab.snapshot();
    const tun = await lab.packets('gateway', 'tun', 'lw0');
    const settings = { journalDirectory: lab.directory, ...options };
    const report = await driver.must('apply', { input, options: settings });
    expect(report).toMatchObject({ aggregated, leftovers: false });
    const observer = await Observer.open(tun);
    for (const family of FAMILIES) {
      expect(await fates(observer, family)).toEqual(expected(aggregated, true));
      const toVip = {
        from: CLIENT[family],
        to: VIP[family],
        protocol: 'udp',
        fromPort: 1,
        toPort: 53,
      } as const;
      expect(await observer.fate('client', toVip)).toBe('device');
    }
    await driver.process.kill();
    await tun.kill();
    const dead = observer.withoutTun();
    for (const family of FAMILIES) expect(await fates(dead, family)).toEqual(expected(aggregated, false));

    const second = await lab.packets('gateway', 'tun', 'lw0');
    driver = lab.driver();
    const again = await driver.must('apply', { input, options: settings });
    expect(again).toMatchObject({ leftovers: true, removed: 0 });
    expect(again.changed).toEqual(report.changed);
    const revived = await Observer.open(second);
    for (const family of FAMILIES) expect(await fates(revived, family)).toEqual(expected(aggregated, true));
    expect(await driver.must('repair', { options: settings })).toMatchObject({ added: 0, removed: 0 });
    expect(await driver.must('stop', { options: settings })).toEqual([]);
    await second.kill();
    expect(lab.snapshot()).toBe(before);
  });
});
