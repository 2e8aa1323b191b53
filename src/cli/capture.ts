/**
 * `latchway capture`: shows or stores the packets that pass the device.
 *
 * The capturing itself is in a child process (capture-child.ts): the package that does it can abort its process. What
 * arrived before that is shown and stored all the same. SIGINT, SIGTERM and `--count` end it with exit code 0.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createWriteStream } from 'node:fs';
import { pipeline } from 'node:stream/promises';
import { fileURLToPath } from 'node:url';
import type { Command } from 'commander';
import { LatchwayError } from '../base/fault.ts';
import { DEFAULT_DEVICE } from '../daemon/config/limits.ts';
import type { StatusView } from '../daemon/control/control.ts';
import { type Captured, type CaptureMessage, type LinkType, readRecords } from './capture-link.ts';
import { askDaemon } from './client.ts';
import { type SocketOptions, socketOf, withExamples, withSocket } from './options.ts';
import { printStream } from './output.ts';
import { packetLine } from './packet-line.ts';
import { pcapHeader, pcapRecord } from './pcap.ts';

interface CaptureOptions extends SocketOptions {
  readonly write?: string;
  readonly count?: string;
  readonly device?: string;
}

export function addCapture(program: Command): void {
  const command = program
    .command('capture')
    .description('show or store the packets that pass the device')
    .argument('[FILTER...]', 'which packets, in the language of tcpdump (pcap-filter(7))')
    .option('--write <FILE>', 'store them in a pcap file, for tcpdump and Wireshark; - for standard output')
    .option('--count <N>', 'end after so many packets')
    .option('--device <NAME>', "device to listen on (default: the daemon's)")
    .action((filter: string[], options: CaptureOptions) => capture(filter.join(' '), options));
  withExamples(withSocket(command), [
    ['latchway capture tcp port 80', 'a line per packet, until Ctrl-C'],
    ['latchway capture --count 100 --write lw.pcap', 'a hundred packets into a file'],
    ['latchway capture --write - | tcpdump -nr -', "tcpdump's own words"],
  ]);
}

async function capture(filter: string, options: CaptureOptions): Promise<void> {
  const count = wantedCount(options.count);
  const device = options.device ?? (await daemonDevice(options));
  const child = startChild(device, filter);
  const stop = (): void => stopChild(child);
  process.on('SIGINT', stop).on('SIGTERM', stop);
  const ended = once(child, 'exit') as Promise<[code: number | null, signal: NodeJS.Signals | null]>;
  try {
    const linkType = await opened(child, device, filter);
    process.stderr.write(`listening on ${device}\n`);
    const packets = limit(readRecords(child.stdout!), count, stop);
    if (options.write === undefined) await printStream(lines(packets, linkType));
    else await store(packets, linkType, options.write);
    const [, signal] = await ended;
    if (signal === 'SIGABRT') throw failed(`device ${device} went down or away`);
  } finally {
    process.off('SIGINT', stop).off('SIGTERM', stop);
    child.kill('SIGKILL');
  }
}

function failed(detail: string): LatchwayError {
  return new LatchwayError({ code: 'capture', detail });
}

function wantedCount(text: string | undefined): number {
  if (text === undefined) return Number.POSITIVE_INFINITY;
  if (/^[1-9]\d{0,9}$/.test(text)) return Number(text);
  throw new LatchwayError({
    code: 'usage',
    detail: `error: --count must be a whole number from 1, not '${text}'`,
  });
}

/** The device of the daemon; when none is named and none answers, the one that it would have by default. */
async function daemonDevice(options: CaptureOptions): Promise<string> {
  const isNamed = options.socket !== undefined || options.node !== undefined;
  try {
    return (await askDaemon<StatusView>(socketOf(options), 'GET', '/status')).device.name;
  } catch (error) {
    const isAbsent = error instanceof LatchwayError && error.fault.code === 'daemon-unreachable';
    if (isAbsent && !isNamed) return DEFAULT_DEVICE;
    throw error;
  }
}

function startChild(device: string, filter: string): ChildProcess {
  const program = fileURLToPath(new URL('./capture-child.js', import.meta.url));
  // libpcap's own words on standard error are those of an abort; ours say more.
  return spawn(process.execPath, [program, device, filter], { stdio: ['ignore', 'pipe', 'ignore', 'ipc'] });
}

function stopChild(child: ChildProcess): void {
  if (child.connected) child.send('stop');
}

/** Waits until the child captures. @throws LatchwayError `capture` with the reason why it does not */
async function opened(child: ChildProcess, device: string, filter: string): Promise<LinkType> {
  const message = await new Promise<CaptureMessage>((resolve) => {
    child.once('message', (value) => resolve(value as CaptureMessage));
    child.once('exit', () => resolve({ kind: 'refused', detail: 'the capturing process ended' }));
  });
  switch (message.kind) {
    case 'open':
      return message.linkType;
    case 'missing':
      throw failed(
        "capture needs the optional package 'cap', which needs libpcap: apt-get install libpcap-dev, then npm rebuild cap (npm ci if it was never installed)",
      );
    case 'refused':
      throw failed(
        `cannot capture on ${device}${filter === '' ? '' : ` with filter '${filter}'`}: ${message.detail}`,
      );
  }
}

/** The first `count` packets; then the child is told to stop. */
async function* limit(
  packets: AsyncIterable<Captured>,
  count: number,
  stop: () => void,
): AsyncGenerator<Captured> {
  let left = count;
  for await (const packet of packets) {
    yield packet;
    left--;
    if (left === 0) break;
  }
  stop();
}

/** `12:00:01.123456 IP ...`, in local time as tcpdump has it. */
async function* lines(packets: AsyncIterable<Captured>, linkType: LinkType): AsyncGenerator<string> {
  for await (const { seconds, microseconds, bytes } of packets) {
    const time = new Date(seconds * 1000).toTimeString().slice(0, 8);
    yield `${time}.${String(microseconds).padStart(6, '0')} ${frameLine(bytes, linkType)}\n`;
  }
}

const ETHERNET_HEADER_SIZE = 14;

function frameLine(bytes: Buffer, linkType: LinkType): string {
  if (linkType === 'RAW') return packetLine(bytes);
  const type = bytes.length < ETHERNET_HEADER_SIZE ? 0 : bytes.readUInt16BE(12);
  if (type === 0x0800 || type === 0x86dd) return packetLine(bytes.subarray(ETHERNET_HEADER_SIZE));
  return `ethertype 0x${type.toString(16).padStart(4, '0')}, length ${bytes.length}`;
}

async function store(packets: AsyncIterable<Captured>, linkType: LinkType, file: string): Promise<void> {
  if (file === '-') return printStream(pcapPieces(packets, linkType));
  let stored = -1;
  async function* counted(): AsyncGenerator<Buffer> {
    for await (const piece of pcapPieces(packets, linkType)) {
      stored++;
      yield piece;
    }
  }
  try {
    await pipeline(counted, createWriteStream(file));
  } catch (error) {
    throw new LatchwayError({ code: 'file', file, detail: (error as Error).message });
  }
  process.stderr.write(`${stored} packets written to ${file}\n`);
}

async function* pcapPieces(packets: AsyncIterable<Captured>, linkType: LinkType): AsyncGenerator<Buffer> {
  yield pcapHeader(linkType);
  for await (const packet of packets) yield pcapRecord(packet);
}
