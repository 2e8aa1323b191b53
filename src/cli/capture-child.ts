/**
 * The process that captures, apart from the rest because the `cap` package ends its process with SIGABRT when the device
 * goes down or away. It sends packets as capture-link.ts says until its parent says `stop` or is gone.
 *
 * `cap` gives no time: packets are stamped here, when they are handed over. It holds the buffer without a reference, so
 * the buffer lives in the module.
 */
import { writeSync } from 'node:fs';
import { createRequire } from 'node:module';
import { type CaptureMessage, LINK_TYPES, RECORD_HEADER_SIZE, SNAP_LENGTH } from './capture-link.ts';

/** The part of the package that is used; it has no types of its own. */
interface Capturer {
  open(device: string, filter: string, kernelBufferSize: number, buffer: Buffer): string;
  close(): void;
  on(event: 'packet', listener: (length: number) => void): void;
}

const KERNEL_BUFFER_SIZE = 16 * 1024 * 1024;
const BLOCK_SIZE = 256 * 1024;
const STANDARD_OUTPUT = 1;

const packet = Buffer.alloc(SNAP_LENGTH);
/** Records that wait for one write together; room for one more of the longest. */
const block = Buffer.alloc(BLOCK_SIZE + RECORD_HEADER_SIZE + SNAP_LENGTH);
let blockSize = 0;
let capturer: Capturer | undefined;

function tell(message: CaptureMessage): void {
  process.send?.(message);
}

function load(): Capturer | undefined {
  try {
    const { Cap } = createRequire(import.meta.url)('cap') as { Cap: new () => Capturer };
    return new Cap();
  } catch (error) {
    tell({ kind: 'missing', detail: (error as Error).message.split('\n')[0]! });
    return undefined;
  }
}

function keep(length: number): void {
  const microseconds = (performance.timeOrigin + performance.now()) * 1000;
  if (blockSize === 0) setImmediate(flush);
  blockSize = block.writeUInt32LE(length, blockSize);
  blockSize = block.writeUInt32LE(Math.floor(microseconds / 1e6), blockSize);
  blockSize = block.writeUInt32LE(Math.floor(microseconds % 1e6), blockSize);
  blockSize += packet.copy(block, blockSize, 0, length);
  if (blockSize >= BLOCK_SIZE) flush();
}

/** Blocks when the parent is slow: then the kernel drops packets, and memory stays bounded. */
function flush(): void {
  for (let at = 0; at < blockSize; ) at += writeSome(at);
  blockSize = 0;
}

function writeSome(at: number): number {
  try {
    return writeSync(STANDARD_OUTPUT, block, at, blockSize - at);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EAGAIN') return 0;
    process.exit(0);
  }
}

function stop(): void {
  capturer?.close();
  flush();
  process.exit(0);
}

function start(device: string, filter: string): void {
  capturer = load();
  if (capturer === undefined) return;
  try {
    const linkType = capturer.open(device, filter, KERNEL_BUFFER_SIZE, packet);
    if (!(linkType in LINK_TYPES)) throw new Error(`packets of link type ${linkType} are not understood`);
    capturer.on('packet', keep);
    tell({ kind: 'open', linkType: linkType as keyof typeof LINK_TYPES });
  } catch (error) {
    tell({ kind: 'refused', detail: (error as Error).message });
    process.disconnect?.();
  }
}

// The terminal sends these to both; the parent decides.
process.on('SIGINT', () => undefined);
process.on('SIGTERM', () => undefined);
process.on('message', stop);
process.on('disconnect', stop);
start(process.argv[2]!, process.argv[3] ?? '');
