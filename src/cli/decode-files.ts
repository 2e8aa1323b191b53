/**
 * What `latchway decode` does: reads captures in the order of time, opens the datagrams between dispatchers in them with the cluster's keys, and prints
 * a line or a JSON object for each packet.
 *
 * Files are read twice: a datagram to one dispatcher opens only if that one's life is known, which may show later in the capture. Standard input is
 * read once, as it comes. Field names of the JSON are read by scripts: add to them, do not rename.
 */
import { createReadStream } from 'node:fs';
import { basename } from 'node:path';
import { LatchwayError } from '../base/fault.ts';
import { NOBODY, type NodeId, nodeId } from '../cluster/identity.ts';
import { type RecordedDatagram, Recording } from '../cluster/recording.ts';
import { Sealer, STREAM_BROADCAST, STREAM_HELLO } from '../cluster/seal.ts';
import { type ClusterConfig, clusterKeys } from '../daemon/config/cluster.ts';
import { loadConfig } from '../daemon/config/config.ts';
import type { ServiceConfig } from '../daemon/config/services.ts';
import { wireId } from '../daemon/member/ids.ts';
import { serverId, serviceId } from '../daemon/pool/ids.ts';
import { formatAddress } from '../wire/address.ts';
import type { Captured } from './capture-link.ts';
import { type RecordView, recordView, type WireNames } from './datagram-line.ts';
import { printStream } from './output.ts';
import { packetLine } from './packet-line.ts';
import { readPcap } from './pcap-read.ts';
import { type UdpDatagram, udpDatagram } from './udp-datagram.ts';

export interface DecodeOptions {
  readonly config: string;
  readonly json?: true;
}

interface PacketView {
  /** Seconds since 1970. */
  readonly time: number;
  /** Name of the file without folder and `.pcap`. */
  readonly file: string;
  /** Without the records. */
  readonly packet: string;
  /** Of what dispatchers say to each other. */
  readonly sender?: string;
  readonly receiver?: string;
  readonly stream?: string;
  readonly sequence?: number;
  /** Absent where the datagram does not open. */
  readonly records?: readonly RecordView[];
}

/** Prints the packets of some files. @throws LatchwayError `file`, `config`, `usage` */
export async function decodeFiles(files: readonly string[], options: DecodeOptions): Promise<void> {
  if (files.length > 1 && files.includes('-'))
    throw new LatchwayError({
      code: 'usage',
      detail: 'error: standard input cannot be put in order with files',
    });
  const { cluster, services, file } = loadConfig(options.config);
  if (cluster === undefined)
    throw new LatchwayError({
      code: 'file',
      file,
      detail: 'has no section cluster: there is nothing to open',
    });
  const decoder = new Decoder(cluster, services);
  if (!files.includes('-')) for await (const { bytes } of inOrder(files)) decoder.note(bytes);
  await printStream(lines(inOrder(files), decoder, options.json === true, files.length > 1));
}

async function* lines(
  packets: AsyncIterable<Captured & { readonly file: string }>,
  decoder: Decoder,
  json: boolean,
  named: boolean,
): AsyncGenerator<string> {
  for await (const { seconds, microseconds, bytes, file } of packets) {
    const time = seconds + microseconds / 1e6;
    const view: PacketView = { time, file, ...decoder.view(bytes) };
    yield json
      ? `${JSON.stringify(view)}\n`
      : `${clock(seconds, microseconds)} ${named ? `${file}  ` : ''}${lineOf(view)}\n`;
  }
}

function lineOf({ packet, sender, receiver, stream, sequence, records }: PacketView): string {
  if (sender === undefined) return packet;
  const says = records === undefined ? 'sealed' : records.map(({ text }) => text).join('; ');
  return `${packet}: ${sender} to ${stream === 'broadcast' ? 'all' : receiver}, ${stream} ${sequence}: ${says}`;
}

/** In local time, as tcpdump has it. */
function clock(seconds: number, microseconds: number): string {
  const time = new Date(seconds * 1000).toTimeString().slice(0, 8);
  return `${time}.${String(microseconds).padStart(6, '0')}`;
}

/** The packets of some files, each of which is in the order of time, as one. */
async function* inOrder(files: readonly string[]): AsyncGenerator<Captured & { readonly file: string }> {
  const sources = files.map((file) => ({
    file: basename(file, '.pcap'),
    packets: readPcap(bytesOf(file), file),
  }));
  const heads = await Promise.all(sources.map(({ packets }) => packets.next()));
  for (;;) {
    let first = -1;
    for (const [index, head] of heads.entries()) {
      if (head.done === true) continue;
      if (first < 0 || isBefore(head.value, heads[first]!.value)) first = index;
    }
    if (first < 0) return;
    const { file, packets } = sources[first]!;
    yield { ...heads[first]!.value, file };
    heads[first] = await packets.next();
  }
}

function isBefore(a: Captured, b: Captured): boolean {
  return a.seconds === b.seconds ? a.microseconds < b.microseconds : a.seconds < b.seconds;
}

async function* bytesOf(file: string): AsyncGenerator<Buffer> {
  try {
    yield* file === '-' ? process.stdin : createReadStream(file);
  } catch (error) {
    throw new LatchwayError({ code: 'file', file, detail: `cannot be read: ${(error as Error).message}` });
  }
}

/** What packets say, by the names and keys of one configuration. */
class Decoder {
  readonly #port: number;
  readonly #byAddress: Map<string, { readonly name: string; readonly node: NodeId }>;
  readonly #names: WireNames;
  readonly #recording: Recording;

  constructor(cluster: ClusterConfig, services: readonly ServiceConfig[]) {
    this.#port = cluster.port;
    const dispatchers = cluster.dispatchers.map((one) => ({ ...one, node: nodeId(one.name) }));
    this.#byAddress = new Map(dispatchers.map((one) => [formatAddress(one.address), one]));
    // What goes to the group is of the broadcast stream, which is sealed for nobody in particular.
    if (cluster.multicast !== undefined)
      this.#byAddress.set(formatAddress(cluster.multicast), { name: 'all', node: NOBODY });
    const nodes = dispatchers.map(({ node }) => node);
    this.#recording = new Recording(new Sealer(clusterKeys(cluster)), nodes);
    this.#names = wireNames(new Map(dispatchers.map(({ node, name }) => [node, name])), services);
  }

  /** Remembers whose lives a packet shows. */
  note(bytes: Buffer): void {
    const datagram = this.#datagram(bytes);
    if (datagram !== undefined) this.#recording.note(datagram.payload);
  }

  view(bytes: Buffer): Omit<PacketView, 'time' | 'file'> {
    const datagram = this.#datagram(bytes);
    const line = packetLine(bytes);
    if (datagram === undefined) return { packet: line };
    const { name, node } = this.#byAddress.get(datagram.destination)!;
    const opened = this.#recording.open(datagram.payload, node);
    if (opened === undefined) return { packet: line };
    const { stream, sender, sequence } = opened.header;
    const records = this.#records(opened, node);
    return {
      packet: line.replace(/: UDP, length \d+$/, ''),
      sender: this.#names.node(sender.node),
      receiver: name,
      stream: stream === STREAM_HELLO ? 'hello' : stream === STREAM_BROADCAST ? 'broadcast' : 'unicast',
      sequence,
      ...(records !== undefined && { records }),
    };
  }

  #records({ records }: RecordedDatagram, to: NodeId): RecordView[] | undefined {
    return records?.map((record) =>
      recordView(record, this.#names, (inner) => {
        const opened = this.#recording.open(inner, to);
        const says = opened === undefined ? undefined : this.#records(opened, to);
        return says === undefined ? 'sealed' : says.map(({ text }) => text).join('; ');
      }),
    );
  }

  /** A datagram to a dispatcher's port. */
  #datagram(bytes: Buffer): UdpDatagram | undefined {
    const datagram = udpDatagram(bytes);
    const isOurs = datagram?.destinationPort === this.#port && this.#byAddress.has(datagram.destination);
    return isOurs ? datagram : undefined;
  }
}

function wireNames(nodes: ReadonlyMap<NodeId, string>, services: readonly ServiceConfig[]): WireNames {
  const ofServices = new Map<number, string>();
  const ofServers = new Map<number, string>();
  for (const service of services) {
    const id = serviceId(service);
    ofServices.set(wireId(id), service.name);
    for (const server of service.servers) ofServers.set(wireId(serverId(id, server)), server.name);
  }
  const name = (names: ReadonlyMap<number, string>) => (id: number) =>
    names.get(id) ?? `#${id.toString(16).padStart(8, '0')}`;
  return { service: name(ofServices), server: name(ofServers), node: name(nodes) };
}
